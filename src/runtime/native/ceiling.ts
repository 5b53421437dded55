import type { IsaName } from './addon.ts';
import { callAddon } from './loader.ts';

/** What the products multiply; u8 stands for u8 × s8 summed in s32. */
export type CeilingType = 'f32' | 'bf16' | 'u8';

/**
 * The most FLOP/s that `threads` threads reach together: multiply-adds on registers, no memory.
 * 0 where the instruction set has no such products. Other programs on the same cores lower it, so
 * measure it next to what it is compared with.
 */
export function measureCeiling(
  type: CeilingType,
  { isa, threads, seconds }: { isa: IsaName; threads: number; seconds: number },
): Promise<number> {
  return callAddon((addon) => addon.measureCeiling(isa, type, threads, seconds));
}
