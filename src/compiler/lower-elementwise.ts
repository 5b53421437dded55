import type { DType } from '../core/dtype.ts';
import { elementCount } from '../core/shape.ts';
import type { NodeOf } from '../ir/op-table.ts';
import { broadcastStrides } from '../ir/ops/binary.ts';
import { collapseAxes } from './axes.ts';
import type { InstructionFields, UnaryKind } from './instructions.ts';
import { isLeftToGradients } from './lower-fake-quantize.ts';
import { castFields, type Lowering } from './lowering.ts';

type UnaryNode = NodeOf<Exclude<UnaryKind, 'affine'>>;
type RowsNode = NodeOf<'softmax' | 'geglu'>;
const BINARY_AXES = 4;

function emitUnary(
  node: UnaryNode | NodeOf<'affine' | 'cast'>,
  lowering: Lowering,
  fields: InstructionFields['unary'],
): void {
  const x = lowering.place(node.inputs.x);
  lowering.emit(node, 'unary', fields, { x, out: lowering.allocate(node.outputs[0]) });
}

export function lowerUnary(node: UnaryNode, lowering: Lowering): void {
  const { dtype, shape } = node.inputs.x;
  emitUnary(node, lowering, {
    kind: node.op,
    count: elementCount(shape),
    scale: 1,
    offset: 0,
    input: dtype,
    output: node.outputs[0].dtype,
  });
}

export function lowerAffine(node: NodeOf<'affine'>, lowering: Lowering): void {
  const { dtype, shape } = node.inputs.x;
  const { scale, offset } = node.attributes;
  const output = node.outputs[0].dtype;
  const count = elementCount(shape);
  emitUnary(node, lowering, { kind: 'affine', count, scale, offset, input: dtype, output });
}

/**
 * Casting a parameter costs nothing: it is loaded as what is wanted. Codes of u8 are read and
 * written as plain numbers, and scale and offset do the rest.
 */
export function lowerCast(node: NodeOf<'cast'>, lowering: Lowering): void {
  const { x } = node.inputs;
  const [output] = node.outputs;
  if (lowering.isPlaced(output) || isLeftToGradients(node, lowering)) return;
  const place = lowering.place(x);
  if (x.dtype === output.dtype) {
    lowering.alias(output, place);
  } else if ('weight' in place && place.weight.kind === 'vector' && isLoadable(output.dtype)) {
    lowering.alias(output, { weight: { ...place.weight, dtype: output.dtype } });
  } else {
    const from = x.quantization ?? { scale: 1, zeroPoint: 0 };
    const to = output.quantization ?? { scale: 1, zeroPoint: 0 };
    emitUnary(node, lowering, {
      ...castFields(elementCount(x.shape), x.dtype, output.dtype),
      scale: from.scale / to.scale,
      offset: to.zeroPoint - (from.zeroPoint * from.scale) / to.scale,
    });
  }
}

/** Whether the weight loader can make it of a floating parameter. */
function isLoadable(dtype: DType): boolean {
  return dtype === 'f32' || dtype === 'bf16';
}

export function lowerBinary(node: NodeOf<'add' | 'sub' | 'mul' | 'div'>, lowering: Lowering): void {
  const { a, b } = node.inputs;
  const [output] = node.outputs;
  const loops = collapseAxes(
    {
      extent: output.shape,
      strides: [broadcastStrides(a.shape, output.shape), broadcastStrides(b.shape, output.shape)],
    },
    BINARY_AXES,
    node.op,
  );
  const fields = {
    kind: node.op,
    extent: [...loops.extent],
    aStride: [...loops.strides[0]],
    bStride: [...loops.strides[1]],
    aType: a.dtype,
    bType: b.dtype,
    output: output.dtype,
  };
  const operands = { a: lowering.place(a), b: lowering.place(b), out: lowering.allocate(output) };
  lowering.emit(node, 'binary', fields, operands);
}

export function lowerRows(node: RowsNode, lowering: Lowering): void {
  const [output] = node.outputs;
  const columns = output.shape[output.shape.length - 1];
  const fields = { rows: elementCount(output.shape) / columns, columns, type: output.dtype };
  const x = lowering.place(node.inputs.x);
  lowering.emit(node, node.op, fields, { x, out: lowering.allocate(output) });
}
