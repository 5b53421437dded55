import type { IsaName } from '../runtime/native/addon.ts';
import { resolveIsa } from '../runtime/native/cpu.ts';
import type { HighPrecision } from './request.ts';

/** BF16 where the CPU multiplies it natively; elsewhere it would cost accuracy and gain no time. */
export function bestPrecision(): HighPrecision {
  const isa = resolveIsa();
  return isa === 'avx512_vnni_bf16' || isa === 'amx' ? 'bf16' : 'fp32';
}

/** Instruction sets that multiply bytes and add up the products in one instruction. */
const INTEGER_PRODUCTS: ReadonlySet<IsaName> = new Set([
  'avx2_vnni',
  'avx512_vnni',
  'avx512_vnni_bf16',
  'amx',
]);

/** Whether INT8 saves time here; without such an instruction it is exact all the same. */
export function hasIntegerProducts(): boolean {
  return INTEGER_PRODUCTS.has(resolveIsa());
}
