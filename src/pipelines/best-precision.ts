import { resolveIsa } from '../runtime/native/cpu.ts';
import type { HighPrecision } from './request.ts';

/** BF16 where the CPU multiplies it natively; elsewhere it would cost accuracy and gain no time. */
export function bestPrecision(): HighPrecision {
  const isa = resolveIsa();
  return isa === 'avx512_vnni_bf16' || isa === 'amx' ? 'bf16' : 'fp32';
}
