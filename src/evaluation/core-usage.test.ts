import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InstructionRecord } from '../runtime/native/native-executable.ts';
import {
  equalTasksUtilization,
  makespan,
  measuredUsage,
  type Recorded,
  runUsage,
  shortestOf,
  simulatedUsage,
  utilization,
} from './core-usage.ts';

const equal = (count: number) => new Array<number>(count).fill(0.25);

/** An instruction of loops over tasks of these times, and `serial` seconds outside of them. */
function record(loops: readonly (readonly number[])[], serial = 0): InstructionRecord {
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  return {
    op: 'groupNorm',
    kernel: { name: 'group_norm.scalar', isa: 'scalar' },
    scope: '',
    flops: 0,
    seconds: serial + sum(loops.map(sum)),
    loops: loops.map((tasks) => ({
      seconds: sum(tasks),
      taskSeconds: Float64Array.from(tasks),
      taskWorkers: new Int32Array(tasks.length),
    })),
  };
}

test('threads take the next task as they come free', () => {
  assert.equal(makespan([4, 1, 1, 1, 1], 2), 4);
  assert.equal(makespan([1, 1, 1, 1, 4], 2), 6);
  assert.equal(makespan([3, 1, 2, 2], 3), 3);
  assert.equal(makespan([3, 1, 2, 2], 1), 8);
  assert.equal(makespan([3, 1], 64), 3);
  assert.equal(makespan([], 4), 0);
});

test('32 equal tasks leave half of 64 threads idle', () => {
  const norm: Recorded = record([equal(32)]);
  assert.equal(utilization(simulatedUsage(norm, 64)), 0.5);
  assert.equal(utilization(simulatedUsage(norm, 32)), 1);
  assert.equal(utilization(simulatedUsage(norm, 1)), 1);
  assert.equal(utilization(simulatedUsage(record([equal(64)]), 56)), 64 / 112);
  for (const [count, threads] of [
    [32, 64],
    [64, 56],
    [640, 56],
    [7, 3],
  ]) {
    const simulated = utilization(simulatedUsage(record([equal(count)]), threads));
    assert.ok(Math.abs(simulated - equalTasksUtilization(count, threads)) < 1e-12);
  }
});

test('outside of loops one thread works', () => {
  const usage = simulatedUsage(record([equal(8), [1]], 2), 4);
  assert.deepEqual(usage, { threads: 4, seconds: 0.5 + 1 + 2, busySeconds: 5 });
  assert.equal(utilization(usage), 5 / 14);
});

test('a measured loop is as long as it was', () => {
  const loop = { seconds: 3, taskSeconds: Float64Array.of(2.5, 1, 1) };
  const usage = measuredUsage({ seconds: 4, loops: [loop] }, 2);
  assert.deepEqual(usage, { threads: 2, seconds: 4, busySeconds: 5.5 });
  assert.equal(utilization(usage), 5.5 / 8);
});

test('a run is the sum of its ops', () => {
  const conv: InstructionRecord = { ...record([equal(4)]), op: 'conv2d' };
  const run = runUsage([conv, record([equal(2)]), conv], 4, simulatedUsage);
  assert.deepEqual(
    run.ops.map(({ op, count, seconds, busySeconds }) => [op, count, seconds, busySeconds]),
    [
      ['conv2d', 2, 0.5, 2],
      ['groupNorm', 1, 0.25, 0.5],
    ],
  );
  assert.deepEqual([run.seconds, run.busySeconds], [0.75, 2.5]);
});

test('the shortest of several rounds counts, task by task', () => {
  const rounds = [[record([[1, 5], [2]], 3)], [record([[4, 2], [1]], 0.5)]];
  const [best] = shortestOf(rounds);
  assert.deepEqual(
    best.loops.map(({ taskSeconds }) => [...taskSeconds]),
    [[1, 2], [1]],
  );
  assert.equal(best.seconds, 1 + 2 + 1 + 0.5);
});
