import assert from 'node:assert/strict';
import { test } from 'node:test';
import { graphOf } from '../../test/support/graphs.ts';
import * as ops from '../ir/ops/index.ts';
import { int8Scores } from './int8-scores.ts';

test('attention over many keys gets INT8 scores, and keeps what else it says', () => {
  const graph = graphOf((b) => {
    const tokens = (name: string, count: number) => b.input(name, 'bf16', [1, count, 8]);
    const [long, short] = [tokens('long', 256), tokens('short', 77)];
    const causal = ops.attention(b, long, long, long, { heads: 2, causal: true });
    return {
      self: b.apply(
        'attention',
        { q: long, k: long, v: long },
        { heads: 2, scale: 0.5, causal: false, quantize: [0.1, 128] },
      )[0],
      cross: ops.attention(b, long, short, short, { heads: 2 }),
      causal,
    };
  });
  const result = int8Scores.run(graph);
  const { self, cross, causal } = result.outputs;
  assert.equal(self.node?.attributes.scores, 'int8');
  assert.deepEqual(self.quantization, { scale: 0.1, zeroPoint: 128 });
  assert.equal(cross.node?.attributes.scores, undefined);
  assert.equal(causal.node?.attributes.scores, undefined);
});
