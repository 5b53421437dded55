import type { DType } from '../../src/core/dtype.ts';
import type { QuantizationParams } from '../../src/core/quantization-params.ts';
import type { Tensor } from '../../src/core/tensor.ts';
import type { Value } from '../../src/ir/graph.ts';
import { GraphBuilder } from '../../src/ir/graph-builder.ts';
import type { EpilogueAttributes } from '../../src/ir/ops/epilogue.ts';
import { expectLayer, type LayerData } from './layer-reference.ts';
import type { LayerShape } from './layer-shapes.ts';
import type { Problem, Trial } from './problem.ts';
import { noiseTensor } from './random.ts';

const SAMPLES = 3000;

export function layerProblem(shape: LayerShape): Problem {
  return {
    name: shape.name,
    op: 'conv2d',
    dtypes: ['f32', 'bf16'],
    flops: layerFlops(shape),
    make: (dtype) => makeTrial(shape, dtype),
  };
}

export function layerFlops(shape: LayerShape): number {
  const [batch, height, width] = outImage(shape);
  const inner = shape.channels + (shape.skipChannels ?? 0);
  const [kernelHeight, kernelWidth] = shape.kernel ?? [1, 1];
  return 2 * batch * height * width * inner * kernelHeight * kernelWidth * shape.outputs;
}

function outImage({
  image,
  kernel = [1, 1],
  stride = 1,
  padding = [0, 0, 0, 0],
  upsample = 1,
}: LayerShape) {
  const [batch, height, width] = image;
  const [top, bottom, left, right] = padding;
  return [
    batch,
    Math.floor((height * upsample + top + bottom - kernel[0]) / stride) + 1,
    Math.floor((width * upsample + left + right - kernel[1]) / stride) + 1,
  ];
}

/** Noise for every operand, as the convolution sees them. */
export function layerData(shape: LayerShape, dtype: DType): LayerData {
  const {
    image,
    channels,
    skipChannels = 0,
    outputs,
    kernel = [1, 1],
    activation = 'none',
  } = shape;
  const columns = activation === 'geglu' ? outputs / 2 : outputs;
  const outShape = [...outImage(shape), columns];
  const inner = channels + skipChannels;
  const deviation = 1 / Math.sqrt(inner * kernel[0] * kernel[1]);
  const given = <T>(there: unknown, value: () => T) => (there ? value() : undefined);
  return {
    x: noiseTensor(1, dtype, [...image, channels]),
    skip: given(skipChannels, () => noiseTensor(2, dtype, [...image, skipChannels])),
    weight: noiseTensor(3, dtype, [outputs, inner, ...kernel], deviation),
    bias: given(shape.bias, () => noiseTensor(4, 'f32', [outputs])),
    rowBias: given(shape.rowBias, () => noiseTensor(5, 'f32', [image[0], outputs])),
    residual: given(shape.residual, () => noiseTensor(6, dtype, outShape)),
    stride: shape.stride ?? 1,
    padTop: shape.padding?.[0] ?? 0,
    padLeft: shape.padding?.[2] ?? 0,
    upsample: shape.upsample ?? 1,
    outShape,
    activation,
    outputScale: shape.outputScale ?? 1,
  };
}

/** How a layer's operands and results are stored, where that is not as `LayerData.x` is. */
export interface LayerTypes {
  readonly x?: QuantizationParams;
  readonly skip?: QuantizationParams;
  /** A parameter of its own path. */
  readonly weightScale?: { readonly path: string; readonly data: Tensor };
  /** The attributes that say so. */
  readonly attributes?: Pick<EpilogueAttributes, 'floatType' | 'quantize' | 'keepFloat'>;
}

/**
 * The graph of one layer over `data`, whose tensors are reshaped for a linear one. Its outputs are
 * `out`, and `quantized` where the result is stored as codes.
 */
export function layerGraph(
  shape: LayerShape,
  data: LayerData,
  types: LayerTypes = {},
): Omit<Trial, 'expectation'> {
  const b = new GraphBuilder('layer');
  const inputs: Record<string, Tensor> = {};
  const parameters = new Map<string, Tensor>();
  const tokens = (t: Tensor): Tensor =>
    shape.linear ? { ...t, shape: [t.shape[0], t.shape[1] * t.shape[2], t.shape[3]] } : t;
  const input = (
    name: string,
    value: Tensor | undefined,
    quantization?: QuantizationParams,
  ): Value | undefined => {
    if (!value) return undefined;
    inputs[name] = value;
    return b.input(name, value.dtype, value.shape, quantization);
  };
  const parameter = (path: string, value: Tensor | undefined): Value | undefined => {
    if (!value) return undefined;
    parameters.set(path, value);
    return b.parameter(path, value.shape, value.dtype);
  };
  const weight = shape.linear
    ? { ...data.weight, shape: data.weight.shape.slice(0, 2) }
    : data.weight;
  const operands = {
    x: input('x', tokens(data.x), types.x)!,
    skip: input('skip', data.skip && tokens(data.skip), types.skip),
    weight: parameter('weight', weight)!,
    weightScale: types.weightScale && parameter(types.weightScale.path, types.weightScale.data),
    bias: parameter('bias', data.bias),
    rowBias: input('rowBias', data.rowBias),
    residual: input('residual', data.residual && tokens(data.residual)),
  };
  const { activation, outputScale, stride, upsample } = data;
  const padding = shape.padding ?? ([0, 0, 0, 0] as const);
  const attributes = { activation, outputScale, ...types.attributes };
  const results = shape.linear
    ? b.apply('linear', operands, attributes)
    : b.apply('conv2d', operands, { ...attributes, stride, padding, upsample });
  for (const result of results) b.output(result.dtype === 'u8' ? 'quantized' : 'out', result);
  return { graph: b.finish(), inputs, parameters };
}

function makeTrial(shape: LayerShape, dtype: DType): Trial {
  const data = layerData(shape, dtype);
  const count = data.outShape.reduce((total, extent) => total * extent, 1);
  return { ...layerGraph(shape, data), expectation: expectLayer(data, samplePositions(count)) };
}

/** All positions, or a spread of them that includes the first and the last. */
export function samplePositions(count: number): number[] {
  if (count <= SAMPLES) return Array.from({ length: count }, (_, i) => i);
  // A step that shares no factor with row lengths visits every column.
  return Array.from({ length: SAMPLES }, (_, i) => Math.floor((i * (count - 1)) / (SAMPLES - 1)));
}
