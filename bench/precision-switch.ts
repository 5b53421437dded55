/**
 * What it costs to change precision between two denoising steps. In a run of two steps of each
 * precision in turn, the first of two comes after a change and the second does not; they are
 * neighbours in time, so a machine that slows down slows both. Prints one JSON object.
 *
 *   node bench/precision-switch.ts MODEL [--size 512x512] [--pairs 20] [--rounds 3]
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
    pairs: { type: 'string', default: '20' },
    rounds: { type: 'string', default: '3' },
  },
});
const [reference] = positionals;
if (reference === undefined) {
  console.error('Name a quantized model: node bench/precision-switch.ts MODEL');
  process.exit(2);
}
const [width, height] = values.size?.split('x').map(Number) ?? [];
const pairs = Number(values.pairs);

const loaded = await loadModel(reference);
if (loaded.kind !== 'stable-diffusion') throw new Error(`${reference} draws without a prompt.`);
const { model } = loaded;
const high = model.precision;

const schedule = Array.from({ length: pairs }, (_, i): Precision[] =>
  i % 2 === 0 ? [high, high] : ['int8', 'int8'],
).flat();

/** Seconds of each step, without decoding, which is stopped after the last of them. */
async function stepSeconds(): Promise<number[]> {
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

const median = (numbers: readonly number[]) =>
  [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

const differences: Record<string, number[]> = { [high]: [], int8: [] };
const steps: Record<string, number[]> = { [high]: [], int8: [] };
for (let round = 0; round < Number(values.rounds); round++) {
  const seconds = await stepSeconds();
  // The first pair of a run does not come after a change.
  for (let first = 2; first < seconds.length; first += 2) {
    const precision = schedule[first];
    differences[precision].push(1000 * (seconds[first] - seconds[first + 1]));
    steps[precision].push(1000 * seconds[first + 1]);
  }
}
const medians = (of: Record<string, number[]>) =>
  Object.fromEntries(Object.entries(of).map(([precision, list]) => [precision, median(list)]));
console.log(
  JSON.stringify({
    model: reference,
    changes: differences[high].length + differences.int8.length,
    /** Milliseconds that the first step after a change takes longer than the next. */
    switching: { ...medians(differences), all: median(Object.values(differences).flat()) },
    /** Milliseconds of a step. */
    steps: medians(steps),
  }),
);
await loaded.dispose();
