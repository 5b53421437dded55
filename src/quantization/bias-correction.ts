import { elementCount } from '../core/shape.ts';
import { floats, type Tensor } from '../core/tensor.ts';
import { isOp } from '../ir/op-table.ts';
import type { Layer } from '../passes/layer-inputs.ts';

/** Means of a layer's input by input channel. */
export interface InputMeans {
  /** Of the real input. */
  readonly means: Float64Array;
  /** Of what rounding and clipping take away from it. */
  readonly errors: Float64Array;
}

/**
 * The bias that makes the mean of every output channel what it was: b + Σ wᵢE[xᵢ] − Σ ŵᵢE[x̂ᵢ]
 * (Nagel et al., "Data-Free Quantization", 2019, section 4.2, with measured means). A tap that lies
 * in the padding at a share of the positions counts for the rest of them.
 *
 * @param weight w and `quantized` ŵ, [O, I, taps …]
 */
export function correctedBias(
  bias: Float32Array | undefined,
  weight: Tensor,
  quantized: Tensor,
  { means, errors }: InputMeans,
  tapShares: readonly number[],
): Float32Array {
  const [outputs, inputs] = weight.shape;
  const exact = floats(weight);
  const rounded = floats(quantized);
  const taps = tapShares.length;
  const corrected = new Float32Array(outputs);
  for (let o = 0; o < outputs; o++) {
    let lost = 0;
    for (let i = 0; i < inputs; i++) {
      const row = (o * inputs + i) * taps;
      for (let tap = 0; tap < taps; tap++) {
        const at = row + tap;
        const difference = (exact[at] - rounded[at]) * means[i] + rounded[at] * errors[i];
        lost += tapShares[tap] * difference;
      }
    }
    corrected[o] = (bias?.[o] ?? 0) + lost;
  }
  return corrected;
}

/** For each tap of a layer, the share of output positions at which it reads the image itself. */
export function tapShares(node: Layer): readonly number[] {
  if (!isOp(node, 'conv2d')) return [1];
  const { x, weight } = node.inputs;
  const { stride, padding, upsample } = node.attributes;
  const [top, , left] = padding;
  const [, outHeight, outWidth] = node.outputs[0].shape;
  const [, , kernelHeight, kernelWidth] = weight.shape;
  const axis = (kernel: number, outputs: number, extent: number, before: number) =>
    Array.from({ length: kernel }, (_, tap) => {
      let inside = 0;
      for (let out = 0; out < outputs; out++) {
        const at = out * stride + tap - before;
        if (at >= 0 && at < extent * upsample) inside++;
      }
      return inside / outputs;
    });
  const rows = axis(kernelHeight, outHeight, x.shape[1], top);
  const columns = axis(kernelWidth, outWidth, x.shape[2], left);
  return rows.flatMap((row) => columns.map((column) => row * column));
}

/** Signal to quantization noise of a weight in dB. */
export function weightSqnr(weight: Tensor, quantized: Tensor): number {
  const exact = floats(weight);
  const rounded = floats(quantized);
  let signal = 0;
  let noise = 0;
  for (let i = 0; i < elementCount(weight.shape); i++) {
    signal += exact[i] * exact[i];
    noise += (exact[i] - rounded[i]) ** 2;
  }
  return noise === 0 ? Number.POSITIVE_INFINITY : 10 * Math.log10(signal / noise);
}
