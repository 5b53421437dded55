import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { f32 } from '../../../src/core/tensor.ts';
import {
  InceptionClassifier,
  InceptionExtractor,
} from '../../../src/pipelines/evaluation/inception-extractor.ts';
import {
  FID_CLASSES,
  fidNetwork,
  loadFidInception,
} from '../../../src/pipelines/evaluation/load-inception.ts';
import { memoryWeights } from '../../../src/runtime/memory-weights.ts';
import { fidCases, hashedFidWeights } from './fid-fixture.ts';

/** Features have a deviation of 1 to 2. */
const LIMIT = 1e-3;

const cases = fidCases();
const images = cases.map(({ image }) => image);

function largestDifference(actual: Float32Array, expected: Float32Array): number {
  assert.equal(actual.length, expected.length);
  return expected.reduce((worst, value, i) => Math.max(worst, Math.abs(actual[i] - value)), 0);
}

describe("Inception-V3 with pytorch-fid's weights, hashed", () => {
  const network = fidNetwork(hashedFidWeights(), 'the fixture');
  const standard = new InceptionClassifier(network, FID_CLASSES, { batch: 2 });
  const clean = new InceptionExtractor(network, { resizing: 'clean-fid' });
  const bf16 = new InceptionExtractor(network, { precision: 'bf16' });
  after(() => Promise.all([standard, clean, bf16].map((extractor) => extractor.dispose())));

  it("gives pytorch-fid's features and logits, resizing included", async () => {
    const { features, logits } = await standard.describe(images);
    for (const [i, expected] of cases.entries()) {
      const row = features.subarray(i * 2048, (i + 1) * 2048);
      const error = largestDifference(row, expected.features);
      assert.ok(error <= LIMIT, `${expected.name}: features are off by ${error}`);
      const scores = logits.subarray(i * 1008, (i + 1) * 1008).filter((_, c) => c % 16 === 0);
      const off = largestDifference(scores, expected.logits);
      assert.ok(off <= LIMIT, `${expected.name}: logits are off by ${off}`);
    }
  });

  it("gives its features behind clean-fid's resizing", async () => {
    const features = await clean.extract(images);
    for (const [i, expected] of cases.entries()) {
      const row = features.subarray(i * 2048, (i + 1) * 2048);
      const error = largestDifference(row, expected.clean);
      assert.ok(error <= LIMIT, `${expected.name}: off by ${error}`);
    }
  });

  it('gives nearly the same in BF16', async () => {
    const features = await bf16.extract(images.slice(0, 1));
    const { features: expected } = cases[0];
    const error = features.reduce((sum, value, i) => sum + (value - expected[i]) ** 2, 0);
    const norm = expected.reduce((sum, value) => sum + value ** 2, 0);
    assert.ok(Math.sqrt(error / norm) < 0.02, `off by ${Math.sqrt(error / norm)}`);
  });

  it('has names that tell resizing and precision', () => {
    assert.deepEqual(
      [standard, clean, bf16].map(({ name }) => name),
      ['inception-v3-fid', 'inception-v3-fid-clean-fid', 'inception-v3-fid-bf16'],
    );
  });

  it('is identified by its weights, whatever is made of their outputs', async () => {
    const [one, other] = [
      [1, 2],
      [1, 3],
    ].map((values) => {
      const weights = memoryWeights(new Map([['fc.weight', f32([2], values)]]));
      return { ...network, weights };
    });
    const identities = await Promise.all([
      new InceptionExtractor(one).identity(),
      new InceptionClassifier(one, FID_CLASSES, { resizing: 'clean-fid' }).identity(),
      new InceptionExtractor(other).identity(),
    ]);
    assert.match(identities[0], /^[0-9a-f]{64}$/);
    assert.equal(identities[1], identities[0]);
    assert.notEqual(identities[2], identities[0]);
  });

  it('reads gray and transparent images as RGB', async () => {
    const gray = Uint8Array.from({ length: 35 }, (_, i) => 7 * i);
    const spread = (channels: number, alpha: number) =>
      Uint8Array.from({ length: 35 * channels }, (_, i) =>
        i % channels === 3 ? alpha : gray[Math.floor(i / channels)],
      );
    const size = { width: 5, height: 7 };
    const rows = await standard.extract([
      { ...size, channels: 1, data: gray },
      { ...size, channels: 3, data: spread(3, 0) },
      { ...size, channels: 4, data: spread(4, 99) },
    ]);
    const [a, b, c] = [0, 1, 2].map((i) => rows.slice(i * 2048, (i + 1) * 2048));
    assert.deepEqual(a, b);
    assert.deepEqual(b, c);
  });
});

describe('weights of another network', () => {
  it('are refused as a pickle, with the command that converts it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'bookend-fid-'));
    const path = join(folder, 'pt_inception-2015-12-05-6726825d.pth');
    writeFileSync(path, 'PK');
    await assert.rejects(loadFidInception(path), {
      code: 'unsupported',
      message: /save_file.*pt_inception-2015-12-05-6726825d\.safetensors/,
    });
    rmSync(folder, { recursive: true });
  });

  it('are refused by name', () => {
    const whole = hashedFidWeights();
    const lacking = {
      ...whole,
      info: (path: string) => (path.startsWith('Mixed_7c') ? undefined : whole.info(path)),
    };
    assert.throws(() => fidNetwork(lacking, 'x.safetensors'), {
      code: 'missing-tensor',
      message: /Mixed_7c\.branch1x1\.conv\.weight/,
    });
  });

  it('are refused where a variance is none', async () => {
    const whole = hashedFidWeights();
    const read = async (path: string) => {
      const tensor = await whole.read(path);
      if (path === 'Mixed_5b.branch1x1.bn.running_var') tensor.data[3] = -1;
      return tensor;
    };
    const extractor = new InceptionExtractor(fidNetwork({ ...whole, read }, 'x'));
    await assert.rejects(extractor.extract(images.slice(0, 1)), {
      code: 'invalid-checkpoint',
      message: /Mixed_5b\.branch1x1\.bn\.running_var\[3\]/,
    });
    await extractor.dispose();
  });
});
