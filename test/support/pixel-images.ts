import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ClassifyingExtractor } from '../../src/evaluation/feature-extractor.ts';
import type { Image } from '../../src/io/image-data.ts';
import { writePng } from '../../src/io/png.ts';

export type Pixel = readonly [number, number, number];

/** Says of an image of one pixel what its channels are, and takes it for the largest of them. */
export function pixelExtractor(name = 'pixel', identity = 'bytes'): ClassifyingExtractor {
  const rows = (images: readonly Image[], factor: number) =>
    Float32Array.from(images.flatMap(({ data }) => [...data].map((byte) => byte * factor)));
  return {
    ...{ name, dimensions: 3, classes: 3 },
    identity: async () => identity,
    extract: async (images) => rows(images, 1 / 255),
    describe: async (images) => ({ features: rows(images, 1 / 255), logits: rows(images, 1) }),
    dispose: async () => undefined,
  };
}

/** Writes images of one pixel each: `00.png`, `01.png`, … @returns their paths */
export async function writePixels(folder: string, pixels: readonly Pixel[]): Promise<string[]> {
  mkdirSync(folder, { recursive: true });
  const paths = pixels.map((_, i) => join(folder, `${String(i).padStart(2, '0')}.png`));
  for (const [i, pixel] of pixels.entries()) {
    await writePng(paths[i], { width: 1, height: 1, channels: 3, data: Uint8Array.from(pixel) });
  }
  return paths;
}
