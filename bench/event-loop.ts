/**
 * How late a timer fires while images are made: the event loop must stay free for a server's other
 * work. Prints the percentiles of the lateness of a 5 ms timer.
 *
 *   node bench/event-loop.ts [--model DIR] [--steps n]
 */
import { parseArgs } from 'node:util';
import { StableDiffusionPipeline } from '../src/index.ts';

const PERIOD_MS = 5;

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'models/emoji' },
    steps: { type: 'string', default: '50' },
  },
});

const pipe = await StableDiffusionPipeline.fromPretrained(values.model);
const lateness: number[] = [];
let due = performance.now() + PERIOD_MS;
let timer = setTimeout(tick, PERIOD_MS);

function tick(): void {
  const now = performance.now();
  lateness.push(now - due);
  due = now + PERIOD_MS;
  timer = setTimeout(tick, PERIOD_MS);
}

const { timings } = await pipe('red apple', { numInferenceSteps: Number(values.steps), seed: 1 });
clearTimeout(timer);
await pipe.dispose();

lateness.sort((a, b) => a - b);
const at = (share: number) => lateness[Math.floor(share * (lateness.length - 1))].toFixed(2);
console.log(
  `${lateness.length} timers in ${timings.total.toFixed(1)} s of generation; late by (ms): median ${at(0.5)}, 99th percentile ${at(0.99)}, most ${at(1)}`,
);
