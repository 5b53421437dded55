import { attention } from '../../src/ir/ops/attention.ts';
import { attentionGradient } from '../../src/ir/ops/attention-gradient.ts';
import { groupNormGradient } from '../../src/ir/ops/group-norm-gradient.ts';
import { layerNormGradient } from '../../src/ir/ops/layer-norm-gradient.ts';
import { sum } from '../../src/ir/ops/sum.ts';
import { upsampleNearestGradient } from '../../src/ir/ops/upsample-nearest-gradient.ts';
import { makeTrial } from './op-trial.ts';
import { testProblem } from './problem.ts';
import { noiseTensor } from './random.ts';
import { EPS_BF16, EPS32, rounding } from './tolerance.ts';

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

const RESAMPLINGS = [
  { from: [4, 4], to: [8, 8] },
  { from: [3, 5], to: [9, 5] },
  { from: [3, 4], to: [5, 7] },
  { from: [5, 3], to: [8, 6] },
  { from: [5, 4], to: [3, 6] },
] as const;
for (const { from, to } of RESAMPLINGS) {
  testProblem({
    name: `of resampling ${from} to ${to}`,
    op: 'sum',
    dtypes: ['f32', 'bf16'],
    flops: 0,
    make: (dtype) =>
      makeTrial(
        (t) => {
          const gradient = t.input('gradient', noiseTensor(1, dtype, [2, ...to, 21]));
          return upsampleNearestGradient(t.b, gradient, { height: from[0], width: from[1] });
        },
        (y, _i, stored) => 32 * EPS32 + rounding(stored, y),
      ),
  });
}

interface Attention {
  readonly batch: number;
  readonly heads: number;
  readonly queries: number;
  readonly keys: number;
  readonly width: number;
  readonly causal?: true;
  /** Standard deviation of queries and keys, 1 unless given; scores have its square. */
  readonly deviation?: number;
}

const ATTENTIONS: readonly Attention[] = [
  { batch: 2, heads: 8, queries: 64, keys: 64, width: 40 },
  { batch: 1, heads: 2, queries: 100, keys: 77, width: 16 },
  { batch: 2, heads: 3, queries: 33, keys: 33, width: 5, causal: true },
  { batch: 1, heads: 1, queries: 1, keys: 1, width: 1 },
  { batch: 1, heads: 4, queries: 3, keys: 50, width: 1 },
  { batch: 1, heads: 1, queries: 2200, keys: 1000, width: 3 },
  // Several chunks of queries, each with sums of its own.
  { batch: 1, heads: 2, queries: 200, keys: 150, width: 40 },
  { batch: 1, heads: 1, queries: 290, keys: 290, width: 13, causal: true },
  { batch: 1, heads: 2, queries: 97, keys: 64, width: 80 },
  { batch: 1, heads: 1, queries: 64, keys: 49, width: 160 },
  // Scores whose exponentials overflow, or vanish, unless something is subtracted from them.
  { batch: 1, heads: 1, queries: 100, keys: 64, width: 40, deviation: 8 },
  { batch: 1, heads: 1, queries: 120, keys: 120, width: 16, causal: true, deviation: 12 },
];
for (const shape of ATTENTIONS) {
  const { batch, heads, queries, keys, width, causal = false, deviation = 1 } = shape;
  for (const result of ['q', 'k', 'v'] as const) {
    testProblem({
      name: `of ${result}, ${batch}×${heads}×${queries}×${keys}×${width}${causal ? ', causal' : ''}${deviation > 1 ? `, of deviation ${deviation}` : ''}`,
      op: 'attentionGradient',
      dtypes: ['f32', 'bf16'],
      flops: 10 * batch * heads * queries * keys * width,
      make: (dtype) => {
        const scale = 1 / Math.sqrt(width);
        // Numbers stay within four deviations; probabilities of a query sum to 1, and those of a
        // key to a few times its share of the queries. bf16 rounds P, dS and the output.
        // Scores are rounded in f32, which moves each probability by that much.
        const scores = 64 * EPS32 * deviation ** 2;
        const relative = scores + (dtype === 'bf16' ? 3 * EPS_BF16 : 0);
        const perKey = causal ? 8 : 4 * Math.max(1, queries / keys);
        const ofScores = 8 * Math.sqrt(width) * scale * 4 * deviation;
        const size = { q: ofScores, k: ofScores * perKey, v: 4 * perKey }[result];
        return makeTrial(
          (t) => {
            const tokens = (name: string, seed: number, count: number, spread = 1) =>
              t.input(name, noiseTensor(seed, dtype, [batch, count, heads * width], spread));
            const q = tokens('q', 1, queries, deviation);
            const k = tokens('k', 2, keys, deviation);
            const v = tokens('v', 3, keys);
            const gradient = tokens('gradient', 4, queries);
            const output = attention(t.b, q, k, v, { heads, causal });
            const inputs = { q, k, v, output, gradient };
            return attentionGradient(t.b, inputs, { heads, scale, causal })[result];
          },
          (y, _i, stored) => (relative * size) / 4 + rounding(stored, y),
        );
      },
    });
  }
}
