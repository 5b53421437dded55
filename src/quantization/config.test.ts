import assert from 'node:assert/strict';
import { test } from 'node:test';
import { builtInConfiguration } from '../models/configurations.ts';
import { buildUNet2DConditionModel } from '../models/unet-2d-condition.ts';
import { inferencePasses, runPasses } from '../passes/index.ts';
import { DEFAULT_QUANTIZATION, parseQuantizationConfig, selectLayers } from './config.ts';
import { matchesPattern } from './layer-patterns.ts';

const { unet } = builtInConfiguration('sd-1.5');
const graph = buildUNet2DConditionModel(unet, { batch: 1, height: 8, width: 8, tokens: 4 });

test('a star stands for any characters, dots included', () => {
  assert.ok(matchesPattern('down_blocks.*.resnets.*', 'down_blocks.0.resnets.1.conv1'));
  assert.ok(matchesPattern('*.attn2.to_k', 'mid_block.attentions.0.attn2.to_k'));
  assert.ok(matchesPattern('a*b*c', 'aXbXbXc'));
  assert.ok(matchesPattern('*', ''));
  assert.ok(!matchesPattern('conv_in', 'conv_in.0'));
  assert.ok(!matchesPattern('a*b', 'abc'));
  assert.ok(!matchesPattern('a.b', 'aXb'));
});

test('matching takes no exponential time', () => {
  const start = performance.now();
  assert.ok(!matchesPattern('*a'.repeat(90), `${'a'.repeat(5000)}b`));
  assert.ok(performance.now() - start < 1000);
});

test('the default leaves out the ends, the time and the keys and values of the text', () => {
  const layers = selectLayers(graph, DEFAULT_QUANTIZATION).map(({ path }) => path);
  assert.ok(layers.includes('down_blocks.0.resnets.0.conv1'));
  assert.ok(layers.includes('mid_block.attentions.0.transformer_blocks.0.attn2.to_q'));
  const left = [...graph.parameters.keys()]
    .filter((name) => name.endsWith('.weight') && graph.parameters.get(name)!.shape.length > 1)
    .map((name) => name.slice(0, -'.weight'.length))
    .filter((name) => !layers.includes(name));
  assert.deepEqual(left.filter((name) => !/time_emb_proj$|attn2\.to_[kv]$/.test(name)).sort(), [
    'conv_in',
    'conv_out',
    'time_embedding.linear_1',
    'time_embedding.linear_2',
  ]);
  assert.equal(left.filter((name) => /time_emb_proj$/.test(name)).length, 22);
  assert.equal(left.filter((name) => /attn2\.to_[kv]$/.test(name)).length, 32);
});

test('the inference passes change nothing about the selection', () => {
  const fused = runPasses(graph, inferencePasses('bf16'));
  const paths = (of: typeof graph) => selectLayers(of, DEFAULT_QUANTIZATION).map((l) => l.path);
  assert.deepEqual(paths(fused).sort(), paths(graph).sort());
});

test('rules include and exclude, and must leave something', () => {
  const config = { include: ['mid_block.*'], exclude: ['*.attentions.*', '*.time_emb_proj'] };
  assert.deepEqual(
    selectLayers(graph, config).map(({ path }) => path),
    [0, 1].flatMap((i) => [1, 2].map((j) => `mid_block.resnets.${i}.conv${j}`)),
  );
  assert.throws(() => selectLayers(graph, { include: ['nothing'], exclude: [] }), {
    code: 'invalid-argument',
  });
});

test('a config fills in what is left out and refuses what is unknown or cannot be computed', () => {
  const { observer, ...rest } = DEFAULT_QUANTIZATION;
  assert.deepEqual(parseQuantizationConfig({}, 'x'), DEFAULT_QUANTIZATION);
  assert.deepEqual(parseQuantizationConfig({ observer: { method: 'minmax' } }, 'x'), {
    ...rest,
    observer: { ...observer, method: 'minmax' },
  });
  const refused = (json: unknown, code: string) =>
    assert.throws(
      () => parseQuantizationConfig(json, 'x'),
      (error: Error & { code: string }) => {
        assert.equal(error.code, code);
        assert.match(error.message, /^The .* [^.]*\.$|^The .*\.$/);
        return true;
      },
    );
  for (const json of [null, [], 1, { version: 2 }, { bucket: 3 }, { buckets: 0 }]) {
    refused(json, 'invalid-argument');
  }
  refused({ observer: 3 }, 'invalid-argument');
  refused({ include: ['a b'] }, 'invalid-argument');
  const weights = { dtype: 's8', granularity: 'per-group', scheme: 'symmetric' };
  refused({ weights, activations: null }, 'invalid-argument');
  refused({ weights: { ...weights, groupSize: 32 } }, 'unsupported');
  refused({ weights: { ...DEFAULT_QUANTIZATION.weights, scheme: 'affine' } }, 'unsupported');
  refused({ weights: { ...DEFAULT_QUANTIZATION.weights, dtype: 'u8' } }, 'unsupported');
  const perChannel = { dtype: 'u8', granularity: 'per-channel', scheme: 'affine' };
  refused({ activations: perChannel }, 'unsupported');
  const grouped = { weights: { ...weights, groupSize: 32 }, activations: null };
  assert.equal(parseQuantizationConfig(grouped, 'x').weights.groupSize, 32);
});
