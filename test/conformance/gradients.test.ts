import { groupNormGradient } from '../../src/ir/ops/group-norm-gradient.ts';
import { layerNormGradient } from '../../src/ir/ops/layer-norm-gradient.ts';
import { sum } from '../../src/ir/ops/sum.ts';
import { upsampleNearestGradient } from '../../src/ir/ops/upsample-nearest-gradient.ts';
import { makeTrial } from './op-trial.ts';
import { testProblem } from './problem.ts';
import { noiseTensor } from './random.ts';
import { EPS32, rounding } from './tolerance.ts';

// Gradients that are no products, and sums.

interface Norm {
  readonly shape: readonly number[];
  /** Of group normalisation; layer normalisation has none. */
  readonly groups?: number;
  /** Of the inputs, in deviations. */
  readonly mean?: number;
  /** A gamma stored as bf16 has a gradient of that type. */
  readonly gamma?: 'bf16';
}

const NORMS: readonly Norm[] = [
  { shape: [2, 64, 320] },
  { shape: [1, 100, 640], mean: 20 },
  { shape: [3, 33] },
  { shape: [70, 5] },
  { shape: [2, 1] },
  { shape: [2, 7, 96], gamma: 'bf16' },
  { shape: [2, 16, 16, 320], groups: 32 },
  { shape: [1, 32, 32, 64], groups: 32, mean: 20 },
  { shape: [1, 8, 8, 640], groups: 32 },
  { shape: [3, 5, 7, 12], groups: 1 },
  { shape: [2, 9, 5, 17], groups: 17 },
  { shape: [2, 77, 33], groups: 11, gamma: 'bf16' },
];
const RESULTS = ['x', 'gamma', 'beta'] as const;
for (const { shape, groups, mean = 0, gamma: gammaType } of NORMS) {
  for (const result of RESULTS) {
    testProblem({
      name: `of ${result}, [${shape}]${groups ? ` in ${groups}` : ''}${mean ? ', a large mean' : ''}`,
      op: groups ? 'groupNormGradient' : 'layerNormGradient',
      dtypes: ['f32', 'bf16'],
      flops: 0,
      make: (dtype) => {
        const channels = shape[shape.length - 1];
        const summed = shape.slice(0, -1).reduce((a, b) => a * b, 1);
        // Both factors of the gradients stay within five deviations, x with its mean before that is
        // taken away; a few numbers that are normalised may lie close together.
        const spread = groups || channels >= 16 ? 1 : 16;
        const size = 16 * EPS32 * 5 * (5 + mean) * spread * (result === 'x' ? spread : 1);
        const error = result === 'x' ? size : size * Math.sqrt(summed);
        return makeTrial(
          (t) => {
            const x = t.input('x', noiseTensor(1, dtype, shape, 1, mean));
            const gradient = t.input('gradient', noiseTensor(2, dtype, shape));
            const scales = noiseTensor(3, gammaType ?? 'f32', [channels], 0.3, 1);
            const inputs = { x, gamma: t.parameter('gamma', scales), gradient };
            const gradients = groups
              ? groupNormGradient(t.b, inputs, { groups, eps: 1e-5 })
              : layerNormGradient(t.b, inputs, { eps: 1e-5 });
            return gradients[result];
          },
          (y, _i, stored) => error + rounding(stored, y),
        );
      },
    });
  }
}

const SUMS: readonly { shape: readonly number[]; axes: readonly number[] }[] = [
  { shape: [4096, 320], axes: [0] },
  { shape: [2, 8, 8, 33], axes: [0, 1, 2] },
  { shape: [2, 64, 7], axes: [1] },
  { shape: [3, 40001], axes: [1] },
  { shape: [300000], axes: [0] },
  { shape: [5, 3, 4, 6], axes: [0, 2] },
  { shape: [5, 3, 4, 6], axes: [1, 3] },
  { shape: [7, 1, 2], axes: [0, 1] },
];
for (const { shape, axes } of SUMS) {
  testProblem({
    name: `of [${shape}] over ${axes}`,
    op: 'sum',
    dtypes: ['f32', 'bf16'],
    flops: 0,
    make: (dtype) =>
      makeTrial(
        (t) => sum(t.b, t.input('x', noiseTensor(1, dtype, shape)), { axes }),
        // Summed in double; between two sums there is f32.
        (y, _i, stored) => 64 * EPS32 * (axes.length - 1) + 2 * EPS32 + rounding(stored, y),
      ),
  });
}

for (const [from, to] of [
  [4, 8],
  [3, 9],
] as const) {
  testProblem({
    name: `of resampling ${from} to ${to}`,
    op: 'sum',
    dtypes: ['f32', 'bf16'],
    flops: 0,
    make: (dtype) =>
      makeTrial(
        (t) => {
          const gradient = t.input('gradient', noiseTensor(1, dtype, [2, to, to, 21]));
          return upsampleNearestGradient(t.b, gradient, { height: from, width: from });
        },
        (y, _i, stored) => 32 * EPS32 + rounding(stored, y),
      ),
  });
}
