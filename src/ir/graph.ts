import type { DType } from '../core/dtype.ts';
import { type QuantizationParams, sameQuantization } from '../core/quantization-params.ts';
import { type Shape, sameShape } from '../core/shape.ts';
import type { OpName } from './op-table.ts';

/** Storage type and extents of a Value. */
export interface TensorType {
  readonly dtype: DType;
  readonly shape: Shape;
  /**
   * Always there for u8, and only there: a quantized Value stands for the real numbers
   * (code − zeroPoint) · scale, and ops compute with those.
   */
  readonly quantization?: QuantizationParams;
}

/** The type of a Value, or of anything that has one, alone. */
export function typeOf({ dtype, shape, quantization }: TensorType): TensorType {
  return quantization ? { dtype, shape, quantization } : { dtype, shape };
}

export function sameType(a: TensorType, b: TensorType): boolean {
  return (
    a.dtype === b.dtype &&
    sameShape(a.shape, b.shape) &&
    sameQuantization(a.quantization, b.quantization)
  );
}

/** An edge of a Graph: defined once, by a Node, or (when `node` is undefined) by the graph itself. */
export interface Value extends TensorType {
  readonly id: number;
  readonly node: Node | undefined;
  /** Which output of `node` this is; 0 for graph inputs and parameters. */
  readonly index: number;
}

export type AttributeValue = number | string | boolean | readonly number[];
export type Attributes = Readonly<Record<string, AttributeValue>>;

/** Named operands; an optional operand that is not there is an absent key, never `undefined`. */
export type NodeInputs = Readonly<Record<string, Value>>;

export interface Node {
  readonly id: number;
  readonly op: OpName;
  readonly inputs: NodeInputs;
  readonly attributes: Attributes;
  readonly outputs: readonly Value[];
  /** Prefix of the parameter paths of the layer this node came from: 'down_blocks.0.resnets.0'. */
  readonly scope: string;
}

/**
 * A pure function from named inputs and parameters to named outputs, in static single assignment
 * form. Images are [batch, height, width, channels], tokens [batch, tokens, channels]; weights keep
 * their Hugging Face shapes (conv [O, I, kh, kw], linear [O, I]).
 */
export interface Graph {
  readonly name: string;
  readonly inputs: Readonly<Record<string, Value>>;
  /** By path: the tensor's name in the checkpoint. */
  readonly parameters: ReadonlyMap<string, Value>;
  /** In topological order. */
  readonly nodes: readonly Node[];
  readonly outputs: Readonly<Record<string, Value>>;
}

/** How many operands and graph outputs read each Value. */
export function countUses(graph: Graph): ReadonlyMap<Value, number> {
  const uses = new Map<Value, number>();
  const use = (value: Value) => uses.set(value, (uses.get(value) ?? 0) + 1);
  for (const node of graph.nodes) for (const value of Object.values(node.inputs)) use(value);
  for (const value of Object.values(graph.outputs)) use(value);
  return uses;
}
