import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writePng } from '../../src/io/png.ts';

const COLOURS: Readonly<Record<string, readonly [number, number, number]>> = {
  red: [200, 30, 30],
  green: [30, 160, 60],
  blue: [40, 60, 210],
};

/** Writes a small data set: square images of discs, with captions beside them. */
export async function writeImages(folder: string, size: number): Promise<string> {
  mkdirSync(folder, { recursive: true });
  for (const [name, colour] of Object.entries(COLOURS)) {
    const data = Uint8Array.from({ length: size * size * 3 }, (_, i) => {
      const [x, y] = [Math.floor(i / 3) % size, Math.floor(i / 3 / size)];
      return Math.hypot(x - size / 2, y - size / 2) < size / 3 ? colour[i % 3] : 255;
    });
    await writePng(join(folder, `${name}.png`), { width: size, height: size, channels: 3, data });
    writeFileSync(join(folder, `${name}.txt`), `a ${name} disc`);
  }
  return folder;
}
