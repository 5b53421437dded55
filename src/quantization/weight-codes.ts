import { elementCount, type Shape } from '../core/shape.ts';
import { floats, type Tensor, tensor } from '../core/tensor.ts';
import type { QuantizationSpec } from './config.ts';

/** A weight as s8 codes: (code − zero) · scale, with a scale for each row and group of inputs. */
export interface WeightCodes {
  /** s8, in the weight's shape: [O, I] or [O, I, height, width]. */
  readonly codes: Tensor;
  /** f32, `scaleShape`. */
  readonly scales: Tensor;
  /** s8, in the shape of the scales; absent: all 0. */
  readonly zeros?: Tensor;
  readonly spec: QuantizationSpec;
}

/** [O], also where one scale serves the whole tensor; [O, groups] for scales per group. */
export function scaleShape(weight: Shape, { granularity, groupSize }: QuantizationSpec): Shape {
  const [outputs, inputs] = weight;
  return granularity === 'per-group' ? [outputs, Math.ceil(inputs / groupSize!)] : [outputs];
}

/** Calls `visit` with the elements that share each scale, [begin, end) of the weight's data. */
export function forEachScale(
  weight: Shape,
  spec: QuantizationSpec,
  visit: (scale: number, begin: number, end: number) => void,
): void {
  const [outputs, inputs] = weight;
  const taps = elementCount(weight.slice(2));
  const size = spec.granularity === 'per-group' ? spec.groupSize! : inputs;
  let scale = 0;
  for (let o = 0; o < outputs; o++) {
    for (let first = 0; first < inputs; first += size) {
      const row = o * inputs * taps;
      visit(scale++, row + first * taps, row + Math.min(first + size, inputs) * taps);
    }
  }
}

/** The weight as f32, in its original shape. */
export function dequantizeWeight({ codes, scales, zeros, spec }: WeightCodes): Tensor {
  const { data, shape } = codes;
  const out = new Float32Array(data.length);
  const steps = floats(scales);
  forEachScale(shape, spec, (index, begin, end) => {
    const zero = zeros?.data[index] ?? 0;
    for (let i = begin; i < end; i++) out[i] = (data[i] - zero) * steps[index];
  });
  return tensor('f32', shape, out);
}
