import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encodePng } from '../../src/io/png.ts';

/** A data set of smooth pictures with captions, in files of their own. */
export async function writeTrainingImages(folder: string, count = 3, size = 32): Promise<string> {
  await mkdir(folder, { recursive: true });
  for (let image = 0; image < count; image++) {
    const data = Uint8Array.from({ length: size * size * 3 }, (_, i) => {
      const [x, y] = [Math.floor(i / 3) % size, Math.floor(i / 3 / size)];
      return 128 + 100 * Math.sin((x / size) * 6 + image + (i % 3)) * Math.cos((y / size) * 4);
    });
    const png = encodePng({ width: size, height: size, channels: 3, data });
    await writeFile(join(folder, `${image}.png`), png);
    await writeFile(join(folder, `${image}.txt`), `picture ${image}`);
  }
  return folder;
}
