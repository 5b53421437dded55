import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Graph, Node, Value } from '../ir/graph.ts';
import { buildAutoencoderKLDecoder, buildAutoencoderKLEncoder } from './autoencoder-kl.ts';
import { buildCLIPTextModel } from './clip-text-model.ts';
import { builtInConfiguration } from './configurations.ts';
import { buildUNet2DModel } from './unet-2d.ts';
import { buildUNet2DConditionModel } from './unet-2d-condition.ts';
import { parseUNet2DConfig } from './unet-2d-config.ts';

const { unet, vae, textEncoder } = builtInConfiguration('sd-1.5');

/** The nodes that depend on the graph input `name` and on no other. */
function dependsOnlyOn(graph: Graph, name: string): Node[] {
  const origins = new Map<Value, Set<string>>();
  for (const [input, value] of Object.entries(graph.inputs)) origins.set(value, new Set([input]));
  return graph.nodes.filter((node) => {
    const inputs = Object.values(node.inputs).flatMap((value) => [...(origins.get(value) ?? [])]);
    for (const output of node.outputs) origins.set(output, new Set(inputs));
    return inputs.length > 0 && inputs.every((input) => input === name);
  });
}

describe('the conditional U-Net', () => {
  const graph = buildUNet2DConditionModel(unet, { batch: 2, height: 64, width: 64, tokens: 77 });

  it('keeps what depends on the timestep alone in time scopes', () => {
    const time = /(^|\.)(time_proj|time_embedding(\.linear_[12])?|time_emb_proj)$/;
    const named = graph.nodes.filter(({ scope }) => time.test(scope));
    // One projection for each of the 22 residual blocks.
    assert.equal(
      named.filter(({ op, scope }) => op === 'linear' && /proj$/.test(scope)).length,
      22,
    );
    const dependent = dependsOnlyOn(graph, 'timestep').filter(({ op }) => op !== 'reshape');
    assert.deepEqual(dependent, named);
  });

  it('keeps what depends on the text alone in attn2.to_k and attn2.to_v', () => {
    const named = graph.nodes.filter(({ scope }) => /\.attn2\.to_[kv]$/.test(scope));
    assert.equal(named.length, 32);
    assert.deepEqual(dependsOnlyOn(graph, 'encoderHiddenStates'), named);
  });

  it('builds for any latent size, 1 × 1 included', () => {
    for (const [height, width] of [
      [1, 1],
      [13, 7],
      [64, 96],
    ] as const) {
      const built = buildUNet2DConditionModel(unet, { batch: 1, height, width, tokens: 77 });
      assert.deepEqual(built.outputs.sample.shape, [1, height, width, 4]);
    }
  });
});

describe('models of limited sizes', () => {
  it('the plain U-Net refuses sizes that do not halve', () => {
    const config = parseUNet2DConfig({});
    assert.throws(() => buildUNet2DModel(config, { batch: 1, height: 32, width: 36 }), {
      code: 'invalid-argument',
      message: /36×32 pixels; choose a width and height divisible by 8/,
    });
  });

  it('the encoder refuses sizes that are no multiple of a latent', () => {
    assert.throws(() => buildAutoencoderKLEncoder(vae, { batch: 1, height: 60, width: 64 }), {
      code: 'invalid-argument',
      message: /64×60 pixels/,
    });
  });

  it('the decoder enlarges eight times', () => {
    const graph = buildAutoencoderKLDecoder(vae, { batch: 1, height: 5, width: 9 });
    assert.deepEqual(graph.outputs.sample.shape, [1, 40, 72, 3]);
  });

  it('the text encoder refuses texts beyond its positions and skipping all layers', () => {
    assert.throws(() => buildCLIPTextModel(textEncoder, { batch: 1, tokens: 78 }), {
      code: 'invalid-argument',
      message: /at most 77 tokens, not 78/,
    });
    for (const clipSkip of [12, -1, 0.5]) {
      assert.throws(() => buildCLIPTextModel(textEncoder, { batch: 1, tokens: 77, clipSkip }), {
        code: 'invalid-argument',
      });
    }
  });
});
