import type { DType } from '../core/dtype.ts';
import { elementCount } from '../core/shape.ts';
import type { Node, Value } from '../ir/graph.ts';
import { isOp, type NodeOf } from '../ir/op-table.ts';
import type { FakeQuantizeGradientInputs } from '../ir/ops/fake-quantize-gradient.ts';
import type { CodeRange, FakeQuantizeInputs } from '../ir/ops/fake-quantize-operands.ts';
import type { FakeQuantizeFields, Place } from './instructions.ts';
import type { Lowering } from './lowering.ts';

type GradientNode = NodeOf<'fakeQuantizeGradient'>;
type ScaleGradientNode = NodeOf<'fakeQuantizeScaleGradient'>;

/** Results that are read as bf16 only, which weights are before a product, are stored so. */
export function lowerFakeQuantize(node: NodeOf<'fakeQuantize'>, lowering: Lowering): void {
  const [output] = node.outputs;
  const casts = castsOf(output, lowering);
  const stored = casts?.[0].outputs[0] ?? output;
  const out = lowering.allocate(stored);
  for (const cast of casts ?? []) lowering.alias(cast.outputs[0], out);
  const fields: FakeQuantizeFields = {
    ...commonFields(node.inputs, node.attributes),
    result: 'value',
    gradientScale: 1,
    gradientType: node.inputs.x.dtype,
    output: stored.dtype,
  };
  lowering.emit(node, 'fakeQuantize', fields, { ...operandsOf(node.inputs, lowering), out });
}

/** The casts that read `value`, if nothing else does and all are to the same type. */
function castsOf(value: Value, lowering: Lowering): readonly NodeOf<'cast'>[] | undefined {
  const casts: NodeOf<'cast'>[] = [];
  for (const reader of lowering.readers(value)) {
    if (reader === 'output' || !isOp(reader, 'cast')) return undefined;
    if (reader.outputs[0].dtype !== 'bf16') return undefined;
    casts.push(reader);
  }
  return casts.length > 0 ? casts : undefined;
}

export function lowerFakeQuantizeGradient(node: GradientNode, lowering: Lowering): void {
  if (lowering.isPlaced(node.outputs[0])) return;
  emitGradients(node, twinOf(node, 'fakeQuantizeScaleGradient', lowering), lowering);
}

export function lowerFakeQuantizeScaleGradient(node: ScaleGradientNode, lowering: Lowering): void {
  if (lowering.isPlaced(node.outputs[0])) return;
  emitGradients(twinOf(node, 'fakeQuantizeGradient', lowering), node, lowering);
}

/** The node that computes the other gradient of the same numbers, to be computed in one pass. */
function twinOf<K extends 'fakeQuantizeGradient' | 'fakeQuantizeScaleGradient'>(
  { inputs, attributes }: GradientNode | ScaleGradientNode,
  op: K,
  lowering: Lowering,
): NodeOf<K> | undefined {
  const isTwin = (reader: Node | 'output'): reader is NodeOf<K> => {
    if (reader === 'output' || !isOp(reader, op)) return false;
    const other = reader as GradientNode | ScaleGradientNode;
    const { x, scale, zero, gradient } = other.inputs;
    return (
      x === inputs.x &&
      scale === inputs.scale &&
      zero === inputs.zero &&
      gradient === inputs.gradient &&
      other.attributes.lowest === attributes.lowest &&
      other.attributes.highest === attributes.highest
    );
  };
  return [...lowering.readers(inputs.gradient)].find(isTwin);
}

function emitGradients(
  ofX: GradientNode | undefined,
  ofScale: ScaleGradientNode | undefined,
  lowering: Lowering,
): void {
  const node = (ofX ?? ofScale)!;
  const { inputs } = node;
  const { place, type } = incoming(inputs.gradient, lowering);
  const fields: FakeQuantizeFields = {
    ...commonFields(inputs, node.attributes),
    result: ofX && ofScale ? 'gradients' : ofX ? 'gradient' : 'scaleGradient',
    gradientScale: ofScale?.attributes.gradientScale ?? 1,
    gradientType: type,
    output: inputs.x.dtype,
  };
  lowering.emit(node, 'fakeQuantize', fields, {
    ...operandsOf(inputs, lowering),
    gradient: place,
    out: ofX && lowering.allocate(ofX.outputs[0]),
    scaleGradient: ofScale && lowering.allocate(ofScale.outputs[0]),
  });
}

/** Where an incoming gradient lies, and as what: a cast to f32 is left to the kernel. */
function incoming(gradient: Value, lowering: Lowering): { place: Place; type: DType } {
  const { node } = gradient;
  const source =
    node && isOp(node, 'cast') && isLeftToGradients(node, lowering) ? node.inputs.x : gradient;
  return { place: lowering.place(source), type: source.dtype };
}

/** Whether `cast` widens numbers for gradients of fake quantization alone, which do that themselves. */
export function isLeftToGradients(cast: NodeOf<'cast'>, lowering: Lowering): boolean {
  const [output] = cast.outputs;
  if (cast.inputs.x.dtype !== 'bf16' || output.dtype !== 'f32') return false;
  return [...lowering.readers(output)].every(
    (reader) =>
      reader !== 'output' &&
      isOp(reader, 'fakeQuantizeGradient', 'fakeQuantizeScaleGradient') &&
      reader.inputs.gradient === output &&
      reader.inputs.x !== output,
  );
}

/** A group is what shares a scale: an index of the first axis, or everything. */
function commonFields({ x, scale, zero }: FakeQuantizeInputs, { lowest, highest }: CodeRange) {
  const groups = elementCount(scale.shape);
  const count = elementCount(x.shape) / groups;
  return { groups, count, lowest, highest, hasZero: zero !== undefined, input: x.dtype };
}

function operandsOf(
  { x, scale, zero }: FakeQuantizeInputs | FakeQuantizeGradientInputs,
  lowering: Lowering,
) {
  return {
    x: lowering.place(x),
    scale: lowering.place(scale),
    zero: zero && lowering.place(zero),
  };
}
