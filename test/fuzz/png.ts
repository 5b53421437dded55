/** Fuzzes the image input: node test/fuzz/png.ts --iterations 100000 */

import assert from 'node:assert/strict';
import { crc32 } from 'node:zlib';
import sharp from 'sharp';
import { readImage } from '../../src/io/image.ts';
import { checkImage, type Image } from '../../src/io/image-data.ts';
import { encodePng } from '../../src/io/png.ts';
import { readPngText } from '../../src/io/png-text.ts';
import { type FuzzReport, fuzz, runFromCommandLine } from './fuzz.ts';
import { type FuzzRandom, mutate } from './mutate.ts';

const MAX_PIXELS = 2 ** 20;

export async function fuzzPng(iterations: number, seed: number): Promise<FuzzReport> {
  const seeds = await soundImages();
  return fuzz(iterations, seed, async (random) => {
    const bytes = mutateImage(random.pick(seeds), random);
    // Both readers see every input, whatever the first one says of it.
    const [text, image] = await Promise.allSettled([
      readPngText(bytes),
      readImage(bytes, { maxPixels: MAX_PIXELS }),
    ]);
    if (image.status === 'fulfilled') {
      checkImage(image.value);
      assert.ok(image.value.width * image.value.height <= MAX_PIXELS);
    }
    for (const outcome of [text, image]) if (outcome.status === 'rejected') throw outcome.reason;
  });
}

async function soundImages(): Promise<Buffer[]> {
  const data = Uint8Array.from({ length: 12 * 9 * 3 }, (_, i) => (i * 37) % 251);
  const image: Image = { width: 12, height: 9, channels: 3, data };
  const text = { parameters: 'a cat\nSteps: 20', Title: '富士山' };
  const raw = { raw: { width: 12, height: 9, channels: 3 as const } };
  return [
    encodePng(image, text),
    await sharp(data, raw).png({ palette: true, progressive: true }).toBuffer(),
    await sharp(data, raw)
      .withExif({ IFD0: { ImageDescription: 'x' } })
      .png()
      .toBuffer(),
    await sharp(data, raw).toColourspace('rgb16').png().toBuffer(),
  ];
}

/** Half of the inputs get right checksums again, to reach what lies behind them. */
function mutateImage(sound: Buffer, random: FuzzRandom): Buffer {
  const bytes = Buffer.from(mutate(sound, random));
  if (random.below(2)) return bytes;
  for (let at = 8; at + 12 <= bytes.length; ) {
    const end = at + 12 + bytes.readUInt32BE(at);
    if (end > bytes.length) break;
    bytes.writeUInt32BE(crc32(bytes.subarray(at + 4, end - 4)), end - 4);
    at = end;
  }
  return bytes;
}

if (import.meta.main) await runFromCommandLine(fuzzPng);
