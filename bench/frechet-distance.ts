/**
 * What the Fréchet distance of statistics of 2048 features takes: the median of five, after one that
 * does not count.
 *
 *   node bench/frechet-distance.ts [--images n] [--threads n]
 */
import { parseArgs } from 'node:util';
import { median } from '../src/evaluation/benchmark.ts';
import { featureStatistics, frechetDistance } from '../src/index.ts';
import { hashedUniform } from '../src/models/random-weights.ts';

const DIMENSIONS = 2048;
const RUNS = 5;

const { values } = parseArgs({
  options: {
    images: { type: 'string', default: '3000' },
    threads: { type: 'string', default: '1' },
  },
});
const images = Number(values.images);
const threads = Number(values.threads);

/** Neighbouring features correlate, and their deviations span three decades. */
function statistics(name: string) {
  const data = hashedUniform(name, [images, DIMENSIONS], 1).data as Float32Array;
  const features = data.map((value, i) => {
    const column = i % DIMENSIONS;
    const before = column === 0 ? 0 : data[i - 1];
    return (value + 0.5 * before) * 10 ** ((-3 * column) / DIMENSIONS);
  });
  return featureStatistics(features, DIMENSIONS);
}

const [a, b] = [await statistics('a'), await statistics('b')];
const seconds: number[] = [];
for (let run = 0; run <= RUNS; run++) {
  const begun = performance.now();
  await frechetDistance(a, b, { threads });
  if (run > 0) seconds.push((performance.now() - begun) / 1000);
}
console.log(
  `${images} images, ${threads} threads: ${median(seconds).toFixed(2)} s (${Math.min(...seconds).toFixed(2)} to ${Math.max(...seconds).toFixed(2)})`,
);
