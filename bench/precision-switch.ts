/**
 * What it costs to change precision between two denoising steps: the same steps of one run, once
 * changing at every step and once in two blocks. Prints one JSON object.
 *
 *   node bench/precision-switch.ts MODEL [--size 512x512] [--steps 8] [--rounds 3]
 *
 * MODEL is a folder that `bookend quantize` has made.
 */
import { parseArgs } from 'node:util';
import { loadModel } from '../src/pipelines/load.ts';
import type { Precision } from '../src/pipelines/request.ts';
import { textToImage } from '../src/pipelines/text-to-image.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    size: { type: 'string' },
    steps: { type: 'string', default: '8' },
    rounds: { type: 'string', default: '3' },
  },
});
const [reference] = positionals;
if (reference === undefined) {
  console.error('Name a quantized model: node bench/precision-switch.ts MODEL');
  process.exit(2);
}
const [width, height] = values.size?.split('x').map(Number) ?? [];
const pairs = Math.ceil(Number(values.steps) / 2);

const loaded = await loadModel(reference);
if (loaded.kind !== 'stable-diffusion') throw new Error(`${reference} draws without a prompt.`);
const { model } = loaded;
const high = model.precision;

function repeat(precision: Precision, count: number): Precision[] {
  return Array<Precision>(count).fill(precision);
}

const schedules = {
  alternating: Array.from({ length: pairs }, (): Precision[] => [high, 'int8']).flat(),
  blocks: [...repeat(high, pairs), ...repeat('int8', pairs)],
};

/** Seconds of each step, without decoding, which is stopped after the last of them. */
async function stepSeconds(schedule: readonly Precision[]): Promise<number[]> {
  const seconds: number[] = [];
  const done = new AbortController();
  const run = textToImage(model, 'a fox in the snow', {
    numInferenceSteps: schedule.length,
    scheduler: 'ddim',
    seed: 1,
    width,
    height,
    schedule,
    onStepEnd: (event) => {
      seconds.push(event.seconds);
      if (event.step === event.steps - 1) done.abort();
    },
    signal: done.signal,
  });
  await run.catch((error) => {
    if (error.code !== 'aborted') throw error;
  });
  return seconds;
}

/** All steps of a precision but the run's first; on shared cores the least of them is the work. */
const times: Record<keyof typeof schedules, Record<string, number[]>> = {
  alternating: {},
  blocks: {},
};
for (let round = 0; round < Number(values.rounds); round++) {
  for (const name of ['alternating', 'blocks'] as const) {
    const seconds = await stepSeconds(schedules[name]);
    for (const [step, precision] of schedules[name].entries()) {
      if (step === 0) continue;
      times[name][precision] ??= [];
      times[name][precision].push(1000 * seconds[step]);
    }
  }
}
const milliseconds = (name: keyof typeof schedules) => ({
  [high]: Math.min(...times[name][high]),
  int8: Math.min(...times[name].int8),
});
const alternating = milliseconds('alternating');
const blocks = milliseconds('blocks');
const sum = (each: Record<string, number>) => (each[high] + each.int8) / 2;
console.log(
  JSON.stringify({
    model: reference,
    alternating,
    blocks,
    /** Of one change; the steps themselves vary by more. */
    switching: sum(alternating) - sum(blocks),
  }),
);
await loaded.dispose();
