import { elementCount } from '../core/shape.ts';
import type { Node } from '../ir/graph.ts';
import type { NodeOf } from '../ir/op-table.ts';
import type { FakeQuantizeGradientInputs } from '../ir/ops/fake-quantize-gradient.ts';
import type {
  FakeQuantizeAttributes,
  FakeQuantizeInputs,
} from '../ir/ops/fake-quantize-operands.ts';
import type { FakeQuantizeFields } from './instructions.ts';
import type { Lowering } from './lowering.ts';

export function lowerFakeQuantize(node: NodeOf<'fakeQuantize'>, lowering: Lowering): void {
  emit(node, lowering, node.inputs, { ...node.attributes, result: 'value' });
}

export function lowerFakeQuantizeGradient(
  node: NodeOf<'fakeQuantizeGradient'>,
  lowering: Lowering,
): void {
  emit(node, lowering, node.inputs, { ...node.attributes, gradientScale: 1, result: 'gradient' });
}

export function lowerFakeQuantizeScaleGradient(
  node: NodeOf<'fakeQuantizeScaleGradient'>,
  lowering: Lowering,
): void {
  emit(node, lowering, node.inputs, { ...node.attributes, result: 'scaleGradient' });
}

/** A group is what shares a scale: an index of the first axis, or everything. */
function emit(
  node: Node,
  lowering: Lowering,
  { x, scale, zero, gradient }: FakeQuantizeInputs & Partial<FakeQuantizeGradientInputs>,
  attributes: FakeQuantizeAttributes & Pick<FakeQuantizeFields, 'result'>,
): void {
  const { result, lowest, highest, gradientScale } = attributes;
  const groups = elementCount(scale.shape);
  const fields: FakeQuantizeFields = {
    result,
    groups,
    count: elementCount(x.shape) / groups,
    lowest,
    highest,
    gradientScale,
    hasZero: zero !== undefined,
    type: x.dtype,
  };
  lowering.emit(node, 'fakeQuantize', fields, {
    x: lowering.place(x),
    scale: lowering.place(scale),
    zero: zero && lowering.place(zero),
    gradient: gradient && lowering.place(gradient),
    out: lowering.allocate(node.outputs[0]),
  });
}
