import type { TensorType } from '../ir/graph.ts';
import type { NodeOf } from '../ir/op-table.ts';
import { product } from '../ir/ops/rules.ts';
import type { Conv2dFields, Place } from './instructions.ts';
import { type Lowering, quantizeFields } from './lowering.ts';

type Layer = NodeOf<'conv2d'> | NodeOf<'linear'>;

type Geometry = Pick<
  Conv2dFields,
  | 'batch'
  | 'height'
  | 'width'
  | 'channels'
  | 'skipChannels'
  | 'outChannels'
  | 'outHeight'
  | 'outWidth'
  | 'kernelHeight'
  | 'kernelWidth'
  | 'stride'
  | 'padTop'
  | 'padLeft'
  | 'upsample'
>;

export function lowerConv2d(node: NodeOf<'conv2d'>, lowering: Lowering): void {
  const { x, skip, weight } = node.inputs;
  const { stride, padding, upsample } = node.attributes;
  const [batch, height, width, channels] = x.shape;
  const [, outHeight, outWidth] = node.outputs[0].shape;
  emitLayer(node, lowering, {
    batch,
    height,
    width,
    channels,
    skipChannels: skip?.shape[3] ?? 0,
    outChannels: weight.shape[0],
    outHeight,
    outWidth,
    kernelHeight: weight.shape[2],
    kernelWidth: weight.shape[3],
    stride,
    padTop: padding[0],
    padLeft: padding[2],
    upsample,
  });
}

/** A linear layer is a 1×1 convolution over one row of pixels; a row bias keeps batches apart. */
export function lowerLinear(node: NodeOf<'linear'>, lowering: Lowering): void {
  const { x, skip, weight, rowBias } = node.inputs;
  const batch = rowBias ? x.shape[0] : 1;
  const width = product(x.shape.slice(0, -1)) / batch;
  emitLayer(node, lowering, {
    batch,
    height: 1,
    width,
    channels: x.shape[x.shape.length - 1],
    skipChannels: skip ? skip.shape[skip.shape.length - 1] : 0,
    outChannels: weight.shape[0],
    outHeight: 1,
    outWidth: width,
    kernelHeight: 1,
    kernelWidth: 1,
    stride: 1,
    padTop: 0,
    padLeft: 0,
    upsample: 1,
  });
}

function emitLayer(node: Layer, lowering: Lowering, geometry: Geometry): void {
  const { x, skip, weightScale, bias, rowBias, residual } = node.inputs;
  const { float, quantized } = results(node);
  const fields: Conv2dFields = {
    ...geometry,
    input: x.dtype,
    output: node.attributes.floatType ?? x.dtype,
    store: !quantized ? 'float' : float ? 'both' : 'quantized',
    ...quantizeFields(quantized),
    ...sourceFields(x, skip),
    hasBias: bias !== undefined,
    hasRowBias: rowBias !== undefined,
    hasResidual: residual !== undefined,
    activation: node.attributes.activation,
    outputScale: node.attributes.outputScale,
  };
  const weights = placeWeights(node, lowering, fields);
  lowering.emit(node, 'conv2d', weights.fields, {
    x: lowering.place(x),
    skip: skip && lowering.place(skip),
    weights: weights.place,
    weightScale: weightScale && lowering.asF32(node, weightScale),
    bias: bias && lowering.asF32(node, bias),
    rowBias: rowBias && lowering.asF32(node, rowBias),
    residual: residual && lowering.place(residual),
    out: float && lowering.allocate(float),
    quantized: quantized && lowering.allocate(quantized),
  });
}

/** Parameters are packed once; floating-point weights that are computed, whenever the layer runs. */
function placeWeights(
  node: Layer,
  lowering: Lowering,
  fields: Conv2dFields,
): { place: Place; fields: Conv2dFields } {
  const { x, weight } = node.inputs;
  const place = lowering.place(weight);
  if ('storage' in place && x.dtype !== 'u8') {
    const [, inner, kernelHeight = 1, kernelWidth = 1] = weight.shape;
    const taps = kernelHeight * kernelWidth;
    const weightView: Conv2dFields['weightView'] = [0, inner * taps, taps, kernelWidth, 1];
    return { place, fields: { ...fields, weightView, turned: false } };
  }
  const path = lowering.parameterPath(node, 'weight', weight);
  return { place: { weight: { kind: 'packed', path, fields } }, fields };
}

function results({ outputs }: Layer) {
  return {
    float: outputs.find(({ dtype }) => dtype !== 'u8'),
    quantized: outputs.find(({ dtype }) => dtype === 'u8'),
  };
}

function sourceFields(x: TensorType, skip: TensorType | undefined) {
  return {
    inputScale: x.quantization?.scale ?? 1,
    inputZero: x.quantization?.zeroPoint ?? 0,
    skipScale: skip?.quantization?.scale ?? 1,
    skipZero: skip?.quantization?.zeroPoint ?? 0,
  };
}
