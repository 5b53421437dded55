import type { QuantizationParams } from '../../src/core/quantization-params.ts';
import { floats, type Tensor } from '../../src/core/tensor.ts';
import { groupNormOp } from '../../src/ir/ops/group-norm.ts';
import { layerNormOp } from '../../src/ir/ops/layer-norm.ts';
import { quantizeAttribute } from '../../src/ir/ops/stored-type.ts';
import { makeTrial } from './op-trial.ts';
import { type Problem, type Trial, testProblem } from './problem.ts';
import { noiseTensor } from './random.ts';
import { asCodes } from './stored-codes.ts';
import { EPS32, rounding, STEEPEST } from './tolerance.ts';

// Means and variances of many f32 numbers, with blocked sums, then four more operations.
const NORM = 16;

interface GroupNormShape {
  readonly name: string;
  readonly shape: readonly number[];
  readonly skip?: number;
  readonly groups?: number;
  readonly eps?: number;
  readonly silu?: boolean;
  /** Mean of the inputs, in deviations: large ones cancel in a careless variance. */
  readonly mean?: number;
  readonly deviation?: number;
  /** Stores codes. */
  readonly codes?: QuantizationParams;
}

// Of numbers that lie mostly in -3 ... 3; some saturate. SiLU leaves few below 0.
const CODES = { scale: 0.021, zeroPoint: 121 };
const SILU_CODES = { scale: 0.013, zeroPoint: 21 };

const GROUP_NORMS: readonly GroupNormShape[] = [
  { name: 'U-Net 320 + SiLU', shape: [2, 16, 16, 320], silu: true, eps: 1e-5 },
  { name: 'U-Net 64×64, 320', shape: [1, 64, 64, 320], silu: true, eps: 1e-5 },
  { name: 'U-Net 640', shape: [2, 8, 8, 640], eps: 1e-6 },
  { name: 'U-Net 1280 + 1280, SiLU', shape: [2, 8, 8, 1280], skip: 1280, silu: true },
  { name: 'U-Net 1280 + 640: a group spans both', shape: [1, 8, 8, 1280], skip: 640, silu: true },
  { name: 'U-Net 640 + 320', shape: [2, 16, 16, 640], skip: 320, silu: true },
  { name: 'U-Net 320 + 320', shape: [1, 16, 16, 320], skip: 320, silu: true },
  { name: 'autoencoder 512', shape: [1, 16, 16, 512], silu: true, eps: 1e-6 },
  { name: 'autoencoder 128', shape: [1, 48, 48, 128], silu: true, eps: 1e-6 },
  { name: 'one number', shape: [1, 1, 1, 1], groups: 1 },
  { name: 'one group', shape: [3, 5, 7, 12], groups: 1, silu: true },
  { name: 'a group for each channel', shape: [2, 9, 5, 17], groups: 17 },
  { name: 'groups of 3', shape: [2, 7, 3, 33], groups: 11 },
  { name: 'tokens', shape: [2, 77, 64], groups: 8 },
  { name: 'rows alone', shape: [4, 96], groups: 32 },
  { name: '17 + 7 channels in 4 groups', shape: [2, 3, 5, 17], skip: 7, groups: 4, silu: true },
  { name: 'a large mean', shape: [2, 32, 32, 64], mean: 30 },
  { name: 'tiny numbers under eps', shape: [1, 16, 16, 64], deviation: 1e-4, eps: 1e-5 },
  { name: 'codes, U-Net 320 + SiLU', shape: [2, 16, 16, 320], silu: true, codes: SILU_CODES },
  { name: 'codes, U-Net 640', shape: [2, 8, 8, 640], eps: 1e-6, codes: CODES },
  { name: 'codes, 640 + 320', shape: [2, 8, 8, 640], skip: 320, silu: true, codes: SILU_CODES },
  { name: 'codes, 17 + 7', shape: [2, 3, 5, 17], skip: 7, groups: 4, codes: CODES },
  {
    name: 'codes, saturated',
    shape: [2, 5, 5, 33],
    groups: 11,
    codes: { scale: 1e-3, zeroPoint: 0 },
  },
  { name: 'codes, a mean', shape: [1, 9, 9, 64], mean: 30, codes: { scale: 0.1, zeroPoint: 255 } },
];

function groupNormProblem(spec: GroupNormShape): Problem {
  const { name, shape, skip = 0, groups = 32, eps = 1e-5, deviation = 1, mean = 0, codes } = spec;
  return {
    name,
    op: 'groupNorm',
    dtypes: ['f32', 'bf16'],
    flops: 0,
    ways: [{ groupNormSplit: 'groups' }, { groupNormSplit: 'channels' }],
    make: (dtype) => {
      const channels = shape[shape.length - 1] + skip;
      const gamma = noiseTensor(3, 'f32', [channels], 0.3, 1);
      const beta = noiseTensor(4, 'f32', [channels], 0.5);
      const x = noiseTensor(1, dtype, shape, deviation, mean * deviation);
      const more = noiseTensor(2, dtype, shape.with(-1, skip || 1), deviation, mean * deviation);
      const bound = normBound(gamma, beta, mean, Math.max(deviation, Math.sqrt(eps)) / deviation);
      const activation = spec.silu ? 'silu' : 'none';
      const trial = makeTrial(
        (t) => {
          const operands = {
            x: t.input('x', x),
            ...(skip > 0 && { skip: t.input('skip', more) }),
            gamma: t.parameter('gamma', gamma),
            beta: t.parameter('beta', beta),
          };
          return t.b.apply(groupNormOp.name as 'groupNorm', operands, {
            groups,
            eps,
            activation,
            ...(codes && { quantize: quantizeAttribute(codes) }),
          })[0];
        },
        (y, i) => STEEPEST * bound(i % channels) + rounding(codes ? 'f32' : dtype, y),
      );
      return withCodes(trial, codes);
    },
  };
}

/** The trial as it is, or with its numbers stored as codes. */
async function withCodes(
  trial: Promise<Trial>,
  codes: QuantizationParams | undefined,
): Promise<Trial> {
  const { expectation, ...rest } = await trial;
  return { ...rest, expectation: codes ? asCodes(expectation, codes) : expectation };
}

/**
 * Errors of (x - mean) / deviation · gamma + beta: the input's magnitude in deviations, which is
 * what f32 rounds before the mean goes away, times gamma, and beta.
 */
function normBound(
  gamma: Tensor,
  beta: Tensor,
  mean: number,
  damping: number,
): (channel: number) => number {
  const scale = floats(gamma);
  const shift = floats(beta);
  // Noise stays within five deviations. A variance far below eps damps everything.
  const magnitude = (5 + Math.abs(mean)) / damping;
  return (c) => NORM * EPS32 * (Math.abs(scale[c]) * magnitude + Math.abs(shift[c]));
}

for (const shape of GROUP_NORMS) testProblem(groupNormProblem(shape));

interface LayerNormShape {
  readonly shape: number[];
  readonly mean?: number;
  readonly codes?: QuantizationParams;
}

const LAYER_NORMS: readonly LayerNormShape[] = [
  { shape: [2, 256, 320] },
  { shape: [2, 64, 640] },
  { shape: [2, 77, 768] },
  { shape: [1, 77, 1024] },
  { shape: [2, 64, 1280] },
  { shape: [1, 1] },
  { shape: [3, 7] },
  { shape: [5, 33] },
  { shape: [1, 4099] },
  { shape: [33, 96], mean: 20 },
  { shape: [2, 64, 320], codes: CODES },
  { shape: [5, 33], codes: CODES },
  { shape: [3, 1280], codes: { scale: 0.01, zeroPoint: 200 } },
];
for (const { shape, mean = 0, codes } of LAYER_NORMS) {
  testProblem({
    name: `[${shape}]${mean ? ', a large mean' : ''}${codes ? ', codes' : ''}`,
    op: 'layerNorm',
    dtypes: ['f32', 'bf16'],
    flops: 0,
    make: (dtype) => {
      const channels = shape[shape.length - 1];
      const gamma = noiseTensor(3, 'f32', [channels], 0.3, 1);
      const beta = noiseTensor(4, 'f32', [channels], 0.5);
      // A row of few numbers may lie close together; its deviation is what bounds the error.
      const bound = normBound(gamma, beta, mean, channels < 16 ? 1 / 16 : 1);
      const trial = makeTrial(
        (t) => {
          const x = t.input('x', noiseTensor(1, dtype, shape, 1, mean));
          const operands = {
            x,
            gamma: t.parameter('gamma', gamma),
            beta: t.parameter('beta', beta),
          };
          const quantize = codes && { quantize: quantizeAttribute(codes) };
          return t.b.apply(layerNormOp.name as 'layerNorm', operands, {
            eps: 1e-5,
            ...quantize,
          })[0];
        },
        (y, i) => bound(i % channels) + rounding(codes ? 'f32' : dtype, y),
      );
      return withCodes(trial, codes);
    },
  });
}
