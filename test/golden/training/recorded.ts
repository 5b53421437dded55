/** What make.py recorded, and the inputs it made it from. */
import { readFileSync } from 'node:fs';
import { sharedFloats } from '../../../src/runtime/native/shared-floats.ts';
import type { PredictionType } from '../../../src/schedulers/prediction.ts';
import type { AdamWOptions } from '../../../src/training/adamw.ts';
import type { EmaOptions } from '../../../src/training/ema.ts';

interface Recorded {
  lengths: number[];
  adamw: {
    options: Partial<AdamWOptions>;
    maxNorm: number | null;
    norms: number[];
    parameters: string[];
    firstMoments: string;
    secondMoments: string;
  }[];
  ema: { options: Partial<EmaOptions>; decays: number[]; averages: string[] }[];
  learningRates: {
    kind: 'constant' | 'linear' | 'cosine';
    warmupSteps: number;
    totalSteps: number;
    rates: number[];
  }[];
  snr: { gamma: number; alphasCumprod: number[]; weights: Record<PredictionType, number[]> };
}

export const recorded: Recorded = JSON.parse(
  readFileSync(new URL('training.json', import.meta.url), 'utf8'),
);

/** The arrays that make.py starts from. */
export function startingParameters(): Map<string, Float32Array> {
  return named((i, k) => (((i * 29 + k * 17) % 50) - 24.5) / 32);
}

/** The gradients of step `step`, exact in float32. */
export function gradientsOfStep(step: number): Map<string, Float32Array> {
  const loud = step % 6 === 3 ? 8 : 1;
  return named((i, k) => ((((i * 37 + k * 11 + step * 53) % 64) - 31.5) / 2 ** (i % 7)) * loud);
}

function named(numberAt: (i: number, k: number) => number): Map<string, Float32Array> {
  const lengths = recorded.lengths.entries();
  return new Map(
    Array.from(lengths, ([k, length]) => {
      const array = sharedFloats(length);
      for (let i = 0; i < length; i++) array[i] = numberAt(i, k);
      return [`tensor${k}`, array];
    }),
  );
}

/** All numbers in order. */
export function flat(arrays: ReadonlyMap<string, Float32Array>): Float32Array {
  return Float32Array.from([...arrays.values()].flatMap((array) => [...array]));
}

/** Base64 of little-endian float32. */
export function decode(text: string): Float32Array {
  const bytes = Uint8Array.from(Buffer.from(text, 'base64'));
  return new Float32Array(bytes.buffer);
}
