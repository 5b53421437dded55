import type { DType } from '../../src/core/dtype.ts';
import { floats, type Tensor } from '../../src/core/tensor.ts';
import type { Value } from '../../src/ir/graph.ts';
import type { GraphBuilder } from '../../src/ir/graph-builder.ts';
import { conv2d } from '../../src/ir/ops/conv2d.ts';
import type { Padding } from '../../src/ir/ops/conv2d-geometry.ts';
import { conv2dInputGradient } from '../../src/ir/ops/conv2d-input-gradient.ts';
import { conv2dWeightGradient } from '../../src/ir/ops/conv2d-weight-gradient.ts';
import { matmul } from '../../src/ir/ops/matmul.ts';
import { exactOutput, TrialBuilder } from './op-trial.ts';
import { type Trial, testProblem } from './problem.ts';
import { noiseTensor } from './random.ts';
import { EPS32, rounding } from './tolerance.ts';

// Products of two computed operands: the gradients of layers, and matmul.

interface Shapes {
  readonly name: string;
  readonly first: readonly number[];
  readonly second: readonly number[];
  /** Products summed for one number. */
  readonly depth: number;
  readonly outputs: number;
}

function testProduct(
  { name, first, second, depth, outputs }: Shapes,
  build: (b: GraphBuilder, first: Value, second: Value) => Value,
): void {
  testProblem({
    name,
    op: 'conv2d',
    dtypes: ['f32', 'bf16'],
    flops: 2 * depth * outputs,
    make: async (dtype) => {
      const operands = [noiseTensor(1, dtype, first), noiseTensor(2, dtype, second)];
      const trial = await exactTrial(build, operands);
      const magnitudes = (await exactTrial(build, operands.map(magnitude))).expected;
      const allowed = trial.expected.map((y, i) => bound(dtype, depth, y, magnitudes[i]));
      return { ...trial, expectation: { expected: trial.expected, allowed } };
    },
  });
}

/** Rounded sums of `depth` products whose magnitudes sum to `magnitude`, rounded once more. */
function bound(dtype: DType, depth: number, y: number, magnitude: number): number {
  return EPS32 * (4 + Math.sqrt(depth)) * magnitude + rounding(dtype, y);
}

async function exactTrial(
  build: (b: GraphBuilder, first: Value, second: Value) => Value,
  [first, second]: readonly Tensor[],
): Promise<Omit<Trial, 'expectation'> & { expected: Float64Array }> {
  const t = new TrialBuilder();
  const trial = t.finish(build(t.b, t.input('first', first), t.input('second', second)));
  return { ...trial, expected: await exactOutput(trial) };
}

function magnitude({ shape, ...rest }: Tensor): Tensor {
  return { dtype: 'f32', shape, data: floats({ shape, ...rest }).map(Math.abs) };
}

interface Matmul {
  readonly stack?: readonly number[];
  readonly rows: number;
  readonly depth: number;
  readonly columns: number;
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
}

const MATMULS: readonly Matmul[] = [
  { rows: 1, depth: 1, columns: 1 },
  { rows: 7, depth: 13, columns: 5 },
  { rows: 5, depth: 3, columns: 67, transposeA: true },
  { rows: 19, depth: 31, columns: 9, transposeB: true },
  { rows: 6, depth: 10, columns: 4, transposeA: true, transposeB: true },
  { rows: 40, depth: 50, columns: 6, transposeA: true },
  { stack: [2], rows: 90, depth: 300, columns: 7, transposeA: true },
  { rows: 128, depth: 320, columns: 320 },
  { rows: 320, depth: 320, columns: 130, transposeA: true },
  { rows: 33, depth: 1300, columns: 70, transposeA: true },
  { stack: [3], rows: 8, depth: 5, columns: 6 },
  { stack: [2, 2], rows: 4, depth: 7, columns: 9, transposeA: true },
  { stack: [3], rows: 12, depth: 8, columns: 17, transposeB: true },
];
for (const {
  stack = [],
  rows,
  depth,
  columns,
  transposeA = false,
  transposeB = false,
} of MATMULS) {
  const first = [...stack, ...(transposeA ? [depth, rows] : [rows, depth])];
  const second = [...stack, ...(transposeB ? [columns, depth] : [depth, columns])];
  const outputs = rows * columns * stack.reduce((a, b) => a * b, 1);
  const name = `matmul [${first}]${transposeA ? 'ᵀ' : ''} [${second}]${transposeB ? 'ᵀ' : ''}`;
  testProduct({ name, first, second, depth, outputs }, (b, x, y) =>
    matmul(b, x, y, { transposeA, transposeB }),
  );
}

interface Layer {
  readonly image: readonly [batch: number, height: number, width: number];
  readonly inner: number;
  readonly outputs: number;
  readonly kernel?: readonly [height: number, width: number];
  readonly stride?: number;
  readonly padding?: Padding;
}

const SAME: Padding = [1, 1, 1, 1];
const LAYERS: readonly Layer[] = [
  { image: [1, 1, 1], inner: 1, outputs: 1, padding: SAME },
  { image: [2, 5, 7], inner: 3, outputs: 5, padding: SAME },
  { image: [1, 6, 4], inner: 9, outputs: 67, kernel: [1, 1] },
  { image: [2, 8, 8], inner: 65, outputs: 20, padding: SAME },
  { image: [2, 8, 6], inner: 5, outputs: 7, stride: 2, padding: SAME },
  { image: [1, 7, 9], inner: 6, outputs: 3, stride: 2, padding: SAME },
  { image: [1, 8, 8], inner: 4, outputs: 6, stride: 2, padding: [0, 1, 0, 1] },
  { image: [2, 7, 8], inner: 4, outputs: 6, stride: 2, padding: [0, 0, 0, 0] },
  { image: [1, 9, 11], inner: 2, outputs: 3, stride: 3, kernel: [2, 4], padding: [1, 0, 2, 3] },
  { image: [1, 6, 5], inner: 4, outputs: 2, stride: 2, kernel: [1, 1] },
  { image: [1, 5, 5], inner: 3, outputs: 2, kernel: [5, 5] },
  { image: [1, 16, 16], inner: 64, outputs: 64, padding: SAME },
];
for (const layer of LAYERS) {
  const { image, inner, outputs, stride = 1, padding = [0, 0, 0, 0] } = layer;
  const [batch, height, width] = image;
  const [kernelHeight, kernelWidth] = layer.kernel ?? [3, 3];
  const taps = kernelHeight * kernelWidth;
  const rows = Math.floor((height + padding[0] + padding[1] - kernelHeight) / stride) + 1;
  const columns = Math.floor((width + padding[2] + padding[3] - kernelWidth) / stride) + 1;
  const positions = batch * rows * columns;
  const gradient = [batch, rows, columns, outputs];
  const name = `[${image}] ${inner}→${outputs} ${kernelHeight}×${kernelWidth}, stride ${stride}, padding ${padding}`;
  testProduct(
    {
      name: `computed weights ${name}`,
      first: [...image, inner],
      second: [outputs, inner, kernelHeight, kernelWidth],
      depth: inner * taps,
      outputs: positions * outputs,
    },
    (b, x, weight) => conv2d(b, x, weight, undefined, { stride, padding }),
  );
  testProduct(
    {
      name: `input gradient ${name}`,
      first: gradient,
      second: [outputs, inner, kernelHeight, kernelWidth],
      depth: outputs * taps,
      outputs: batch * height * width * inner,
    },
    (b, g, weight) => conv2dInputGradient(b, g, weight, { stride, padding, height, width }),
  );
  testProduct(
    {
      name: `weight gradient ${name}`,
      first: [...image, inner],
      second: gradient,
      depth: positions,
      outputs: outputs * inner * taps,
    },
    (b, x, g) => conv2dWeightGradient(b, x, g, { stride, padding, kernelHeight, kernelWidth }),
  );
}
