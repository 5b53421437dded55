import type { Image } from '../../src/index.ts';

/** Capital letters and digits, 5 pixels wide and 7 high, a row a number (bit 4 is the left pixel). */
const GLYPHS: Readonly<Record<string, readonly number[]>> = {
  ' ': [0, 0, 0, 0, 0, 0, 0],
  '.': [0, 0, 0, 0, 0, 12, 12],
  ',': [0, 0, 0, 0, 12, 4, 8],
  '=': [0, 0, 31, 0, 31, 0, 0],
  '-': [0, 0, 0, 31, 0, 0, 0],
  '0': [14, 17, 19, 21, 25, 17, 14],
  '1': [4, 12, 4, 4, 4, 4, 14],
  '2': [14, 17, 1, 2, 4, 8, 31],
  '3': [31, 2, 4, 2, 1, 17, 14],
  '4': [2, 6, 10, 18, 31, 2, 2],
  '5': [31, 16, 30, 1, 1, 17, 14],
  '6': [6, 8, 16, 30, 17, 17, 14],
  '7': [31, 1, 2, 4, 8, 8, 8],
  '8': [14, 17, 17, 14, 17, 17, 14],
  '9': [14, 17, 17, 15, 1, 2, 12],
  A: [14, 17, 17, 31, 17, 17, 17],
  B: [30, 17, 17, 30, 17, 17, 30],
  C: [14, 17, 16, 16, 16, 17, 14],
  D: [28, 18, 17, 17, 17, 18, 28],
  E: [31, 16, 16, 30, 16, 16, 31],
  F: [31, 16, 16, 30, 16, 16, 16],
  G: [14, 17, 16, 23, 17, 17, 15],
  H: [17, 17, 17, 31, 17, 17, 17],
  I: [14, 4, 4, 4, 4, 4, 14],
  K: [17, 18, 20, 24, 20, 18, 17],
  L: [16, 16, 16, 16, 16, 16, 31],
  M: [17, 27, 21, 21, 17, 17, 17],
  N: [17, 17, 25, 21, 19, 17, 17],
  O: [14, 17, 17, 17, 17, 17, 14],
  P: [30, 17, 17, 30, 16, 16, 16],
  R: [30, 17, 17, 30, 20, 18, 17],
  S: [15, 16, 16, 14, 1, 1, 30],
  T: [31, 4, 4, 4, 4, 4, 4],
  U: [17, 17, 17, 17, 17, 17, 14],
  V: [17, 17, 17, 17, 17, 10, 4],
  W: [17, 17, 17, 21, 21, 21, 10],
  X: [17, 17, 10, 4, 10, 17, 17],
  Y: [17, 17, 17, 10, 4, 4, 4],
};
const GLYPH_WIDTH = 6;
const MARGIN = 4;

/** Pixels that a line of text takes from top to bottom. */
export const LABEL_HEIGHT = 7 + 2 * MARGIN;

/** Writes `text` in black, in capitals, at the top left of [x, y]; unknown characters are errors. */
export function drawLabel(image: Image, text: string, x: number, y: number): void {
  const data = image.data as Uint8Array;
  for (const [i, character] of [...text.toUpperCase()].entries()) {
    const glyph = GLYPHS[character];
    if (!glyph) throw new RangeError(`There is no glyph for ${JSON.stringify(character)}.`);
    for (const [row, bits] of glyph.entries()) {
      for (let column = 0; column < 5; column++) {
        if ((bits >> (4 - column)) & 1) {
          const left = x + MARGIN + i * GLYPH_WIDTH + column;
          const at = (y + MARGIN + row) * image.width + left;
          if (left < image.width) data.fill(0, 3 * at, 3 * at + 3);
        }
      }
    }
  }
}
