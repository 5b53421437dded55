/**
 * Measures the images that draw.ts has drawn, row by row, into FOLDER/TABLE/ROW/measures.json; rows
 * that have it are left, and those whose images are not complete are left out.
 *
 *   node scripts/results/measure.ts --out FOLDER --extractor nsfwjs:FOLDER [--only TABLE,...]
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { meanPairwiseDistance, pairedDistances } from '../../src/evaluation/paired-distance.ts';
import { writeAtomically } from '../../src/io/atomic-write.ts';
import { readImage } from '../../src/io/image.ts';
import {
  featuresOfImages,
  type ImageFeatures,
  referenceFeatures,
} from '../../src/pipelines/evaluation/image-features.ts';
import { readRecord } from '../../src/pipelines/evaluation/image-record.ts';
import { type DrawnImage, seedOf, setImagePath } from '../../src/pipelines/evaluation/image-set.ts';
import { loadExtractor } from '../../src/pipelines/evaluation/load-extractor.ts';
import { measureImages, pairedPath } from '../../src/pipelines/evaluation/measure-images.ts';
import { setMetrics } from '../../src/pipelines/evaluation/set-metrics.ts';
import { coloursOf } from './colours.ts';
import type { Distances, Judged, Measures } from './measures.ts';
import { nearestPictures } from './nearest-pictures.ts';
import { unlessLocked } from './row-lock.ts';
import {
  imagesOf,
  imagesOfGroup,
  imagesOfPrompt,
  isPixel,
  picturesOf,
  planOf,
  type Row,
  referenceOf,
  TABLES,
  type Table,
} from './rows.ts';

const { values } = parseArgs({
  options: {
    out: { type: 'string' },
    extractor: { type: 'string' },
    only: { type: 'string' },
    threads: { type: 'string', default: '1' },
  },
});
const { out } = values;
if (!out || !values.extractor) {
  console.error('Name the working folder and what extracts features: --out, --extractor.');
  process.exit(2);
}
const threads = Number(values.threads);
const extractor = await loadExtractor(values.extractor, { threads, resizing: 'pytorch-fid' });

/** All images of a row; undefined where some are missing. */
async function drawnImages(
  folder: string,
  table: Table,
  row: Row,
): Promise<DrawnImage[] | undefined> {
  const plan = planOf(table);
  const drawn: DrawnImage[] = [];
  for (const [i, { prompt = '' }] of plan.entries.entries()) {
    const path = setImagePath(imagesOf(folder, table, row), i);
    const record = await readRecord(path);
    if (!record) return undefined;
    drawn.push({ path, prompt, seed: seedOf(plan, i), record });
  }
  return drawn;
}

/** From the row's folder, as far as they are stored there. */
function featuresOf(folder: string, table: Table, row: Row, images: readonly DrawnImage[]) {
  const cache = join(imagesOf(folder, table, row), '../features.safetensors');
  const paths = images.map(({ path }) => path);
  return featuresOfImages(extractor, paths, { cache });
}

async function distances(features: ImageFeatures, reference: ImageFeatures): Promise<Distances> {
  const { reference: found } = await setMetrics(features, { reference, threads });
  const { frechet, kernel, precisionRecall } = found!;
  return {
    images: reference.count,
    frechet: frechet.distance,
    kernel: kernel!.distance,
    kernelDeviation: kernel!.deviation,
    precision: precisionRecall!.precision,
    recall: precisionRecall!.recall,
  };
}

function diversities({ data, dimensions, count }: ImageFeatures, each: number): number[] {
  return Array.from({ length: count / each }, (_, i) =>
    meanPairwiseDistance({
      data: data.subarray(i * each * dimensions, (i + 1) * each * dimensions),
      dimensions,
    }),
  );
}

async function coloursOfAll(images: readonly DrawnImage[]) {
  const colours = [];
  for (const { path } of images) colours.push(coloursOf(await readImage(path)));
  return colours;
}

/** What distributions are compared with. */
interface References {
  /** The pictures of the training. */
  readonly art: ImageFeatures;
  /** Images of the FP32 model from other seeds. */
  readonly own: ImageFeatures;
}

const known = new Map<Table, References>();

async function referencesOf(folder: string, table: Table): Promise<References> {
  const reference = referenceOf(table);
  let found = known.get(reference);
  if (!found) {
    const images = await drawnImages(folder, reference, reference.rows[0]);
    if (!images) throw new Error(`Draw ${reference.name} first; rows are compared with it.`);
    const pictures = picturesOf(folder, table);
    found = {
      art: await referenceFeatures(extractor, pictures, { cache: `${pictures}.safetensors` }),
      own: await featuresOf(folder, reference, reference.rows[0], images),
    };
    known.set(reference, found);
  }
  return found;
}

async function measureRow(path: string, folder: string, table: Table, row: Row): Promise<void> {
  const images = await drawnImages(folder, table, row);
  if (!images) return console.log(`${table.name} ${row.name}: not complete`);
  const start = performance.now();
  const [full] = table.rows;
  const paired = row === full ? undefined : imagesOf(folder, table, full);
  const likeness = paired === undefined ? [] : await measureImages(images, { paired });
  const measures: Measures = {
    images: images.length,
    imagesPerPrompt: imagesOfPrompt(table),
    isa: images[0].record.isa,
    psnr: likeness.map(({ psnr }) => psnr!),
    ssim: likeness.map(({ ssim }) => ssim!),
    colours: await coloursOfAll(images),
    ...(table.isJudged && { judged: await judge(folder, table, row, images) }),
  };
  await writeAtomically(path, (file) => file.writeFile(JSON.stringify(measures)));
  const seconds = (performance.now() - start) / 1000;
  console.log(`${table.name} ${row.name}: measured in ${seconds.toFixed(0)} s`);
}

/** What features say. */
async function judge(
  folder: string,
  table: Table,
  row: Row,
  images: readonly DrawnImage[],
): Promise<Judged> {
  const { art, own } = await referencesOf(folder, table);
  const features = await featuresOf(folder, table, row, images);
  const [full] = table.rows;
  const fullImages = imagesOf(folder, table, full);
  const pairs = images.map((image) => ({ ...image, path: pairedPath(image, fullImages) }));
  const each = imagesOfGroup(table);
  return {
    featureDistance: pairedDistances(features, await featuresOf(folder, table, full, pairs)),
    diversity: diversities(features, each),
    art: await distances(features, art),
    own: await distances(features, own),
    ...(!isPixel(table) && { nearest: await nearestPictures(features, art, each) }),
  };
}

const only = values.only?.split(',');
for (const table of TABLES) {
  if (only && !only.includes(table.name)) continue;
  for (const row of table.rows) {
    const path = join(imagesOf(out, table, row), '../measures.json');
    if (existsSync(path)) continue;
    await unlessLocked(`${path}.lock`, () => measureRow(path, out, table, row));
  }
}
await extractor.dispose();
