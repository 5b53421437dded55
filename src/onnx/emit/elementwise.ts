import type { Value } from '../../ir/graph.ts';
import type { NodeOf } from '../../ir/op-table.ts';
import type { Emitter } from '../emitter.ts';
import { axisIn } from '../layout.ts';
import { geglu } from './activation.ts';

type Unary = { readonly inputs: { readonly x: Value }; readonly outputs: readonly Value[] };
type Binary = {
  readonly inputs: { readonly a: Value; readonly b: Value };
  readonly outputs: readonly Value[];
};

/** An op of one operand, in whatever layout the operand has. */
export function unary(emit: (e: Emitter, x: string) => string) {
  return (e: Emitter, { inputs: { x }, outputs: [y] }: Unary): void => {
    const layout = e.layoutOf(x);
    e.store(y, layout, emit(e, e.real(x, layout)));
  };
}

/** An ONNX op of the same meaning as one of ours with operands a and b. */
export function binary(type: 'Add' | 'Sub' | 'Mul' | 'Div') {
  return (e: Emitter, { inputs: { a, b }, outputs: [y] }: Binary): void => {
    // Of operands of unlike rank, the shorter is aligned at the last axis.
    const alike = a.shape.length === b.shape.length;
    const layout = alike && e.layoutOf(a) === e.layoutOf(b) ? e.layoutOf(a) : 'last';
    e.store(y, layout, e.node(type, [e.real(a, layout), e.real(b, layout)]));
  };
}

export function emitAffine(e: Emitter, node: NodeOf<'affine'>): void {
  const { scale, offset } = node.attributes;
  unary((_, x) => {
    const scaled = scale === 1 ? x : e.node('Mul', [x, e.constants.scalar(scale)]);
    return offset === 0 ? scaled : e.node('Add', [scaled, e.constants.scalar(offset)]);
  })(e, node);
}

export function emitGeglu(e: Emitter, node: NodeOf<'geglu'>): void {
  const { x } = node.inputs;
  const rank = x.shape.length;
  unary((_, name) => geglu(e, name, axisIn(rank - 1, rank, e.layoutOf(x)), x.shape[rank - 1]))(
    e,
    node,
  );
}

/** Quantizes, dequantizes or, from f32 to f32, does nothing. */
export const emitCast = unary((_e, x) => x);

export function emitConcat(e: Emitter, node: NodeOf<'concat'>): void {
  const { first, second } = node.inputs;
  const layout = e.layoutOf(first);
  const axis = axisIn(node.attributes.axis, first.shape.length, layout);
  const operands = [e.real(first, layout), e.real(second, layout)];
  e.store(node.outputs[0], layout, e.node('Concat', operands, { axis }));
}

export function emitSlice(e: Emitter, node: NodeOf<'slice'>): void {
  const { x } = node.inputs;
  const { axis, start, length } = node.attributes;
  const bounds = [[start], [start + length], [axis]].map((v) => e.constants.integers(v));
  e.bind(node.outputs[0], 'last', e.node('Slice', [e.stored(x), ...bounds]));
}

/** Of codes as of numbers. */
export function emitReshape(e: Emitter, node: NodeOf<'reshape'>): void {
  e.bind(node.outputs[0], 'last', e.reshape(e.stored(node.inputs.x), node.attributes.shape));
}
