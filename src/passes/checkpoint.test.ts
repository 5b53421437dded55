import assert from 'node:assert/strict';
import { test } from 'node:test';
import { evaluateRandomly, graphOf, opsOf } from '../../test/support/graphs.ts';
import { planMemory } from '../compiler/memory-plan.ts';
import { byteSize } from '../core/dtype.ts';
import { elementCount } from '../core/shape.ts';
import type { Graph, Value } from '../ir/graph.ts';
import { sum, tanh } from '../ir/ops/index.ts';
import { buildAutoencoderKLDecoder } from '../models/autoencoder-kl.ts';
import { parseAutoencoderKLConfig } from '../models/autoencoder-kl-config.ts';
import { blockOf, checkpoint, isProduct } from './checkpoint.ts';
import { commonSubexpressions } from './common-subexpressions.ts';
import { differentiate } from './differentiate.ts';

/** What the graph's nodes need at the fullest moment, parameters aside. */
function peakBytes(graph: Graph): number {
  const last = new Map<Value, number>();
  for (const [at, { inputs }] of graph.nodes.entries()) {
    for (const value of Object.values(inputs)) last.set(value, at);
  }
  for (const value of Object.values(graph.outputs)) last.set(value, graph.nodes.length);
  const lifetimes = graph.nodes.flatMap(({ outputs }, first) =>
    outputs.map((value) => {
      const bytes = elementCount(value.shape) * byteSize(value.dtype);
      return { storage: { id: value.id, bytes }, first, last: last.get(value) ?? first };
    }),
  );
  return planMemory(lifetimes).lowerBound;
}

/** Four tanh in each of the blocks layers.0 and layers.1. */
function chain(): Graph {
  const graph = graphOf((b) => {
    let x = b.input('x', 'f32', [64, 64]);
    for (const block of ['layers.0', 'layers.1']) {
      b.scope(block, () => {
        for (let i = 0; i < 4; i++) x = tanh(b, x);
      });
    }
    return { loss: sum(b, x, { axes: [0, 1] }) };
  });
  return differentiate(graph, { loss: 'loss', withRespectTo: ['x'] });
}

test('the inside of a block is computed again before its gradient', () => {
  const before = chain();
  const after = checkpoint(before);
  const count = (graph: Graph, op: string) => opsOf(graph).filter((name) => name === op).length;
  assert.equal(count(before, 'tanh'), 8);
  // The last of each block is read beyond it, and kept.
  assert.equal(count(after, 'tanh'), 8 + 3 + 3);
  const scopes = after.nodes.filter(({ op }) => op === 'tanh').map(({ scope }) => scope);
  assert.deepEqual(scopes.slice(8), [...Array(3).fill('layers.1'), ...Array(3).fill('layers.0')]);
  assert.equal(opsOf(commonSubexpressions.run(after)).length, before.nodes.length);
});

test('nodes of no segment are kept', () => {
  const graph = chain();
  assert.deepEqual(opsOf(checkpoint(graph, { segmentOf: () => undefined })), opsOf(graph));
});

test('blocks are found by scope', () => {
  const block = (scope: string) => blockOf({ scope });
  assert.equal(block('down_blocks.0.resnets.1.conv1'), 'down_blocks.0.resnets.1');
  assert.equal(
    block('up_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q'),
    'up_blocks.1.attentions.0',
  );
  assert.equal(block('text_model.encoder.layers.11'), 'text_model.encoder.layers.11');
  assert.equal(block('conv_in'), undefined);
  assert.equal(block('time_embedding.linear_1'), undefined);
});

test('a decoder has the same gradients in less memory', async () => {
  const config = parseAutoencoderKLConfig({
    block_out_channels: [8, 16],
    down_block_types: ['DownEncoderBlock2D', 'DownEncoderBlock2D'],
    up_block_types: ['UpDecoderBlock2D', 'UpDecoderBlock2D'],
    layers_per_block: 1,
    norm_num_groups: 4,
  });
  const gradients = (height: number, width: number) => {
    const graph = buildAutoencoderKLDecoder(config, { batch: 1, height, width });
    const withRespectTo = [...graph.parameters.keys()];
    return differentiate(graph, { outputs: ['sample'], withRespectTo });
  };
  const small = gradients(3, 4);
  assert.deepEqual(await evaluateRandomly(checkpoint(small)), await evaluateRandomly(small));
  const large = gradients(32, 32);
  const [most, less] = [peakBytes(large), peakBytes(checkpoint(large))];
  assert.ok(less < 0.75 * most, `${less} bytes after, ${most} before`);
  const some = { keeps: isProduct };
  assert.deepEqual(await evaluateRandomly(checkpoint(small, some)), await evaluateRandomly(small));
  const between = peakBytes(checkpoint(large, some));
  assert.ok(less < between && between < most, `${less}, ${between} and ${most} bytes`);
  const products = (graph: Graph) => graph.nodes.filter(isProduct).length;
  assert.equal(products(checkpoint(large, some)), products(large));
  assert.ok(products(checkpoint(large)) > products(large));
});
