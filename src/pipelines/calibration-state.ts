import { BookendError } from '../core/errors.ts';
import { sameShape } from '../core/shape.ts';
import type { Tensor } from '../core/tensor.ts';
import { openCheckpoint } from '../io/checkpoint.ts';
import { writeSafetensors } from '../io/safetensors.ts';

/**
 * Calibration on disk, so that it can be taken up where it was interrupted: one file, replaced after
 * every sample. `key` stands for everything that the statistics depend on but how many samples
 * there are.
 */
export interface CalibrationState {
  readonly path: string;
  readonly key: string;
}

/**
 * Fills `tensors` with what was stored under the same key.
 *
 * @returns the number of samples in it; 0 when there is nothing to go on with
 */
export async function restoreCalibration(
  { path, key }: CalibrationState,
  tensors: ReadonlyMap<string, Tensor>,
  samples: number,
): Promise<number> {
  const source = await openCheckpoint(path).catch((error) => {
    if (error instanceof BookendError && error.code !== 'io') return undefined;
    throw error;
  });
  if (!source) return 0;
  try {
    const done = Number(source.metadata.samples);
    const usable = source.metadata.key === key && Number.isInteger(done) && done > 0;
    if (!usable || done > samples) return 0;
    const fits = [...tensors].every(
      ([name, { shape }]) => source.has(name) && sameShape(source.locate(name).shape, shape),
    );
    if (!fits) return 0;
    for (const [name, { data }] of tensors) data.set((await source.read(name)).data);
    return done;
  } finally {
    await source.close();
  }
}

/** @throws BookendError `io` */
export async function saveCalibration(
  { path, key }: CalibrationState,
  tensors: ReadonlyMap<string, Tensor>,
  samples: number,
): Promise<void> {
  await writeSafetensors(path, tensors, { key, samples: String(samples) });
}
