import { BookendError } from '../core/errors.ts';
import type { Shape } from '../core/shape.ts';
import type { Attributes, NodeInputs, TensorType, Value } from './graph.ts';
import type { GraphBuilder } from './graph-builder.ts';

/** A value of the reference evaluation: float64, row-major, whatever the storage type. */
export interface NumericArray {
  readonly shape: Shape;
  readonly data: Float64Array;
}

export type TypesOf<I> = { readonly [K in keyof I]: TensorType };
export type ArraysOf<I> = { readonly [K in keyof I]: NumericArray };

type Presence<V> = undefined extends V ? 'optional' : 'required';

/** The operands of an op, in canonical order. */
export type Operands<I> = string extends keyof I
  ? Readonly<Record<string, 'required' | 'optional'>>
  : { readonly [K in keyof I]-?: Presence<I[K]> };

/**
 * The vector-Jacobian product of an op: adds the nodes that compute the gradient of each operand.
 * `gradients` holds one Value per output (an output that nobody uses gets zeros). Operands left out
 * of the result have no gradient (integer operands). A gradient must have its operand's shape; the
 * caller casts it to the operand's dtype. Rules may use any op, backward ops included.
 */
export type VjpRule<I, A> = {
  rule(
    b: GraphBuilder,
    inputs: I,
    outputs: readonly Value[],
    gradients: readonly Value[],
    attributes: A,
  ): { readonly [K in keyof I]?: Value };
}['rule'];

/** Everything there is to know about an op, backends aside. One file of `ops/` holds one. */
export interface OpDefinition<
  I extends NodeInputs = NodeInputs,
  A extends Attributes = Attributes,
> {
  readonly name: string;
  readonly operands: Operands<I>;
  /** Output types; throws `invalid-graph` with one sentence when the operands do not fit. */
  infer(types: TypesOf<I>, attributes: A): readonly TensorType[];
  /** The op's meaning: plain loops in float64, row-major, one array per output. */
  evaluate(
    arrays: ArraysOf<I>,
    attributes: A,
    outputs: readonly TensorType[],
  ): readonly Float64Array[];
  /**
   * Floating-point operations of matrix products, a multiply-add counting two. Elementwise work is
   * bound by memory, not by arithmetic, and counts 0.
   */
  flops(types: TypesOf<I>, attributes: A, outputs: readonly TensorType[]): number;
  readonly vjp: VjpRule<I, A> | 'not-differentiable';
}

export type NoAttributes = Readonly<Record<string, never>>;

/** `flops` of ops that do no matrix product. */
export const noFlops = (): number => 0;

/** Rejects the operands or attributes of a node with one sentence. */
export function reject(sentence: string): never {
  throw new BookendError('invalid-graph', sentence);
}
