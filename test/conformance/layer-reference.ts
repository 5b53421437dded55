import type { DType } from '../../src/core/dtype.ts';
import { floats, type Tensor } from '../../src/core/tensor.ts';
import type { Activation } from '../../src/ir/ops/epilogue.ts';
import { erf } from '../../src/ir/scalar-functions.ts';
import type { Expectation } from './problem.ts';
import { EPS32, rounding, STEEPEST } from './tolerance.ts';

/** A convolution's operands, and which of their elements meet. */
export interface Products {
  /** [batch, height, width, channels] */
  readonly x: Tensor;
  readonly skip?: Tensor;
  /** [outputs, channels of both, kernel height, kernel width] */
  readonly weight: Tensor;
  readonly stride: number;
  readonly padTop: number;
  readonly padLeft: number;
  readonly upsample: 1 | 2;
  /** [batch, height, width, columns], columns after geglu */
  readonly outShape: readonly number[];
}

/** Everything about a convolution or linear layer (a 1×1 one); tensors as the graph has them. */
export interface LayerData extends Products, Epilogue {
  readonly bias?: Tensor;
  readonly rowBias?: Tensor;
}

/** What follows the sum and its biases. */
export interface Epilogue {
  readonly residual?: Tensor;
  readonly activation: Activation;
  readonly outputScale: number;
}

/** A number, and how far from it a kernel may be. */
export interface Bounded {
  readonly value: number;
  readonly allowed: number;
}

/** The products of one source at one output, summed. */
interface SourceSum {
  readonly value: number;
  readonly inputSquares: number;
  readonly weightSquares: number;
}

// Random-walk rounding of f32 sums in any order has a deviation below eps · ‖x‖‖w‖; eight of those
// leave room for millions of samples.
const SUM_CONSTANT = 8;
// Elementary functions of the kernels are good to a few units in the last place.
const FUNCTION_CONSTANT = 8;

const ACTIVATIONS: Record<Exclude<Activation, 'geglu'>, (x: number) => number> = {
  none: (x) => x,
  silu: (x) => x / (1 + Math.exp(-x)),
  gelu: (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
  quickGelu: (x) => x / (1 + Math.exp(-1.702 * x)),
  relu: (x) => Math.max(0, x),
};

/** The layer at chosen output positions, in float64, with bounds from the norms of what is summed. */
export function expectLayer(data: LayerData, positions: readonly number[]): Expectation {
  const evaluate = layerEvaluator(data);
  const results = positions.map(evaluate);
  return {
    positions,
    expected: results.map((result) => result.value),
    allowed: results.map((result) => result.allowed),
  };
}

function layerEvaluator(data: LayerData): (position: number) => Bounded {
  const dtype: DType = data.x.dtype;
  const unrounded = layerResults(data);
  return (position) => {
    const { value, allowed } = unrounded(position);
    return { value, allowed: allowed + rounding(dtype, value) };
  };
}

/** The layer's results before they are stored. */
export function layerResults(data: LayerData): (position: number) => Bounded {
  return epilogue(data, data.outShape[3], summation(data));
}

/** The sum at one pixel and weight row, biases included, in any order and in f32. */
function summation(data: LayerData): (pixel: number, row: number) => Bounded {
  const sumsAt = sourceSums(data);
  const biasAt = biases(data);
  return (pixel, row) => {
    let sum = 0;
    let inputSquares = 0;
    let weightSquares = 0;
    for (const source of sumsAt(pixel, row)) {
      sum += source.value;
      inputSquares += source.inputSquares;
      weightSquares += source.weightSquares;
    }
    const { value } = biasAt(pixel, row);
    const norm = Math.sqrt(inputSquares * weightSquares) + Math.abs(value) + Math.abs(sum);
    return { value: sum + value, allowed: SUM_CONSTANT * EPS32 * norm };
  };
}

/** What bias and row bias add at one pixel and weight row, and the sum of their magnitudes. */
export function biases({
  bias,
  rowBias,
  weight,
  outShape,
}: Pick<LayerData, 'bias' | 'rowBias' | 'weight' | 'outShape'>): (
  pixel: number,
  row: number,
) => { value: number; magnitude: number } {
  const outputs = weight.shape[0];
  const first = bias && floats(bias);
  const second = rowBias && floats(rowBias);
  return (pixel, row) => {
    const image = Math.floor(pixel / (outShape[1] * outShape[2]));
    const a = first?.[row] ?? 0;
    const b = second?.[image * outputs + row] ?? 0;
    return { value: a + b, magnitude: Math.abs(a) + Math.abs(b) };
  };
}

/**
 * The result at an output position, unrounded, from the sums at pixels and weight rows. `geluError`
 * is relative to what GELU is applied to.
 */
export function epilogue(
  { residual, activation, outputScale }: Epilogue,
  columns: number,
  sumAt: (pixel: number, row: number) => Bounded,
  geluError = FUNCTION_CONSTANT * EPS32,
): (position: number) => Bounded {
  const added = residual && floats(residual);
  return (position) => {
    const pixel = Math.floor(position / columns);
    const column = position % columns;
    let { value, allowed } = activated(
      activation,
      (half) => sumAt(pixel, column + half * columns),
      geluError,
    );
    if (added) {
      value += added[position];
      allowed += EPS32 * Math.abs(added[position]);
    }
    value *= outputScale;
    allowed = allowed * Math.abs(outputScale) + 2 * EPS32 * Math.abs(value);
    return { value, allowed: allowed * (1 + 2 ** -8) };
  };
}

function activated(
  activation: Activation,
  sumOf: (half: number) => Bounded,
  geluError: number,
): Bounded {
  const first = sumOf(0);
  if (activation === 'none') return first;
  if (activation !== 'geglu') {
    const value = ACTIVATIONS[activation](first.value);
    const relative = activation === 'gelu' ? geluError : FUNCTION_CONSTANT * EPS32;
    const own = relative * Math.abs(first.value);
    return { value, allowed: STEEPEST * first.allowed + own };
  }
  const gate = sumOf(1);
  const gelu = ACTIVATIONS.gelu(gate.value);
  const gateError = STEEPEST * gate.allowed + geluError * Math.abs(gate.value);
  const allowed = first.allowed * (Math.abs(gelu) + gateError) + Math.abs(first.value) * gateError;
  return { value: first.value * gelu, allowed };
}

/** The products that meet at one pixel and weight row, summed source by source. */
export function sourceSums(products: Products): (pixel: number, row: number) => SourceSum[] {
  const { x, skip, weight, outShape, stride, padTop, padLeft, upsample } = products;
  const sources = (skip ? [x, skip] : [x]).map((t) => ({ values: floats(t), width: t.shape[3] }));
  const firstChannel = [0, x.shape[3]];
  const weights = floats(weight);
  const [, inner, kernelHeight, kernelWidth] = weight.shape;
  const [, height, width] = x.shape;
  const taps = kernelHeight * kernelWidth;
  return (pixel, row) => {
    const image = Math.floor(pixel / (outShape[1] * outShape[2]));
    const top = (Math.floor(pixel / outShape[2]) % outShape[1]) * stride - padTop;
    const left = (pixel % outShape[2]) * stride - padLeft;
    const sums = sources.map(() => ({ value: 0, inputSquares: 0, weightSquares: 0 }));
    for (let tap = 0; tap < taps; tap++) {
      const y = top + Math.floor(tap / kernelWidth);
      const column = left + (tap % kernelWidth);
      if (y < 0 || y >= height * upsample || column < 0 || column >= width * upsample) continue;
      const at =
        (image * height + Math.floor(y / upsample)) * width + Math.floor(column / upsample);
      for (const [source, { values, width: channels }] of sources.entries()) {
        const sum = sums[source];
        for (let c = 0; c < channels; c++) {
          const a = values[at * channels + c];
          const w = weights[(row * inner + firstChannel[source] + c) * taps + tap];
          sum.value += a * w;
          sum.inputSquares += a * a;
          sum.weightSquares += w * w;
        }
      }
    }
    return sums;
  };
}
