import type { NativeOp } from '../../src/compiler/instructions.ts';
import type { DType } from '../../src/core/dtype.ts';
import type { IsaName } from '../../src/runtime/native/addon.ts';
import { instructionSets, resolveIsa } from '../../src/runtime/native/cpu.ts';

export const ISAS: readonly IsaName[] = [
  'scalar',
  'avx2',
  'avx2_vnni',
  'avx512',
  'avx512_vnni',
  'avx512_vnni_bf16',
  'amx',
];

const VECTORS: readonly IsaName[] = ['scalar', 'avx2', 'avx512', 'avx512_vnni_bf16'];
const PORTABLE: readonly IsaName[] = ['scalar'];

interface OwnKernels {
  readonly f32: readonly IsaName[];
  readonly bf16: readonly IsaName[];
  /** Those of f32 unless there are others. */
  readonly u8?: readonly IsaName[];
}

/** Which sets each op has kernels of its own for, by input; any other runs the next lower one. */
const OWN_KERNELS: Record<NativeOp, OwnKernels> = {
  conv2d: { f32: ['scalar', 'avx2', 'avx512'], bf16: [...VECTORS, 'amx'], u8: ISAS },
  attention: { f32: VECTORS, bf16: VECTORS },
  groupNorm: { f32: VECTORS, bf16: VECTORS },
  layerNorm: { f32: VECTORS, bf16: VECTORS },
  layerNormGradient: { f32: VECTORS, bf16: VECTORS },
  groupNormGradient: { f32: VECTORS, bf16: VECTORS },
  attentionGradient: { f32: VECTORS, bf16: VECTORS },
  sum: { f32: PORTABLE, bf16: PORTABLE },
  pool2d: { f32: VECTORS, bf16: VECTORS },
  unary: { f32: VECTORS, bf16: VECTORS },
  binary: { f32: VECTORS, bf16: VECTORS },
  geglu: { f32: VECTORS, bf16: VECTORS },
  softmax: { f32: VECTORS, bf16: VECTORS },
  fakeQuantize: { f32: VECTORS, bf16: VECTORS },
  observe: { f32: PORTABLE, bf16: PORTABLE },
  copy: { f32: PORTABLE, bf16: PORTABLE },
  embedding: { f32: PORTABLE, bf16: PORTABLE },
  timestepEmbedding: { f32: PORTABLE, bf16: PORTABLE },
};

/**
 * The set whose kernel must run when `asked` is asked for. Sets below it may still be missing:
 * AVX-VNNI is younger than AVX-512.
 */
export function expectedIsa(op: NativeOp, dtype: DType, asked: IsaName): IsaName {
  const { f32, bf16, u8 = f32 } = OWN_KERNELS[op];
  const own = dtype === 'bf16' ? bf16 : dtype === 'u8' ? u8 : f32;
  const limit = ISAS.indexOf(asked);
  return own.findLast((isa) => ISAS.indexOf(isa) <= limit && cannotTest(isa) === undefined)!;
}

/** Why this machine cannot test `isa`, or undefined when it can, by emulation or for real. */
export function cannotTest(isa: IsaName): string | undefined {
  try {
    resolveIsa(isa);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Whether the set's tiles are played by plain C++ here, some hundred times slower. */
export function isEmulated(isa: IsaName): boolean {
  return instructionSets().find(({ name }) => name === isa)!.missing !== null;
}
