import assert from 'node:assert/strict';
import { test } from 'node:test';
import { elementCount } from '../../core/shape.ts';
import { f32 } from '../../core/tensor.ts';
import type { Graph } from '../../ir/graph.ts';
import { GraphBuilder } from '../../ir/graph-builder.ts';
import { attention, groupNorm, linear } from '../../ir/ops/index.ts';
import { memoryWeights } from '../memory-weights.ts';
import { type NativeOptions, nativeBackend } from './native-backend.ts';

const BATCH = 2;
const ROWS = 100;
const CHANNELS = 40;
const GROUPS = 4;

/** GroupNorm, and a linear layer and attention, which plan for a number of threads. */
function buildGraph(): Graph {
  const b = new GraphBuilder('recorded');
  const x = b.input('x', 'f32', [BATCH, ROWS, CHANNELS]);
  const gamma = b.parameter('gamma', [CHANNELS]);
  const beta = b.parameter('beta', [CHANNELS]);
  const normal = groupNorm(b, x, gamma, beta, { groups: GROUPS, eps: 1e-5 });
  const heads = linear(b, normal, b.parameter('weight', [CHANNELS, CHANNELS]));
  b.output('out', attention(b, heads, heads, heads, { heads: 5 }));
  return b.finish();
}

const wave = (shape: readonly number[]) =>
  f32(
    shape,
    Array.from({ length: elementCount(shape) }, (_, i) => Math.sin(0.7 * i)),
  );

const graph = buildGraph();
const weights = memoryWeights(
  new Map([...graph.parameters].map(([path, { shape }]) => [path, wave(shape)])),
);
const x = wave([BATCH, ROWS, CHANNELS]);

async function record(options: NativeOptions) {
  const executable = await nativeBackend.compile(graph, weights, { passes: [], ...options });
  try {
    return { ...(await executable.record({ x })), plain: await executable.run({ x }) };
  } finally {
    executable.dispose();
  }
}

test('a record has every task of every loop, and changes no bit', async () => {
  const first = await record({ threads: 1 });
  for (const threads of [1, 2, 3]) {
    const { instructions, outputs, plain } = await record({ threads });
    assert.deepEqual(outputs, first.outputs);
    assert.deepEqual(plain, first.outputs);
    for (const { op, seconds, loops } of instructions) {
      assert.ok(loops.length > 0, op);
      let inLoops = 0;
      for (const { seconds, taskSeconds, taskWorkers } of loops) {
        assert.ok(taskSeconds.length > 0);
        assert.equal(taskWorkers.length, taskSeconds.length);
        // A task that was not taken down would have taken no time at all.
        assert.ok(taskSeconds.every((time) => time > 0 && time <= seconds));
        assert.ok(taskWorkers.every((worker) => worker >= 0 && worker < threads));
        const busy = taskSeconds.reduce((sum, time) => sum + time, 0);
        assert.ok(
          busy <= threads * seconds,
          `${op}: ${busy} s on ${threads} threads in ${seconds}`,
        );
        inLoops += seconds;
      }
      assert.ok(inLoops <= seconds);
    }
  }
});

test('one thread does the work of any number of simulated ones, and no bit is another', async () => {
  const first = await record({ threads: 1 });
  const tasks: number[] = [];
  for (const threads of [1, 2, 5, 64, 256]) {
    const { instructions, outputs } = await record({ threads, simulateThreads: true });
    assert.deepEqual(outputs, first.outputs);
    for (const { loops } of instructions) {
      for (const { taskWorkers } of loops) {
        const expected = taskWorkers.map((_, task) =>
          taskWorkers.length > 1 ? task % threads : 0,
        );
        assert.deepEqual(taskWorkers, expected);
      }
    }
    const heads = instructions.find(({ op }) => op === 'attention')!;
    tasks.push(heads.loops.at(-1)!.taskSeconds.length);
  }
  assert.ok(tasks.at(-1)! > tasks[0], `planned for ${tasks} tasks`);
});

test('GroupNorm is split as it was asked for, and no bit is another', async () => {
  const loopsOf = async (groupNormSplit: NativeOptions['groupNormSplit']) => {
    const { instructions, outputs } = await record({ threads: 2, groupNormSplit });
    const norm = instructions.find(({ op }) => op === 'groupNorm')!;
    return { outputs, tasks: norm.loops.map(({ taskSeconds }) => taskSeconds.length) };
  };
  const rows = await loopsOf(undefined);
  // 100 rows in chunks of 8.
  assert.deepEqual(rows.tasks, [BATCH * 13, BATCH * GROUPS, BATCH * 13]);
  const groups = await loopsOf('groups');
  assert.deepEqual(groups.tasks, [BATCH * GROUPS]);
  const channels = await loopsOf('channels');
  assert.deepEqual(channels.tasks, [BATCH * 3, BATCH * GROUPS, BATCH * 3]);
  assert.deepEqual(groups.outputs, rows.outputs);
  assert.deepEqual(channels.outputs, rows.outputs);
});
