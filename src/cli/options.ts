import { InvalidArgumentError } from 'commander';

/** A commander parser for whole numbers from `min` on that a number holds exactly. */
export function wholeNumber(min: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== '' && Number.isSafeInteger(value) && value >= min) return value;
    throw new InvalidArgumentError(
      `Pass a whole number from ${min} to ${Number.MAX_SAFE_INTEGER}.`,
    );
  };
}

/** A commander parser for `1,2,4`: whole numbers from `min` to `max`, which come sorted, each once. */
export function wholeNumbers(min: number, max: number): (text: string) => readonly number[] {
  return (text) => {
    const values = text.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)));
    if (values.every((value) => Number.isInteger(value) && value >= min && value <= max)) {
      return [...new Set(values)].sort((a, b) => a - b);
    }
    throw new InvalidArgumentError(`Pass whole numbers from ${min} to ${max}, such as 1,2,4.`);
  };
}

/** A commander parser for numbers from `min` to `max`. */
export function numberBetween(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== '' && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Pass a number from ${min} to ${max}.`);
  };
}

/** `512x768` as width and height. */
export function imageSize(text: string): { width: number; height: number } {
  const match = /^(\d{1,5})x(\d{1,5})$/.exec(text);
  if (match) return { width: Number(match[1]), height: Number(match[2]) };
  throw new InvalidArgumentError('Pass width x height in pixels, such as 512x512.');
}
