import { basename, join } from 'node:path';
import { BookendError, throwIfAborted } from '../../core/errors.ts';
import { psnr } from '../../evaluation/psnr.ts';
import { ssim } from '../../evaluation/ssim.ts';
import { readImage } from '../../io/image.ts';
import type { Image } from '../../io/image-data.ts';
import type { ClipModel } from './clip-model.ts';
import { readRecord } from './image-record.ts';
import { type DrawnImage, type ImageSetPlan, seedOf, setImagePath } from './image-set.ts';

/** What an image is worth by itself, and beside another one of its prompt and seed. */
export interface ImageMeasures {
  /** dB to the image of the same name in the paired folder; Infinity where they are equal. */
  readonly psnr?: number;
  /** Structural similarity to the same image, at most 1; absent below 11 × 11 pixels. */
  readonly ssim?: number;
  /** To the same image, between the features of both. */
  readonly featureDistance?: number;
  /** Of the image and its prompt; see `clipScores`. */
  readonly clipScore?: number;
}

export interface MeasureOptions {
  /** A set that another model, or another precision, has drawn of the same prompts and seeds. */
  readonly paired?: string;
  readonly clip?: ClipModel;
  readonly onImage?: (done: number, seconds: number) => void;
  readonly signal?: AbortSignal;
}

/** Pixels: what the window of SSIM covers. */
const SSIM_WINDOW = 11;

/** Images held in memory at once. */
const BATCH = 8;

/**
 * Measures every image of a set.
 *
 * @throws BookendError `not-found`, `invalid-image`, `invalid-argument` for a pair of different sizes,
 *   prompts or seeds; `aborted`
 */
export async function measureImages(
  drawn: readonly DrawnImage[],
  options: MeasureOptions,
): Promise<ImageMeasures[]> {
  const measures: ImageMeasures[] = [];
  for (let start = 0; start < drawn.length; start += BATCH) {
    throwIfAborted(options.signal);
    const begun = performance.now();
    const batch = drawn.slice(start, start + BATCH);
    const images = await Promise.all(batch.map(({ path }) => readImage(path)));
    measures.push(...(await measureBatch(batch, images, options)));
    const seconds = (performance.now() - begun) / 1000 / batch.length;
    for (let i = 1; i <= batch.length; i++) options.onImage?.(start + i, seconds);
  }
  return measures;
}

async function measureBatch(
  drawn: readonly DrawnImage[],
  images: readonly Image[],
  { paired, clip, signal }: MeasureOptions,
): Promise<ImageMeasures[]> {
  const texts = drawn.map(({ prompt }) => prompt);
  const clipScores = clip && (await clip.score(images, texts, signal));
  return Promise.all(
    images.map(async (image, i) => ({
      ...(paired !== undefined && (await likeness(image, await readPair(drawn[i], paired)))),
      ...(clipScores && { clipScore: clipScores[i] }),
    })),
  );
}

/** Where the other image of a pair is. */
export function pairedPath(image: DrawnImage, folder: string): string {
  return join(folder, basename(image.path));
}

async function likeness(image: Image, pair: Image): Promise<ImageMeasures> {
  const isWindowed = Math.min(image.width, image.height) >= SSIM_WINDOW;
  return { psnr: psnr(image, pair), ...(isWindowed && { ssim: await ssim(image, pair) }) };
}

async function readPair(drawn: DrawnImage, folder: string): Promise<Image> {
  const path = pairedPath(drawn, folder);
  await requirePair(path, drawn);
  return readImage(path);
}

/**
 * Looks at the pairs of all images of a plan, before the images are drawn.
 *
 * @throws BookendError `not-found`, `invalid-image`; `invalid-argument` for other prompts or seeds
 */
export async function requirePairs(plan: ImageSetPlan, folder: string): Promise<void> {
  for (const [i, { prompt = '' }] of plan.entries.entries()) {
    await requirePair(setImagePath(folder, i), { prompt, seed: seedOf(plan, i) });
  }
}

async function requirePair(
  path: string,
  wanted: Pick<DrawnImage, 'prompt' | 'seed'>,
): Promise<void> {
  const record = await readRecord(path);
  if (!record) {
    throw new BookendError(
      'not-found',
      `There is no ${path} to compare with; draw the images of that folder with the same prompts first.`,
    );
  }
  const { prompt = '', seed } = record.settings;
  if (prompt === wanted.prompt && seed === wanted.seed) return;
  throw new BookendError(
    'invalid-argument',
    `${path} shows ${JSON.stringify(prompt).slice(0, 120)} with seed ${seed} and would be compared with ${JSON.stringify(wanted.prompt).slice(0, 120)} with seed ${wanted.seed}; compare sets of the same prompts and seeds.`,
  );
}
