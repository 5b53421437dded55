import { BookendError } from './errors.ts';

/** Extents, outermost first. Images and activations are channels-last: [batch, height, width, channels]. */
export type Shape = readonly number[];

/** Product of the extents, checked: the count must stay an exactly representable integer. */
export function elementCount(shape: Shape): number {
  let count = 1;
  for (const extent of shape) {
    if (!Number.isInteger(extent) || extent < 0) {
      throw new BookendError(
        'invalid-argument',
        `Shape ${formatShape(shape)} has the extent ${extent}; every extent must be a whole number of at least 0.`,
      );
    }
    count *= extent;
  }
  if (!Number.isSafeInteger(count)) {
    throw new BookendError(
      'invalid-argument',
      `Shape ${formatShape(shape)} has more elements than can be counted; use a smaller one.`,
    );
  }
  return count;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((extent, i) => extent === b[i]);
}

export function formatShape(shape: Shape): string {
  return `[${shape.join(', ')}]`;
}
