import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { writeTinyModel } from '../../test/golden/pipelines/tiny-models.ts';
import { writeTinyQuantizedModel } from '../../test/golden/pipelines/tiny-quantized.ts';
import { kindOf, type LayerErrors, measureLayerSensitivity } from './layer-sensitivity.ts';
import { loadModel, unetOf } from './load.ts';

const scratch = mkdtempSync(join(tmpdir(), 'bookend-layers-'));
const { model, dispose } = await loadModel(await writeTinyQuantizedModel(join(scratch, 'int8')));
after(async () => {
  await dispose();
  rmSync(scratch, { recursive: true, force: true });
});
const REQUEST = { prompt: 'an apple', steps: 6, guidanceScale: 3 };

test('layers are ranked by what INT8 does in each, and less than what it does in all', async () => {
  const { layers, kinds, int8, floor, timesteps } = await measureLayerSensitivity(model, REQUEST);
  const paths = unetOf(model).requireInt8().layers;
  assert.deepEqual(layers.map(({ path }) => path).sort(), [...paths].sort());
  assert.equal(timesteps.length, 3);
  for (const [i, { sqnr }] of layers.entries()) assert.ok(i === 0 || sqnr >= layers[i - 1].sqnr);
  assert.ok(
    int8 < layers[0].sqnr && layers[0].sqnr < floor,
    `${int8}, ${layers[0].sqnr}, ${floor}`,
  );
  const total = (shares: readonly { share: number }[]) =>
    shares.reduce((sum, { share }) => sum + share, 0);
  assert.ok(Math.abs(total(layers) - 1) < 1e-9 && Math.abs(total(kinds) - 1) < 1e-9);
  assert.equal(
    kinds.reduce((sum, kind) => sum + kind.layers, 0),
    layers.length,
  );
});

test('layers that an earlier run has measured are not measured again', async () => {
  const results = new Map<string, LayerErrors>();
  const kept = {
    get: (name: string) => results.get(name),
    set: async (name: string, errors: LayerErrors) => {
      results.set(name, errors);
      if (results.size === 4) throw new Error('killed');
    },
  };
  await assert.rejects(measureLayerSensitivity(model, { ...REQUEST, kept }), /killed/);
  const [first] = results.keys();
  results.set(first, [1, 1, 1]);
  const counts: number[] = [];
  const onProgress = (done: number) => counts.push(done);
  const resumed = await measureLayerSensitivity(model, {
    ...REQUEST,
    kept: { ...kept, set: async (name, errors) => void results.set(name, errors) },
    onProgress,
  });
  assert.equal(counts[0], 5);
  assert.equal(resumed.floor, -0);
  const whole = await measureLayerSensitivity(model, REQUEST);
  const found = (ranking: typeof whole) =>
    new Map(ranking.layers.map(({ path, sqnr }) => [path, sqnr]));
  assert.deepEqual(found(resumed), found(whole));
});

test('a layer is known by what it is', () => {
  assert.equal(kindOf('down_blocks.1.resnets.0.conv_shortcut'), 'resnets.conv_shortcut');
  const attention = 'up_blocks.2.attentions.1.transformer_blocks.0.attn1.to_out.0';
  assert.equal(kindOf(attention), 'attn1.to_out');
  assert.equal(kindOf('mid_block.attentions.0.proj_in'), 'proj_in');
});

test('a model without INT8 is refused', async () => {
  const plain = await loadModel(await writeTinyModel('sd', join(scratch, 'plain')));
  const refused = { code: 'invalid-argument', message: /bookend quantize/ };
  await assert.rejects(measureLayerSensitivity(plain.model, REQUEST), refused);
  await plain.dispose();
});
