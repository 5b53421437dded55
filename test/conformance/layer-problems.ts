import type { DType } from '../../src/core/dtype.ts';
import type { Tensor } from '../../src/core/tensor.ts';
import type { Value } from '../../src/ir/graph.ts';
import { GraphBuilder } from '../../src/ir/graph-builder.ts';
import { expectLayer, type LayerData } from './layer-reference.ts';
import type { LayerShape } from './layer-shapes.ts';
import type { Problem, Trial } from './problem.ts';
import { noiseTensor } from './random.ts';

const SAMPLES = 3000;

export function layerProblem(shape: LayerShape): Problem {
  const [batch, height, width] = outImage(shape);
  const inner = shape.channels + (shape.skipChannels ?? 0);
  const [kernelHeight, kernelWidth] = shape.kernel ?? [1, 1];
  return {
    name: shape.name,
    op: 'conv2d',
    dtypes: ['f32', 'bf16'],
    flops: 2 * batch * height * width * inner * kernelHeight * kernelWidth * shape.outputs,
    make: (dtype) => makeTrial(shape, dtype),
  };
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

/** The graph of one layer over `data`, whose tensors are reshaped for a linear one. */
export function layerGraph(shape: LayerShape, data: LayerData): Omit<Trial, 'expectation'> {
  const b = new GraphBuilder('layer');
  const inputs: Record<string, Tensor> = {};
  const parameters = new Map<string, Tensor>();
  const tokens = (t: Tensor): Tensor =>
    shape.linear ? { ...t, shape: [t.shape[0], t.shape[1] * t.shape[2], t.shape[3]] } : t;
  const input = (name: string, value: Tensor | undefined): Value | undefined => {
    if (!value) return undefined;
    inputs[name] = value;
    return b.input(name, value.dtype, value.shape);
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
    x: input('x', tokens(data.x))!,
    skip: input('skip', data.skip && tokens(data.skip)),
    weight: parameter('weight', weight)!,
    bias: parameter('bias', data.bias),
    rowBias: input('rowBias', data.rowBias),
    residual: input('residual', data.residual && tokens(data.residual)),
  };
  const { activation, outputScale, stride, upsample } = data;
  const padding = shape.padding ?? ([0, 0, 0, 0] as const);
  const [out] = shape.linear
    ? b.apply('linear', operands, { activation, outputScale })
    : b.apply('conv2d', operands, { activation, outputScale, stride, padding, upsample });
  b.output('out', out);
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
