import type { NodeOf } from '../ir/op-table.ts';
import { product } from '../ir/ops/rules.ts';
import { type Lowering, quantizeFields } from './lowering.ts';

export function lowerGroupNorm(node: NodeOf<'groupNorm'>, lowering: Lowering): void {
  const { x, skip, gamma, beta } = node.inputs;
  const { groups, eps, activation } = node.attributes;
  const fields = {
    batch: x.shape[0],
    rows: product(x.shape.slice(1, -1)),
    channels: x.shape[x.shape.length - 1],
    skipChannels: skip ? skip.shape[skip.shape.length - 1] : 0,
    groups,
    epsilon: eps,
    input: x.dtype,
    output: node.outputs[0].dtype,
    ...quantizeFields(node.outputs[0]),
    activation,
  };
  lowering.emit(node, 'groupNorm', fields, {
    x: lowering.place(x),
    skip: skip && lowering.place(skip),
    gamma: lowering.asF32(node, gamma),
    beta: lowering.asF32(node, beta),
    out: lowering.allocate(node.outputs[0]),
  });
}

export function lowerLayerNorm(node: NodeOf<'layerNorm'>, lowering: Lowering): void {
  const { x, gamma, beta } = node.inputs;
  const fields = {
    rows: product(x.shape.slice(0, -1)),
    channels: x.shape[x.shape.length - 1],
    epsilon: node.attributes.eps,
    input: x.dtype,
    output: node.outputs[0].dtype,
    ...quantizeFields(node.outputs[0]),
  };
  lowering.emit(node, 'layerNorm', fields, {
    x: lowering.place(x),
    gamma: lowering.asF32(node, gamma),
    beta: lowering.asF32(node, beta),
    out: lowering.allocate(node.outputs[0]),
  });
}
