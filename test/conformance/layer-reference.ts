import type { DType } from '../../src/core/dtype.ts';
import { floats, type Tensor } from '../../src/core/tensor.ts';
import type { Activation } from '../../src/ir/ops/epilogue.ts';
import { erf } from '../../src/ir/scalar-functions.ts';
import type { Expectation } from './problem.ts';
import { EPS32, rounding, STEEPEST } from './tolerance.ts';

/** Everything about a convolution or linear layer (a 1×1 one); tensors as the graph has them. */
export interface LayerData {
  /** [batch, height, width, channels] */
  readonly x: Tensor;
  readonly skip?: Tensor;
  /** [outputs, channels of both, kernel height, kernel width] */
  readonly weight: Tensor;
  readonly bias?: Tensor;
  readonly rowBias?: Tensor;
  readonly residual?: Tensor;
  readonly stride: number;
  readonly padTop: number;
  readonly padLeft: number;
  readonly upsample: 1 | 2;
  /** [batch, height, width, columns], columns after geglu */
  readonly outShape: readonly number[];
  readonly activation: Activation;
  readonly outputScale: number;
}

interface Sum {
  readonly value: number;
  /** ‖inputs‖ · ‖weights‖ */
  readonly norm: number;
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

function layerEvaluator(data: LayerData): (position: number) => { value: number; allowed: number } {
  const columns = data.outShape[3];
  const sumAt = summation(data);
  const residual = data.residual && floats(data.residual);
  const dtype: DType = data.x.dtype;
  return (position) => {
    const pixel = Math.floor(position / columns);
    const column = position % columns;
    let { value, allowed } = activated(data.activation, (half) =>
      sumAt(pixel, column + half * columns),
    );
    if (residual) {
      value += residual[position];
      allowed += EPS32 * Math.abs(residual[position]);
    }
    value *= data.outputScale;
    allowed = allowed * Math.abs(data.outputScale) + 2 * EPS32 * Math.abs(value);
    return { value, allowed: allowed * (1 + 2 ** -8) + rounding(dtype, value) };
  };
}

function activated(
  activation: Activation,
  sumOf: (half: number) => Sum,
): { value: number; allowed: number } {
  const first = sumOf(0);
  const error = SUM_CONSTANT * EPS32 * first.norm;
  if (activation === 'none') return { value: first.value, allowed: error };
  if (activation !== 'geglu') {
    const value = ACTIVATIONS[activation](first.value);
    const own = FUNCTION_CONSTANT * EPS32 * Math.abs(first.value);
    return { value, allowed: STEEPEST * error + own };
  }
  const gate = sumOf(1);
  const gelu = ACTIVATIONS.gelu(gate.value);
  const gateError =
    STEEPEST * SUM_CONSTANT * EPS32 * gate.norm + FUNCTION_CONSTANT * EPS32 * Math.abs(gate.value);
  const allowed = error * (Math.abs(gelu) + gateError) + Math.abs(first.value) * gateError;
  return { value: first.value * gelu, allowed };
}

/** The sum at one pixel and weight row, biases included. */
function summation(data: LayerData): (pixel: number, row: number) => Sum {
  const { x, skip, weight, bias, rowBias, outShape, stride, padTop, padLeft, upsample } = data;
  const sources = (skip ? [x, skip] : [x]).map((t) => ({ values: floats(t), width: t.shape[3] }));
  const weights = floats(weight);
  const [outputs, inner, kernelHeight, kernelWidth] = weight.shape;
  const [, height, width] = x.shape;
  const taps = kernelHeight * kernelWidth;
  const biases = bias && floats(bias);
  const rowBiases = rowBias && floats(rowBias);
  return (pixel, row) => {
    const image = Math.floor(pixel / (outShape[1] * outShape[2]));
    const top = (Math.floor(pixel / outShape[2]) % outShape[1]) * stride - padTop;
    const left = (pixel % outShape[2]) * stride - padLeft;
    let value = 0;
    let inputSquares = 0;
    let weightSquares = 0;
    for (let tap = 0; tap < taps; tap++) {
      const y = top + Math.floor(tap / kernelWidth);
      const column = left + (tap % kernelWidth);
      if (y < 0 || y >= height * upsample || column < 0 || column >= width * upsample) continue;
      const at =
        (image * height + Math.floor(y / upsample)) * width + Math.floor(column / upsample);
      let channel = 0;
      for (const { values, width: channels } of sources) {
        for (let c = 0; c < channels; c++, channel++) {
          const a = values[at * channels + c];
          const w = weights[(row * inner + channel) * taps + tap];
          value += a * w;
          inputSquares += a * a;
          weightSquares += w * w;
        }
      }
    }
    const constant = (biases?.[row] ?? 0) + (rowBiases?.[image * outputs + row] ?? 0);
    const norm = Math.sqrt(inputSquares * weightSquares) + Math.abs(constant) + Math.abs(value);
    return { value: value + constant, norm };
  };
}
