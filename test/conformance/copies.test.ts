import type { DType } from '../../src/core/dtype.ts';
import type { Tensor } from '../../src/core/tensor.ts';
import type { Value } from '../../src/ir/graph.ts';
import {
  broadcast,
  concat,
  embedding,
  pad,
  permute,
  slice,
  timestepEmbedding,
  upsampleNearest,
} from '../../src/ir/ops/index.ts';
import { makeTrial, type TrialBuilder } from './op-trial.ts';
import { type Problem, testProblem } from './problem.ts';
import { noiseTensor } from './random.ts';
import { EPS32 } from './tolerance.ts';

/** Problems that only move numbers, which must arrive as they were. */
function copyProblem(
  name: string,
  build: (t: TrialBuilder, noiseOf: (name: string, shape: number[]) => Value) => Value,
): Problem {
  return {
    name,
    op: 'copy',
    dtypes: ['f32', 'bf16'],
    flops: 0,
    make: (dtype) =>
      makeTrial(
        (t) => build(t, (input, shape) => t.input(input, noiseTensor(input.length, dtype, shape))),
        () => 0,
      ),
  };
}

const COPIES: readonly Problem[] = [
  copyProblem('slice columns', (t, x) =>
    slice(t.b, x('x', [2, 9, 30]), { axis: 2, start: 7, length: 11 }),
  ),
  copyProblem('slice rows', (t, x) =>
    slice(t.b, x('x', [2, 9, 30]), { axis: 1, start: 3, length: 4 }),
  ),
  copyProblem('slice the batch', (t, x) =>
    slice(t.b, x('x', [4, 8, 8, 4]), { axis: 0, start: 2, length: 2 }),
  ),
  copyProblem('concatenate channels', (t, x) =>
    concat(t.b, x('x', [2, 8, 8, 320]), x('skip', [2, 8, 8, 640])),
  ),
  copyProblem('concatenate odd channels', (t, x) =>
    concat(t.b, x('x', [3, 5, 7]), x('skip', [3, 5, 2])),
  ),
  copyProblem('concatenate tokens', (t, x) =>
    concat(t.b, x('x', [1, 77, 64]), x('skip', [1, 77, 64]), { axis: 1 }),
  ),
  copyProblem('permute to channels first', (t, x) =>
    permute(t.b, x('x', [2, 8, 6, 20]), [0, 3, 1, 2]),
  ),
  copyProblem('permute five axes', (t, x) =>
    permute(t.b, x('x', [2, 3, 4, 5, 6]), [4, 2, 0, 3, 1]),
  ),
  copyProblem('transpose', (t, x) => permute(t.b, x('x', [37, 53]), [1, 0])),
  copyProblem('upsample ×2', (t, x) =>
    upsampleNearest(t.b, x('x', [2, 5, 7, 33]), { height: 10, width: 14 }),
  ),
  copyProblem('upsample ×3 × 1', (t, x) =>
    upsampleNearest(t.b, x('x', [1, 5, 7, 4]), { height: 15, width: 7 }),
  ),
  copyProblem('upsample to odd sizes', (t, x) =>
    upsampleNearest(t.b, x('x', [2, 5, 8, 6]), { height: 9, width: 13 }),
  ),
  copyProblem('downsample', (t, x) =>
    upsampleNearest(t.b, x('x', [1, 9, 8, 3]), { height: 4, width: 5 }),
  ),
  copyProblem('broadcast', (t, x) => broadcast(t.b, x('x', [3, 1, 5]), [2, 3, 4, 5])),
  copyProblem('pad', (t, x) => pad(t.b, x('x', [2, 5, 6]), { axis: 1, before: 2, after: 1 })),
  copyProblem('pad behind only', (t, x) =>
    pad(t.b, x('x', [2, 5, 6]), { axis: 2, before: 0, after: 3 }),
  ),
];
for (const problem of COPIES) testProblem(problem);

const TABLES = [
  { ids: [2, 77], rows: 500, width: 768 },
  { ids: [1, 77], rows: 77, width: 1024 },
  { ids: [1], rows: 1, width: 1 },
  { ids: [3, 5], rows: 11, width: 13 },
];
for (const { ids, rows, width } of TABLES) {
  testProblem({
    name: `${ids.join('×')} of ${rows} rows of ${width}`,
    op: 'embedding',
    dtypes: ['f32', 'bf16'],
    flops: 0,
    make: (dtype: DType) =>
      makeTrial(
        (t) => {
          const table = t.parameter('table', noiseTensor(1, dtype, [rows, width]));
          return embedding(t.b, t.input('ids', spreadIds(ids, rows)), table);
        },
        () => 0,
      ),
  });
}

/** Row numbers with the first and the last among them. */
function spreadIds(shape: readonly number[], rows: number): Tensor {
  const count = shape.reduce((a, b) => a * b, 1);
  const data = Int32Array.from({ length: count }, (_, i) => (i * 7919) % rows);
  data[count - 1] = rows - 1;
  return { dtype: 's32', shape, data };
}

const TIMESTEPS = Float32Array.of(0, 1, 21, 500, 981, 999);
const EMBEDDINGS = [
  { dim: 320, flipSinToCos: true, freqShift: 0, maxPeriod: 10000 },
  { dim: 128, flipSinToCos: false, freqShift: 1, maxPeriod: 10000 },
  { dim: 6, flipSinToCos: true, freqShift: 0.5, maxPeriod: 100 },
];
for (const attributes of EMBEDDINGS) {
  testProblem({
    name: `dim ${attributes.dim}, shift ${attributes.freqShift}`,
    op: 'timestepEmbedding',
    dtypes: ['f32'],
    flops: 0,
    make: () => {
      const timestep: Tensor = { dtype: 'f32', shape: [TIMESTEPS.length], data: TIMESTEPS };
      return makeTrial(
        (t) => timestepEmbedding(t.b, t.input('timestep', timestep), attributes),
        // The frequency is exp of an f32 number, so its last place may differ: the angle, up to
        // 1000, moves by as much.
        (_, i) => 4 * EPS32 * (1 + TIMESTEPS[Math.floor(i / attributes.dim)]),
      );
    },
  });
}
