import type { DType } from '../core/dtype.ts';
import type { StoredDType } from '../io/safetensors-header.ts';
import type { TensorSource } from '../io/tensor-source.ts';
import type { WeightSource } from '../runtime/backend.ts';

const MAPPABLE: Partial<Record<StoredDType, DType>> = {
  F32: 'f32',
  F16: 'f16',
  BF16: 'bf16',
  I8: 's8',
};

/** The files that a checkpoint's tensors lie in, each once, sorted: what to hash to know them again. */
export function weightFiles(source: TensorSource): string[] {
  return [...new Set([...source.names()].map((name) => source.locate(name).path))].sort();
}

/** A checkpoint's tensors as a backend wants them: types it can map, others read first. */
export function weightsOf(source: TensorSource): WeightSource {
  return {
    names: () => source.names(),
    info(path) {
      if (!source.has(path)) return undefined;
      const { dtype, shape } = source.locate(path);
      return { dtype: MAPPABLE[dtype] ?? 'f32', shape };
    },
    read: (path) => source.read(path),
    locate(path) {
      const location = source.locate(path);
      if (!MAPPABLE[location.dtype]) return undefined;
      const { path: file, byteOffset: offset, byteLength } = location;
      return { file, offset, byteLength };
    },
  };
}
