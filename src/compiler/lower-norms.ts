import { elementCount } from '../core/shape.ts';
import type { NodeOf } from '../ir/op-table.ts';
import { product } from '../ir/ops/rules.ts';
import type { Place } from './instructions.ts';
import { castFields, type Lowering, quantizeFields } from './lowering.ts';

export function lowerGroupNorm(node: NodeOf<'groupNorm'>, lowering: Lowering): void {
  const { x, skip, gamma, beta } = node.inputs;
  const { groups, eps, activation } = node.attributes;
  const { groupNormSplit: split } = lowering;
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
    ...(split !== 'rows' && { split }),
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

export function lowerGroupNormGradient(
  node: NodeOf<'groupNormGradient'>,
  lowering: Lowering,
): void {
  const { x } = node.inputs;
  const fields = {
    batch: x.shape[0],
    rows: product(x.shape.slice(1, -1)),
    channels: x.shape[x.shape.length - 1],
    groups: node.attributes.groups,
    epsilon: node.attributes.eps,
    type: x.dtype,
  };
  emitNormGradient(node, lowering, (operands) =>
    lowering.emit(node, 'groupNormGradient', fields, operands),
  );
}

export function lowerLayerNormGradient(
  node: NodeOf<'layerNormGradient'>,
  lowering: Lowering,
): void {
  const { x } = node.inputs;
  const fields = {
    rows: product(x.shape.slice(0, -1)),
    channels: x.shape[x.shape.length - 1],
    epsilon: node.attributes.eps,
    type: x.dtype,
  };
  emitNormGradient(node, lowering, (operands) =>
    lowering.emit(node, 'layerNormGradient', fields, operands),
  );
}

/** Gives `emit` the operands. Kernels sum the gradients of gamma and beta in f32. */
function emitNormGradient(
  node: NodeOf<'groupNormGradient' | 'layerNormGradient'>,
  lowering: Lowering,
  emit: (operands: Readonly<Record<string, Place>>) => void,
): void {
  const { x, gamma, gradient } = node.inputs;
  const [dx, ...sums] = node.outputs;
  const places = sums.map((value) =>
    value.dtype === 'f32'
      ? lowering.allocate(value)
      : lowering.temporary({ dtype: 'f32', shape: value.shape }),
  );
  emit({
    x: lowering.place(x),
    gamma: lowering.asF32(node, gamma),
    gradient: lowering.place(gradient),
    out: lowering.allocate(dx),
    gammaGradient: places[0],
    betaGradient: places[1],
  });
  for (const [i, value] of sums.entries()) {
    if (value.dtype === 'f32') continue;
    const fields = castFields(elementCount(value.shape), 'f32', value.dtype);
    lowering.emit(node, 'unary', fields, { x: places[i], out: lowering.allocate(value) });
  }
}
