import type { Value } from '../../ir/graph.ts';
import type { NodeOf } from '../../ir/op-table.ts';
import type { Emitter } from '../emitter.ts';
import { axisIn, type Layout } from '../layout.ts';
import { emitEpilogue, type LayerNode, layerWeights } from './epilogue.ts';

/** Conv wants its channels on axis 1. */
export function emitConv2d(e: Emitter, node: NodeOf<'conv2d'>): void {
  const { stride, padding, upsample } = node.attributes;
  const [top, bottom, left, right] = padding;
  const operands = [joinedSources(e, node, 'first', upsample), layerWeights(e, node, false)];
  if (node.inputs.bias) operands.push(e.real(node.inputs.bias));
  const sums = e.node('Conv', operands, {
    kernel_shape: node.inputs.weight.shape.slice(2),
    pads: [top, left, bottom, right],
    strides: [stride, stride],
  });
  emitEpilogue(e, node, sums, 'first');
}

export function emitLinear(e: Emitter, node: NodeOf<'linear'>): void {
  const operands = [joinedSources(e, node, 'last', 1), layerWeights(e, node, true)];
  let sums = e.node('MatMul', operands);
  if (node.inputs.bias) sums = e.node('Add', [sums, e.real(node.inputs.bias)]);
  emitEpilogue(e, node, sums, 'last');
}

/** The padding counts for neither kind, which is AveragePool's default. */
export function emitPool2d(e: Emitter, node: NodeOf<'pool2d'>): void {
  const { kind, kernelHeight, kernelWidth, stride, padding } = node.attributes;
  const [top, bottom, left, right] = padding;
  const pooled = e.node(
    kind === 'max' ? 'MaxPool' : 'AveragePool',
    [e.real(node.inputs.x, 'first')],
    {
      kernel_shape: [kernelHeight, kernelWidth],
      pads: [top, left, bottom, right],
      strides: [stride, stride],
    },
  );
  e.store(node.outputs[0], 'first', pooled);
}

/** Both sources of a layer, each dequantized with its own scale, one after the other on channels. */
function joinedSources(e: Emitter, node: LayerNode, layout: Layout, upsample: 1 | 2): string {
  const { x, skip } = node.inputs;
  const read = (value: Value) => {
    if (upsample === 1) return e.real(value, layout);
    // Repeating codes repeats the numbers, and leaves the dequantization beside its reader.
    const repeated = resizeBy(e, e.stored(value, layout), upsample, upsample);
    return value.quantization ? e.dequantize(repeated, value.quantization) : repeated;
  };
  if (!skip) return read(x);
  const rank = x.shape.length;
  return e.node('Concat', [read(x), read(skip)], { axis: axisIn(rank - 1, rank, layout) });
}

/** Repeats the pixels of a channels-first image a whole number of times. */
function resizeBy(e: Emitter, image: string, down: number, right: number): string {
  const scales = e.constants.floats([4], [1, 1, down, right]);
  return e.node('Resize', [image, '', scales], {
    mode: 'nearest',
    coordinate_transformation_mode: 'asymmetric',
    nearest_mode: 'floor',
  });
}

/**
 * Whole factors are a Resize. Others are two gathers of the rows and columns that the op's definition
 * names, because a runtime may divide in floats and so round a position to its neighbour.
 */
export function emitUpsampleNearest(e: Emitter, node: NodeOf<'upsampleNearest'>): void {
  const { x } = node.inputs;
  const [, fromHeight, fromWidth] = x.shape;
  const { height, width } = node.attributes;
  const [down, right] = [height / fromHeight, width / fromWidth];
  const image = e.stored(x, 'first');
  if (Number.isInteger(down) && Number.isInteger(right)) {
    e.bind(node.outputs[0], 'first', resizeBy(e, image, down, right));
    return;
  }
  const rows = e.node('Gather', [image, sourceIndices(e, height, fromHeight)], { axis: 2 });
  const pixels = e.node('Gather', [rows, sourceIndices(e, width, fromWidth)], { axis: 3 });
  e.bind(node.outputs[0], 'first', pixels);
}

function sourceIndices(e: Emitter, extent: number, from: number): string {
  const indices = Array.from({ length: extent }, (_, i) => Math.floor((i * from) / extent));
  return e.constants.integers(indices);
}
