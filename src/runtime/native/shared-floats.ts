import { BookendError } from '../../core/errors.ts';
import type { NamedArrays } from '../../core/named-arrays.ts';
import type { WeightBuffer } from './addon.ts';
import { callAddon } from './loader.ts';

/** The native side of the memory behind each shared array, by the ArrayBuffer that JavaScript has. */
const buffers = new WeakMap<ArrayBufferLike, WeightBuffer>();

/**
 * Zeros in native memory, 64-byte aligned, on huge pages where there are many: programs and optimizer
 * kernels work on them in place. JavaScript may read and write them between runs; what it does to them
 * during one is a race. The memory is freed when neither JavaScript nor a program has it any more.
 *
 * @param count at least 1, at most 2^31
 * @throws BookendError `insufficient-memory`, `native` for another count
 */
export function sharedFloats(count: number): Float32Array {
  const { buffer, array } = callAddon((addon) => addon.createFloats(count));
  buffers.set(array.buffer, buffer);
  return array;
}

/** Where an array lies in native memory, as the addon takes operands. */
export interface SharedPlace {
  readonly buffer: WeightBuffer;
  /** In bytes. */
  readonly offset: number;
}

/**
 * @param what the array in words, for the message: "parameter conv_in.weight"
 * @throws BookendError `invalid-argument` for memory that is not native, or no longer there
 */
export function sharedPlace(what: string, array: Float32Array): SharedPlace {
  const buffer = buffers.get(array.buffer);
  if (buffer && array instanceof Float32Array && array.length > 0) {
    return { buffer, offset: array.byteOffset };
  }
  throw new BookendError(
    'invalid-argument',
    `The array of ${what} does not lie in shared memory; make it with sharedFloats.`,
  );
}

/** What the arrays take in memory, each part of it counted once. */
export function sharedBytes(arrays: Iterable<Float32Array>): number {
  const whole = new Set([...arrays].map(({ buffer }) => buffer));
  let total = 0;
  for (const { byteLength } of whole) total += byteLength;
  return total;
}

/** Arrays by what they are in words: "parameter", "gradient". */
export type ArrayGroups = Readonly<Record<string, NamedArrays>>;

interface Span {
  readonly what: string;
  readonly begin: number;
  readonly end: number;
  readonly isWritten: boolean;
}

/** @throws BookendError `invalid-argument` where an array of `written` overlaps any other one */
export function requireApart(written: ArrayGroups, read: ArrayGroups): void {
  const byBuffer = new Map<ArrayBufferLike, Span[]>();
  for (const { buffer, ...span } of [...spansOf(written, true), ...spansOf(read, false)]) {
    const spans = byBuffer.get(buffer) ?? [];
    spans.push(span);
    byBuffer.set(buffer, spans);
  }
  for (const spans of byBuffer.values()) {
    let furthest: Span | undefined;
    let furthestWritten: Span | undefined;
    for (const span of spans.sort((a, b) => a.begin - b.begin)) {
      requireEnded(span.isWritten ? furthest : furthestWritten, span);
      if (!furthest || span.end > furthest.end) furthest = span;
      if (span.isWritten) furthestWritten = span;
    }
  }
}

function requireEnded(before: Span | undefined, span: Span): void {
  if (!before || before.end <= span.begin) return;
  throw new BookendError(
    'invalid-argument',
    `The arrays of ${before.what} and ${span.what} overlap; give each its own memory.`,
  );
}

function spansOf(groups: ArrayGroups, isWritten: boolean) {
  return Object.entries(groups).flatMap(([group, arrays]) =>
    [...arrays].map(([name, { buffer, byteOffset, byteLength }]) => ({
      what: `${group} ${name}`,
      buffer,
      begin: byteOffset,
      end: byteOffset + byteLength,
      isWritten,
    })),
  );
}
