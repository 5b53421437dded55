import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { writeTinyModel } from '../../../test/golden/pipelines/tiny-models.ts';
import { readImage } from '../../io/image.ts';
import { writePng } from '../../io/png.ts';
import { readPngText } from '../../io/png-text.ts';
import { drawImageSet, type ImageSetPlan } from './image-set.ts';
import { measureImages, requirePairs } from './measure-images.ts';
import { ModelSource } from './model-source.ts';

const scratch = mkdtempSync(join(tmpdir(), 'bookend-image-set-'));
const model = await writeTinyModel('sd', join(scratch, 'sd'));
const source = new ModelSource(model, { precision: 'fp32' });
after(async () => {
  await source.dispose();
  rmSync(scratch, { recursive: true, force: true });
});

const plan: ImageSetPlan = {
  entries: [{ prompt: 'an apple' }, { prompt: 'two pears', seed: 7, id: 'x' }, { prompt: 'Ω' }],
  seed: 40,
  sampling: { numInferenceSteps: 2, guidanceScale: 3, scheduler: 'ddim' },
};

const invalid = (message: RegExp) => (error: Error & { code?: string }) => {
  assert.equal(error.code, 'invalid-argument');
  assert.match(error.message, message);
  return true;
};

test('a set that was interrupted ends with the images of one that was not', async () => {
  const whole = join(scratch, 'whole');
  const drawn = await drawImageSet(source, whole, plan);
  assert.deepEqual(
    drawn.map(({ prompt, seed, id }) => [prompt, seed, id]),
    [
      ['an apple', 40, undefined],
      ['two pears', 7, 'x'],
      ['Ω', 42, undefined],
    ],
  );
  const parts = join(scratch, 'parts');
  const stop = new AbortController();
  const stopped = drawImageSet(source, parts, plan, {
    onImage: ({ done }) => done === 2 && stop.abort(),
    signal: stop.signal,
  });
  await assert.rejects(stopped, { code: 'aborted' });
  const kept = readdirSync(parts);
  assert.deepEqual(kept.sort(), ['00000.png', '00001.png']);
  rmSync(join(parts, '00000.png'));
  writeFileSync(join(parts, '.00002.png.0123456789ab.tmp'), 'half an image');
  const done: number[] = [];
  await drawImageSet(source, parts, plan, { onImage: (event) => done.push(event.done) });
  assert.deepEqual(done, [2, 3]);
  assert.deepEqual(readdirSync(parts).sort(), readdirSync(whole).sort());
  for (const { path } of drawn) {
    const again = await readImage(path.replace(whole, parts));
    assert.deepEqual(again, await readImage(path));
  }
});

test('images of a prompt that are drawn together are those that are drawn alone', async () => {
  const [first, second] = plan.entries;
  const entries = [first, first, first, { ...first, seed: 50 }, { ...first, seed: 51 }, second];
  for (const precision of ['fp32', 'bf16'] as const) {
    const model = new ModelSource(source.reference, { precision });
    const sampling = { ...plan.sampling, scheduler: 'ddpm' as const };
    const several = { ...plan, entries, sampling };
    const alone = await drawImageSet(model, join(scratch, `alone-${precision}`), several);
    const together = join(scratch, `together-${precision}`);
    const drawn = await drawImageSet(model, together, several, { batchSize: 2 });
    assert.deepEqual(
      drawn.map(({ record }) => record.batch),
      [2, 2, undefined, 2, 2, undefined],
    );
    for (const [i, { path }] of drawn.entries()) {
      assert.deepEqual(await readImage(path), await readImage(alone[i].path));
    }
    await model.dispose();
  }
});

test('an image says how it was drawn', async () => {
  const [, { path, record }] = await drawImageSet(source, join(scratch, 'text'), plan);
  const { parameters, bookend } = await readPngText(path);
  assert.match(parameters, /^two pears\nSteps: 2, Sampler: DDIM, CFG scale: 3, Seed: 7, /);
  assert.deepEqual(JSON.parse(bookend), record);
  assert.equal(record.schedule, 'fp32');
  assert.equal(record.settings.prompt, 'two pears');
  assert.ok(record.seconds.total > record.seconds.denoise);
});

test('a folder with other images is refused before anything is drawn', async () => {
  const folder = join(scratch, 'other');
  await drawImageSet(source, folder, { ...plan, entries: plan.entries.slice(0, 1) });
  const changed = { ...plan, sampling: { ...plan.sampling, numInferenceSteps: 3 } };
  await assert.rejects(
    drawImageSet(source, folder, changed),
    invalid(/00000\.png was drawn with numInferenceSteps = 2 and this run has 3/),
  );
  const bf16 = new ModelSource(model, { precision: 'bf16' });
  await assert.rejects(drawImageSet(bf16, folder, plan), invalid(/precision = "fp32"/));
  const otherWeights = await writeTinyModel('sd', join(scratch, 'changed'), (_, tensors) => {
    for (const { data } of tensors.values()) data[0] = 0;
  });
  const other = new ModelSource(otherWeights, { precision: 'fp32' });
  await assert.rejects(drawImageSet(other, folder, plan), invalid(/drawn with model = /));
  const pixel = { width: 1, height: 1, channels: 3, data: new Uint8Array(3) } as const;
  await writePng(join(folder, '00001.png'), pixel);
  await assert.rejects(drawImageSet(source, folder, plan), invalid(/does not say how/));
  writeFileSync(join(folder, '00001.png'), 'no image');
  await assert.rejects(drawImageSet(source, folder, plan), { code: 'invalid-image' });
  assert.deepEqual(readdirSync(folder).sort(), ['00000.png', '00001.png']);
});

test('pairs are compared by prompt and seed', async () => {
  const paired = join(scratch, 'paired');
  const drawn = await drawImageSet(source, paired, plan);
  const same = await measureImages(drawn, { paired });
  assert.deepEqual(same, Array(3).fill({ psnr: Number.POSITIVE_INFINITY, ssim: 1 }));
  const longer = { ...plan, sampling: { ...plan.sampling, numInferenceSteps: 4 } };
  const others = await drawImageSet(source, join(scratch, 'longer'), longer);
  const psnrs = await measureImages(others, { paired });
  assert.ok(psnrs.every(({ psnr, ssim }) => psnr! > 0 && psnr! < 60 && ssim! < 1));
  const [first] = await drawImageSet(source, join(scratch, 'seed'), { ...plan, seed: 41 });
  await assert.rejects(measureImages([first], { paired }), invalid(/seed 40 .*seed 41/));
  await requirePairs(plan, paired);
  await assert.rejects(requirePairs({ ...plan, seed: 41 }, paired), invalid(/seed 40 .*seed 41/));
  await assert.rejects(measureImages(drawn, { paired: scratch }), { code: 'not-found' });
});

test('a model that draws from noise alone takes no prompts, and the others need them', async () => {
  const ddpm = new ModelSource(await writeTinyModel('ddpm', join(scratch, 'ddpm')));
  const entries = [{}, {}];
  const sampling = { numInferenceSteps: 2, guidanceScale: 1 };
  const drawn = await drawImageSet(ddpm, join(scratch, 'noise'), { entries, seed: 3, sampling });
  assert.deepEqual(
    drawn.map(({ prompt, seed }) => [prompt, seed]),
    [
      ['', 3],
      ['', 4],
    ],
  );
  await assert.rejects(drawImageSet(ddpm, join(scratch, 'a'), plan), invalid(/takes no prompts/));
  await ddpm.dispose();
  const none = { ...plan, entries };
  await assert.rejects(drawImageSet(source, join(scratch, 'b'), none), invalid(/from text/));
});
