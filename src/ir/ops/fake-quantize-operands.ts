import type { TensorType, Value } from '../graph.ts';
import {
  requireFloating,
  requireMinimumRank,
  requireSameDType,
  requireShape,
  requireWhole,
} from './rules.ts';

export type FakeQuantizeInputs = {
  /** [N, ...] */
  readonly x: Value;
  /** f32 [1] or [N], positive: what a step is worth, everywhere or for each index of the first axis. */
  readonly scale: Value;
  /** f32, like the scale: the code of 0, a whole number; absent: 0. */
  readonly zero?: Value;
};

export type CodeRange = {
  /** The least and the greatest code: 0 and 255 of u8, −128 and 127 of s8. */
  readonly lowest: number;
  readonly highest: number;
};

export type FakeQuantizeAttributes = CodeRange & {
  /** Factor on the gradient of the scale. */
  readonly gradientScale: number;
};

/** Checks the operands that the op shares with its gradients. */
export function inferFakeQuantize(
  { x, scale, zero }: { readonly [K in keyof FakeQuantizeInputs]: TensorType },
  { lowest, highest }: CodeRange,
): void {
  requireFloating('x', x);
  requireMinimumRank('x', x, 1);
  for (const [name, type] of Object.entries({ scale, zero })) {
    if (!type) continue;
    requireSameDType(name, type, 'f32');
    requireShape(name, type, [scale.shape.length === 1 && scale.shape[0] === 1 ? 1 : x.shape[0]]);
  }
  requireWhole('lowest', lowest, -128, 0);
  requireWhole('highest', highest, 1, 255);
}
