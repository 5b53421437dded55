/**
 * Whole images in high precision and in mixed precision, in turn: text encoder, steps, decoder.
 * Everything is compiled and its weights are packed before the first image that counts.
 *
 *   node bench/whole-run.ts MODEL [--steps 50] [--high-precision-steps 5] [--rounds 2] [--size 512x512]
 *
 * MODEL is a folder that `bookend quantize` has made.
 */
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { median } from '../src/evaluation/benchmark.ts';
import { psnr } from '../src/evaluation/psnr.ts';
import { type GenerationResult, StableDiffusionPipeline } from '../src/index.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    steps: { type: 'string', default: '50' },
    'high-precision-steps': { type: 'string', default: '5' },
    rounds: { type: 'string', default: '2' },
    size: { type: 'string' },
  },
});
const [reference] = positionals;
if (reference === undefined) {
  console.error('Name a quantized model: node bench/whole-run.ts MODEL');
  process.exit(2);
}
const [width, height] = values.size?.split('x').map(Number) ?? [];
const highPrecisionSteps = Number(values['high-precision-steps']);
const pipe = await StableDiffusionPipeline.fromPretrained(reference);
const high = pipe.model.precision;

function draw(numInferenceSteps: number, k: number, mixed: boolean): Promise<GenerationResult> {
  const precision = mixed ? ({ precision: 'mixed', highPrecisionSteps: k } as const) : {};
  const request = { numInferenceSteps, scheduler: 'ddim', seed: 1, width, height } as const;
  return pipe('a fox in the snow', { ...request, ...precision });
}

await draw(3, 1, true); // compiles both, packs all weights
const seconds: Record<string, number[]> = { high: [], mixed: [] };
const ratios: number[] = [];
for (let round = 0; round < Number(values.rounds); round++) {
  const full = await draw(Number(values.steps), 0, false);
  const mixed = await draw(Number(values.steps), highPrecisionSteps, true);
  seconds.high.push(full.timings.total);
  seconds.mixed.push(mixed.timings.total);
  ratios.push(mixed.timings.total / full.timings.total);
  console.log(
    `${high} ${describe(full)}; mixed k=${highPrecisionSteps} ${describe(mixed)}; ratio ${ratios[round].toFixed(3)}; PSNR ${psnr(full.images[0], mixed.images[0]).toFixed(1)} dB`,
  );
  if (round === Number(values.rounds) - 1) {
    console.log(
      `medians: ${high} ${median(seconds.high).toFixed(1)} s, mixed ${median(seconds.mixed).toFixed(1)} s, ratio ${median(ratios).toFixed(3)}; peak memory ${(mixed.peakMemory / 2 ** 30).toFixed(2)} GiB; ${cpus()[0]?.model.trim()}`,
    );
  }
}
await pipe.dispose();

function describe({ timings, schedule }: GenerationResult): string {
  const stepsOf = (precision: string) => timings.steps.filter((_, i) => schedule[i] === precision);
  const parts = [...new Set(schedule)].map(
    (precision) => `${precision} step ${median(stepsOf(precision)).toFixed(3)}`,
  );
  return `${timings.total.toFixed(1)} s (${parts.join(', ')}, decode ${timings.decode.toFixed(1)})`;
}
