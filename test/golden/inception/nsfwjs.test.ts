import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { loadNsfwjsInception } from '../../../src/pipelines/evaluation/nsfwjs-inception.ts';
import { fidCases } from './fid-fixture.ts';

/** What nsfwjs.py wrote. */
const recorded = JSON.parse(readFileSync(`${import.meta.dirname}/nsfwjs.json`, 'utf8')) as {
  features: string;
  weights: string;
};

const shapes = recorded.weights.split(' ').map((line) => {
  const [name, extents] = line.split(':');
  return { name, shape: extents.split('x').map(Number) };
});

describe("the Inception-V3 of npm's nsfwjs", () => {
  const folders: string[] = [];
  after(() => {
    for (const folder of folders) rmSync(folder, { recursive: true });
  });

  /** A converted model of the package's names and shapes, whose codes are all 0. */
  function modelWithout(...missing: string[]): string {
    const folder = mkdtempSync(join(tmpdir(), 'bookend-nsfwjs-'));
    folders.push(folder);
    const quantization = { min: 0.5, scale: 1, dtype: 'uint8' };
    const weights = shapes
      .filter(({ name }) => !missing.includes(name))
      .map((entry) => ({ ...entry, dtype: 'float32', quantization }));
    const bytes = weights.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
    const manifest = [{ paths: ['group1-shard1of1'], weights }];
    writeFileSync(
      join(folder, 'model.json'),
      JSON.stringify({ modelTopology: {}, weightsManifest: manifest }),
    );
    writeFileSync(join(folder, 'group1-shard1of1'), '');
    truncateSync(join(folder, 'group1-shard1of1'), bytes);
    return folder;
  }

  it('fits the network, and is named for what it is', async () => {
    const extractor = await loadNsfwjsInception(modelWithout());
    assert.equal(extractor.name, 'inception-v3-nsfwjs');
    assert.equal(extractor.dimensions, 2048);
    await extractor.dispose();
    const clean = await loadNsfwjsInception(modelWithout(), { resizing: 'clean-fid' });
    assert.equal(clean.name, 'inception-v3-nsfwjs-clean-fid');
    await clean.dispose();
  });

  it("has its units in torchvision's order", async () => {
    for (const [keras, path] of [
      ['conv2d_1/kernel', 'Conv2d_1a_3x3.conv.weight'],
      ['batch_normalization_12/beta', 'Mixed_5b.branch_pool.bn.bias'],
      ['conv2d_27/kernel', 'Mixed_6a.branch3x3.conv.weight'],
      ['conv2d_61/kernel', 'Mixed_6e.branch1x1.conv.weight'],
      ['batch_normalization_62/moving_variance', 'Mixed_6e.branch7x7_1.bn.running_var'],
      ['conv2d_70/kernel', 'Mixed_6e.branch_pool.conv.weight'],
      ['conv2d_94/kernel', 'Mixed_7c.branch_pool.conv.weight'],
    ]) {
      await assert.rejects(loadNsfwjsInception(modelWithout(keras)), (error: Error) => {
        assert.match(error.message, /: 1 tensor missing \(/);
        assert.ok(error.message.includes(`(${path})`), `${keras}: ${error.message}`);
        return true;
      });
    }
  });

  it('is asked for by the command that installs it', async () => {
    await assert.rejects(loadNsfwjsInception(tmpdir()), {
      code: 'not-found',
      message: /npm install nsfwjs/,
    });
  });

  const folder = process.env.BOOKEND_NSFWJS;
  const skip = folder ? false : 'BOOKEND_NSFWJS names no folder with the package';
  it("gives the features that the package's topology gives", { skip }, async () => {
    const extractor = await loadNsfwjsInception(folder!);
    const actual = await extractor.extract([fidCases()[2].image]);
    await extractor.dispose();
    const bytes = Uint8Array.from(Buffer.from(recorded.features, 'base64'));
    const expected = new Float32Array(bytes.buffer);
    const error = actual.reduce((sum, value, i) => sum + (value - expected[i]) ** 2, 0);
    const norm = expected.reduce((sum, value) => sum + value ** 2, 0);
    assert.ok(Math.sqrt(error / norm) < 1e-4, `off by ${Math.sqrt(error / norm)}`);
  });
});
