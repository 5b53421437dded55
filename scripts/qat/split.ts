/**
 * Splits what there is for the embedded model into prompts to train on and prompts to measure with,
 * and makes the training images. Nothing of it belongs into the repository.
 *
 *   npm install --prefix models/emoji/training     # the pictures and keywords, 81 MB
 *   node scripts/qat/split.ts --out FOLDER [--packages models/emoji/training/node_modules]
 *     [--held-out 200]
 *
 * FOLDER/held-out.txt        200 of the 231 prompts, by a shuffle with a fixed seed
 * FOLDER/train-prompts.txt   the other 31, in the order of prompts.txt
 * FOLDER/images              the emoji of those 31, 64×64 on white, with metadata.jsonl
 * FOLDER/unseen              the same of the 83 emoji that the VAE has seen and the U-Net has not
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import { RandomStream, shuffledOrder } from '../../src/training/random-stream.ts';

/** Chosen once, before anything was measured. */
const SHUFFLE_SEED = 4;
const PIXELS = 64;

const model = join(import.meta.dirname, '../../models/emoji');

const { values } = parseArgs({
  options: {
    out: { type: 'string' },
    'held-out': { type: 'string', default: '200' },
    packages: { type: 'string', default: join(model, 'training/node_modules') },
  },
});
const { out, packages } = values;
if (!out) {
  console.error('Name the folder to make: --out FOLDER.');
  process.exit(2);
}

const readJson = (...path: string[]) =>
  JSON.parse(readFileSync(join(packages, ...path), 'utf8')) as unknown;

interface Picture {
  readonly short_name: string;
  /** Code points in hexadecimal, with hyphens between them. */
  readonly unified: string;
  readonly image: string;
}

const pictures = new Map(
  (readJson('emoji-datasource-google/emoji.json') as Picture[]).map((one) => [one.short_name, one]),
);
const keywords = readJson('emojilib/dist/emoji-en-US.json') as Record<string, readonly string[]>;

/** Short names of selection.txt: those that the U-Net has learned, then those of the VAE alone. */
function selection(): { readonly learned: string[]; readonly vaeOnly: string[] } {
  const text = readFileSync(join(model, 'training/selection.txt'), 'utf8');
  const [learned, vaeOnly] = text.split('# vae only').map((part, i) =>
    // The rest of the comment that the second part begins with is no name.
    (i === 0 ? part.split('\n') : part.split('\n').slice(1))
      .filter((line) => !line.startsWith('# '))
      .flatMap((line) => line.split(/\s+/).filter((word) => word !== '')),
  );
  return { learned, vaeOnly };
}

/** The first keyword, as training/dataset.py has it: lower case, letters and digits alone. */
function captionOf({ unified }: Picture): string {
  const character = String.fromCodePoint(...unified.split('-').map((code) => Number(`0x${code}`)));
  const words = keywords[character] ?? keywords[character.replaceAll('\ufe0f', '')];
  const clean = words.map((word) =>
    word
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, ' ')
      .trim(),
  );
  return clean.find((word) => word !== '')!;
}

const prompts = readFileSync(join(model, 'prompts.txt'), 'utf8').trimEnd().split('\n');
const order = shuffledOrder(prompts.length, RandomStream.start(SHUFFLE_SEED, 'shuffling'));
const heldOut = new Set(order.slice(0, Number(values['held-out'])));
const { learned, vaeOnly } = selection();
for (const [i, name] of learned.entries()) {
  if (captionOf(pictures.get(name)!) === prompts[i]) continue;
  throw new Error(`${name} of selection.txt is not ${prompts[i]}, prompt ${i + 1} of prompts.txt.`);
}

/** @returns how many */
async function writePictures(folder: string, names: readonly string[]): Promise<number> {
  const metadata: string[] = [];
  mkdirSync(join(out!, folder), { recursive: true });
  for (const name of names) {
    const picture = pictures.get(name)!;
    const file = `${picture.unified}.png`;
    await sharp(join(packages, 'emoji-datasource-google/img/google/64', picture.image))
      .flatten({ background: 'white' })
      .resize(PIXELS, PIXELS)
      .png()
      .toFile(join(out!, folder, file));
    metadata.push(JSON.stringify({ file_name: file, text: captionOf(picture) }));
  }
  writeLines(join(folder, 'metadata.jsonl'), metadata);
  return names.length;
}

function writeLines(file: string, lines: readonly string[]): void {
  writeFileSync(join(out!, file), lines.map((line) => `${line}\n`).join(''));
}

mkdirSync(out, { recursive: true });
writeLines(
  'held-out.txt',
  [...heldOut].map((i) => prompts[i]),
);
writeLines(
  'train-prompts.txt',
  prompts.filter((_, i) => !heldOut.has(i)),
);
const kept = learned.filter((_, i) => !heldOut.has(i));
const written = [await writePictures('images', kept), await writePictures('unseen', vaeOnly)];
console.log(
  `${heldOut.size} prompts held out; pictures: ${written[0]} to train on, ${written[1]} unseen`,
);
