import type { NodeOf } from '../ir/op-table.ts';
import { product } from '../ir/ops/rules.ts';
import type { Conv2dFields, Place } from './instructions.ts';
import type { Lowering } from './lowering.ts';

type Layer = NodeOf<'conv2d'> | NodeOf<'linear'>;

type Geometry = Omit<
  Conv2dFields,
  'input' | 'output' | 'hasBias' | 'hasRowBias' | 'hasResidual' | 'activation' | 'outputScale'
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
  const { x, skip, weight, bias, rowBias, residual } = node.inputs;
  const [output] = node.outputs;
  const fields: Conv2dFields = {
    ...geometry,
    input: x.dtype,
    output: output.dtype,
    hasBias: bias !== undefined,
    hasRowBias: rowBias !== undefined,
    hasResidual: residual !== undefined,
    activation: node.attributes.activation,
    outputScale: node.attributes.outputScale,
  };
  const path = lowering.parameterPath(node, 'weight', weight);
  const packed: Place = { weight: { kind: 'packed', path, fields } };
  lowering.emit(node, 'conv2d', fields, {
    x: lowering.place(x),
    skip: skip && lowering.place(skip),
    weights: packed,
    bias: bias && lowering.asF32(node, bias),
    rowBias: rowBias && lowering.asF32(node, rowBias),
    residual: residual && lowering.place(residual),
    out: lowering.allocate(output),
  });
}
