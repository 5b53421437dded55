import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { writeTinyModel } from '../../../test/golden/pipelines/tiny-models.ts';
import { writeTinyQuantizedModel } from '../../../test/golden/pipelines/tiny-quantized.ts';
import type { FeatureExtractor } from '../../evaluation/feature-extractor.ts';
import { featuresOfImages } from './image-features.ts';
import { sweep } from './sweep.ts';
import type { SweepForecast, SweepProgress } from './sweep-request.ts';

const scratch = mkdtempSync(join(tmpdir(), 'bookend-sweep-'));
const ddpm = await writeTinyModel('ddpm', join(scratch, 'ddpm'));
after(() => rmSync(scratch, { recursive: true, force: true }));

/** Mean brightness of the upper and of the lower half. */
function brightness(): FeatureExtractor & { readonly seen: { count: number } } {
  const seen = { count: 0 };
  return {
    ...{ seen, name: 'brightness', dimensions: 2 },
    identity: async () => 'halves',
    async extract(images) {
      seen.count += images.length;
      const half = (data: Uint8Array) => data.reduce((sum, byte) => sum + byte, 0) / data.length;
      return Float32Array.from(
        images.flatMap(({ data }) => [
          half(data.subarray(0, data.length / 2)),
          half(data.subarray(data.length / 2)),
        ]),
      );
    },
    dispose: async () => undefined,
  };
}

const PLAIN = {
  entries: [{}, {}, {}],
  seed: 7,
  sampling: { guidanceScale: 1, scheduler: 'ddim' },
  steps: [2, 4],
  precisions: ['bf16'],
  highPrecisionSteps: [],
  rounds: 1,
} as const;

test('sets are judged against a reference, each image once', async () => {
  const out = join(scratch, 'judged');
  const first = await sweep(ddpm, out, PLAIN);
  const extractor = brightness();
  const paths = first.rows[0].evaluation.images.map(({ path }) => path);
  const reference = await featuresOfImages(extractor, paths);
  extractor.seen.count = 0;
  const request = { ...PLAIN, extractor, reference };
  const { rows } = await sweep(ddpm, out, request);
  assert.equal(extractor.seen.count, 12);
  assert.deepEqual(
    rows.map(({ steps, name }) => [steps, name]),
    [
      [4, 'fp32'],
      [4, 'bf16'],
      [2, 'fp32'],
      [2, 'bf16'],
    ],
  );
  // The reference is the first row's own images.
  const distances = rows.map(({ evaluation }) => evaluation.set!.reference!.frechet.distance);
  assert.ok(distances[0] < 1e-6 && distances[2] > distances[0]);
  assert.equal(rows[0].optimal.most, rows[0].optimal.frechet);
  assert.ok(rows.some(({ optimal }) => optimal.frechet));
  assert.ok(rows[2].toMost.psnr!.mean < 60 && rows[2].toSame.equal === 3);
  await sweep(ddpm, out, request);
  assert.equal(extractor.seen.count, 12);
});

test('a sweep says what it will take, and what it is at', async () => {
  const model = await writeTinyQuantizedModel(join(scratch, 'int8'));
  const plans: SweepForecast[] = [];
  const events: SweepProgress[] = [];
  const found = await sweep(model, join(scratch, 'told'), {
    ...PLAIN,
    entries: [{ prompt: 'an apple' }, { prompt: 'a pear' }],
    steps: [3],
    // High precision is needed to foretell a schedule, though no setting has it.
    precisions: ['int8'],
    sensitivityPrompts: 1,
    blocks: 3,
    layers: false,
    onPlanned: (plan) => plans.push(plan),
    onProgress: (event) => events.push(event),
  });
  assert.equal(plans.length, 1);
  assert.deepEqual([plans[0].images, plans[0].layers], [4, 0]);
  assert.ok(plans[0].drawing > 0 && plans[0].steps > 0);
  const phases = new Set(events.map(({ phase }) => phase));
  assert.deepEqual([...phases], ['timing', 'drawing', 'steps', 'measuring']);
  assert.equal(found.layerRanking, undefined);
  const { blocks, int8, floor } = found.stepSensitivity!;
  assert.deepEqual(
    blocks.map(({ first, last }) => [first, last]),
    [
      [0, 0],
      [1, 1],
      [2, 2],
    ],
  );
  assert.ok(int8.mean < floor.mean);
  const [recommendation] = found.recommendations;
  assert.equal(recommendation.steps, 3);
  assert.ok(recommendation.foretold);
});

test('a sweep of nothing is refused', async () => {
  const out = join(scratch, 'nothing');
  const refused = { code: 'invalid-argument' };
  for (const more of [
    { entries: [] },
    { steps: [] },
    { precisions: [] },
    { steps: [0] },
    { minPsnr: Number.NaN },
  ]) {
    await assert.rejects(sweep(ddpm, out, { ...PLAIN, ...more }), refused, JSON.stringify(more));
  }
  const mixed = { ...PLAIN, precisions: ['mixed'] as const };
  await assert.rejects(sweep(ddpm, out, mixed), { ...refused, message: /no k for mixed/ });
});
