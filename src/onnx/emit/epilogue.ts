import type { Shape } from '../../core/shape.ts';
import type { NodeOf } from '../../ir/op-table.ts';
import type { Emitter } from '../emitter.ts';
import { axisIn, inLayout, type Layout } from '../layout.ts';
import { activate } from './activation.ts';

export type LayerNode = NodeOf<'conv2d'> | NodeOf<'linear'>;

/**
 * The weights as real numbers, [O, ...] or, transposed, [I, O]; s8 ones are dequantized with a scale
 * for each output.
 */
export function layerWeights(e: Emitter, node: LayerNode, transpose: boolean): string {
  const { weight, weightScale } = node.inputs;
  const stored = e.formed(weight, { transpose });
  if (!weightScale) return stored;
  return e.node('DequantizeLinear', [stored, e.real(weightScale)], { axis: transpose ? 1 : 0 });
}

/** The fused rest of a layer whose sums (bias included) are `sums`, down to its stored outputs. */
export function emitEpilogue(e: Emitter, node: LayerNode, sums: string, layout: Layout): void {
  const { rowBias, residual, weight, x } = node.inputs;
  const { activation, outputScale } = node.attributes;
  const rank = x.shape.length;
  const channels = weight.shape[0];
  const axis = axisIn(rank - 1, rank, layout);
  let y = sums;
  if (rowBias) {
    y = e.node('Add', [y, e.formed(rowBias, { shape: rowShape(rowBias.shape, rank, layout) })]);
  }
  y = activate(e, activation, y, { axis, channels });
  if (residual) y = e.node('Add', [y, e.real(residual, layout)]);
  if (outputScale !== 1) y = e.node('Mul', [y, e.constants.scalar(outputScale)]);
  for (const output of node.outputs) e.store(output, layout, y);
}

/** [batch, O] so that it broadcasts over the positions of a value of rank `rank`. */
function rowShape([batch, channels]: Shape, rank: number, layout: Layout): Shape {
  const positions = Array<number>(rank - 2).fill(1);
  return inLayout([batch, ...positions, channels], layout);
}
