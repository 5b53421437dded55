import { type QuantizationParams, quantizeToCode } from '../../src/core/quantization-params.ts';
import { floats, type Tensor } from '../../src/core/tensor.ts';
import { type LayerTypes, layerData } from './layer-problems.ts';
import { type Bounded, biases, epilogue, type LayerData, sourceSums } from './layer-reference.ts';
import type { LayerShape } from './layer-shapes.ts';
import type { Expectation } from './problem.ts';
import { EPS32, rounding } from './tolerance.ts';

// Rounded are: a sum, its scale, both scales' product, two multiply-adds, the biases.
const ROUNDINGS = 6;
// GELU after integer sums is coarser than elsewhere.
const GELU_ERROR = 2 ** -16;
// Rounded are: the scale, its inverse, the multiply-add.
const STORE_ROUNDINGS = 4;

/** An INT8 layer: the graph's tensors, and the exact sums of what its codes stand for. */
export interface Int8Layer {
  readonly data: LayerData;
  readonly types: LayerTypes & { readonly x: QuantizationParams };
  readonly weightScale: Float32Array;
  /** Whole numbers: Σ (code − zero point) · weight of each source, at a pixel and weight row. */
  sums(pixel: number, row: number): readonly number[];
}

/** A layer whose results are of about unit size. */
export function int8Layer(shape: LayerShape): Int8Layer {
  const real = layerData(shape, 'bf16');
  const x = { scale: 2.5 / 128, zeroPoint: 117 };
  const skip = real.skip && { scale: 4 / 255, zeroPoint: 31 };
  const [outputs] = real.weight.shape;
  const depth = real.weight.data.length / outputs;
  const step = 3 / 127 / Math.sqrt(depth);
  const weightScale = Float32Array.from({ length: outputs }, (_, o) => step * (0.25 + (o % 5) / 4));
  const weights = Int8Array.from(floats(real.weight), (w, i) =>
    Math.min(Math.max(Math.round(w / weightScale[Math.floor(i / depth)]), -128), 127),
  );
  return makeLayer(
    {
      ...real,
      x: encode(real.x, x),
      skip: real.skip && encode(real.skip, skip!),
      weight: { dtype: 's8', shape: real.weight.shape, data: weights },
    },
    { x, skip },
    weightScale,
  );
}

/** The same codes, every scale 1, and no epilogue. */
export function sumsOnly({ data, types, weightScale, sums }: Int8Layer): Int8Layer {
  const bare = {
    ...data,
    bias: undefined,
    rowBias: undefined,
    residual: undefined,
    activation: 'none',
    outputScale: 1,
    outShape: data.outShape.with(-1, weightScale.length),
  } as const;
  const x = { ...types.x, scale: 1 };
  const skip = types.skip && { ...types.skip, scale: 1 };
  const layer = makeLayer(
    bare,
    { x, skip },
    weightScale.map(() => 1),
    'ones',
  );
  return { ...layer, sums };
}

/** A layer whose products are as large as can be, so that sums that saturate would show. */
export function largestProducts(shape: LayerShape): Int8Layer {
  const { data, weightScale } = int8Layer(shape);
  const extreme = <T extends Int8Array | Uint8Array>(codes: T, low: number, high: number) =>
    codes.map((code, i) => (i % 7 === 0 && code % 2 === 0 ? low : high)) as T;
  const x = { ...data.x, data: extreme(data.x.data as Uint8Array, 0, 255) };
  const weight = { ...data.weight, data: extreme(data.weight.data as Int8Array, 127, -128) };
  const params = { scale: 1, zeroPoint: 0 };
  return sumsOnly(makeLayer({ ...data, x, weight }, { x: params }, weightScale));
}

/** Stores the residual, whose numbers stay what they are, as `dtype`. */
export function withFloatType(layer: Int8Layer, dtype: 'f32' | 'bf16'): Int8Layer {
  const { residual } = layer.data;
  if (!residual || dtype === 'bf16') return layer;
  const wide = { dtype, shape: residual.shape, data: floats(residual) };
  return { ...layer, data: { ...layer.data, residual: wide } };
}

function makeLayer(
  data: LayerData,
  params: { readonly x: QuantizationParams; readonly skip?: QuantizationParams },
  weightScale: Float32Array,
  path = 'weightScale',
): Int8Layer {
  const whole = (codes: Tensor, zeroPoint: number): Tensor => ({
    dtype: 'f32',
    shape: codes.shape,
    data: Float32Array.from(codes.data, (code) => code - zeroPoint),
  });
  const sumsAt = sourceSums({
    ...data,
    x: whole(data.x, params.x.zeroPoint),
    skip: data.skip && whole(data.skip, params.skip!.zeroPoint),
    weight: whole(data.weight, 0),
  });
  const known = new Map<number, readonly number[]>();
  const outputs = weightScale.length;
  return {
    data,
    types: {
      ...params,
      weightScale: { path, data: { dtype: 'f32', shape: [outputs], data: weightScale } },
    },
    weightScale,
    sums(pixel, row) {
      const key = pixel * outputs + row;
      const found = known.get(key) ?? sumsAt(pixel, row).map(({ value }) => value);
      known.set(key, found);
      return found;
    },
  };
}

function encode(real: Tensor, params: QuantizationParams): Tensor {
  const data = Uint8Array.from(floats(real), (value) => quantizeToCode(value, params));
  return { dtype: 'u8', shape: real.shape, data };
}

/** What kernels must give exactly for `sumsOnly`: each source's sum in f32, and then their sum. */
export function exactSums({ data, sums }: Int8Layer, positions: readonly number[]): Expectation {
  const columns = data.outShape[3];
  const expected = positions.map((position) =>
    sums(Math.floor(position / columns), position % columns)
      .map(Math.fround)
      .reduce((total, value) => Math.fround(total + value)),
  );
  return { positions, expected, allowed: expected.map(() => 0) };
}

/** The layer's results before they are stored. */
export function int8Results(layer: Int8Layer): (position: number) => Bounded {
  const { data, types, weightScale } = layer;
  const biasAt = biases(data);
  const scales = [types.x.scale, types.skip?.scale ?? 0];
  const sumAt = (pixel: number, row: number): Bounded => {
    let { value, magnitude } = biasAt(pixel, row);
    for (const [source, sum] of layer.sums(pixel, row).entries()) {
      const term = sum * scales[source] * weightScale[row];
      value += term;
      magnitude += Math.abs(term);
    }
    return { value, allowed: ROUNDINGS * EPS32 * magnitude };
  };
  return epilogue(data, data.outShape[3], sumAt, GELU_ERROR);
}

/** Results stored as a floating type. */
export function expectFloats(
  results: (position: number) => Bounded,
  positions: readonly number[],
  dtype: 'f32' | 'bf16',
): Expectation {
  const bounded = positions.map(results);
  return {
    positions,
    expected: bounded.map(({ value }) => value),
    allowed: bounded.map(({ value, allowed }) => allowed + rounding(dtype, value)),
  };
}

/** Results stored as codes: each rounds a number that is as near to the exact one as it should be. */
export function expectCodes(
  results: (position: number) => Bounded,
  positions: readonly number[],
  { scale, zeroPoint }: QuantizationParams,
): Expectation {
  const bounded = positions.map(results);
  return {
    positions,
    expected: bounded.map(({ value }) => Math.min(Math.max(value / scale + zeroPoint, 0), 255)),
    allowed: bounded.map(({ value, allowed }) => {
      const own = STORE_ROUNDINGS * EPS32 * (Math.abs(value) / scale + zeroPoint);
      return 0.5 + allowed / scale + own;
    }),
  };
}
