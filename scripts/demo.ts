/**
 * `npm run demo`: draws a few emoji with the embedded model and puts them side by side in demo.png.
 * Prompts may be given as arguments instead.
 */
import { availableParallelism, cpus } from 'node:os';
import { type Image, resizeImage, StableDiffusionPipeline, writePng } from '../src/index.ts';

const PROMPTS = [
  'red apple',
  'fox',
  'rocket',
  'sunflower',
  'pizza',
  'soccer ball',
  'octopus',
  'red heart',
];
const SCALE = 3;
const STEPS = 30;

const prompts = process.argv.length > 2 ? process.argv.slice(2) : PROMPTS;
const pipe = await StableDiffusionPipeline.fromPretrained('models/emoji');
const images: Image[] = [];
const start = performance.now();
for (const prompt of prompts) {
  const { images: drawn } = await pipe(prompt, {
    numInferenceSteps: STEPS,
    guidanceScale: 3,
    seed: 7,
  });
  images.push(await resizeImage(drawn[0], drawn[0].width * SCALE, drawn[0].height * SCALE));
  console.log(`drew "${prompt}"`);
}
const seconds = (performance.now() - start) / 1000;
const { precision } = pipe.model;
await pipe.dispose();
await writePng('demo.png', sideBySide(images), { Comment: prompts.join(', ') });
console.log(
  `demo.png: ${prompts.length} images of ${STEPS} steps in ${seconds.toFixed(1)} s, ${precision}, ${availableParallelism()} threads of ${cpus()[0]?.model.trim()}`,
);

/** Images of one size as rows of four. */
function sideBySide(tiles: readonly Image[]): Image {
  const columns = Math.min(4, tiles.length);
  const rows = Math.ceil(tiles.length / columns);
  const { width, height } = tiles[0];
  const data = new Uint8Array(columns * width * rows * height * 3).fill(255);
  tiles.forEach((tile, i) => {
    const left = (i % columns) * width;
    const top = Math.floor(i / columns) * height;
    for (let y = 0; y < height; y++) {
      const row = tile.data.subarray(y * width * 3, (y + 1) * width * 3);
      data.set(row, ((top + y) * columns * width + left) * 3);
    }
  });
  return { width: columns * width, height: rows * height, channels: 3, data };
}
