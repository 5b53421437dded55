import type { Value } from '../../ir/graph.ts';
import type { NodeOf } from '../../ir/op-table.ts';
import type { Emitter } from '../emitter.ts';
import { axisIn, inLayout } from '../layout.ts';
import { activate } from './activation.ts';

/**
 * InstanceNormalization over the groups: an instance is a group with all of its positions. ONNX's own
 * GroupNormalization says what it means only from opset 21 on.
 */
export function emitGroupNorm(e: Emitter, node: NodeOf<'groupNorm'>): void {
  const { x, skip, gamma, beta } = node.inputs;
  const { groups, eps, activation } = node.attributes;
  const [output] = node.outputs;
  const rank = x.shape.length;
  const axis = axisIn(rank - 1, rank, 'first');
  const channels = output.shape[rank - 1];
  const source = skip
    ? e.node('Concat', [e.real(x, 'first'), e.real(skip, 'first')], { axis })
    : e.real(x, 'first');
  const grouped = e.reshape(source, [output.shape[0], groups, -1]);
  const ones = e.constants.floats([groups], Array(groups).fill(1));
  const zeros = e.constants.floats([groups], Array(groups).fill(0));
  const normal = e.node('InstanceNormalization', [grouped, ones, zeros], {
    epsilon: { float: eps },
  });
  let y = e.reshape(normal, inLayout(output.shape, 'first'));
  const shape = [channels, ...Array<number>(rank - 2).fill(1)];
  const perChannel = (value: Value) => e.formed(value, { shape });
  y = e.node('Add', [e.node('Mul', [y, perChannel(gamma)]), perChannel(beta)]);
  e.store(output, 'first', activate(e, activation, y, { axis, channels }));
}

export function emitLayerNorm(e: Emitter, node: NodeOf<'layerNorm'>): void {
  const { x, gamma, beta } = node.inputs;
  const y = e.node('LayerNormalization', [e.real(x), e.real(gamma), e.real(beta)], {
    axis: -1,
    epsilon: { float: node.attributes.eps },
  });
  e.store(node.outputs[0], 'last', y);
}
