import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tinyUNet } from '../../../test/support/tiny-qat.ts';
import { syntheticWeights } from '../../evaluation/synthetic-weights.ts';
import { benchmarkTraining, TRAINING_PARTS } from './benchmark-training.ts';

for (const precision of ['fp32', 'bf16'] as const) {
  test(`a training step is timed part by part: ${precision}`, async () => {
    const network = tinyUNet(1);
    const weights = syntheticWeights(network.parameters);
    const seen: number[] = [];
    const result = await benchmarkTraining(network, weights, {
      precision,
      threads: 1,
      rounds: 3,
      onRound: (round) => seen.push(round),
    });
    assert.deepEqual(seen, [0, 1, 2]);
    assert.equal(result.rounds.length, 3);
    const parts = TRAINING_PARTS.map((part) => result.parts[part]);
    assert.ok(parts.every((seconds) => seconds > 0 && seconds <= result.seconds * 1.5));
    const types = ({ ops }: typeof result) => new Set(ops.student.map(({ type }) => type));
    assert.ok(types(result).has(precision === 'fp32' ? 'f32' : 'bf16'));
    assert.ok(result.ops.student.some(({ op }) => op === 'fakeQuantize'));
    assert.ok(!result.ops.teacher.some(({ op }) => op === 'fakeQuantize'));
    const trained = [...network.parameters].filter(([, { shape }]) => shape.length > 1);
    assert.ok(result.parameters > 0.5 * trained.length);
    assert.ok(result.flops > 0 && result.fractionOfCeiling > 0);
    assert.ok(result.updateRate > 0 && result.copyRate > 0);
  });
}

test('a benchmark that is stopped frees what it holds and says so', async () => {
  const network = tinyUNet(1);
  const running = benchmarkTraining(network, syntheticWeights(network.parameters), {
    precision: 'fp32',
    rounds: 1,
    signal: AbortSignal.abort(),
  });
  await assert.rejects(running, { code: 'aborted' });
});
