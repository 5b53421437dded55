import assert from 'node:assert/strict';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { BookendError, type ErrorCode } from '../../core/errors.ts';
import { castTensor, f32, type Tensor } from '../../core/tensor.ts';
import type { Graph } from '../../ir/graph.ts';
import { GraphBuilder } from '../../ir/graph-builder.ts';
import {
  attention,
  conv2d,
  embedding,
  groupNorm,
  linear,
  reshape,
  silu,
} from '../../ir/ops/index.ts';
import type { WeightSource } from '../backend.ts';
import { memoryWeights } from '../memory-weights.ts';
import { instructionSets, resolveIsa, resolveThreads } from './cpu.ts';
import { nativeBackend } from './native-backend.ts';

const folder = await mkdtemp(join(tmpdir(), 'bookend-native-'));
after(() => rm(folder, { recursive: true }));

function wave(shape: readonly number[], scale = 1): Tensor {
  const count = shape.reduce((a, b) => a * b, 1);
  return f32(
    shape,
    Float32Array.from({ length: count }, (_, i) => Math.sin(i * 0.7) * scale),
  );
}

function weightsOf(graph: Graph, change: Record<string, Tensor> = {}): WeightSource {
  const tensors = [...graph.parameters].map(
    ([path, { shape }]) => [path, change[path] ?? wave(shape, 0.1)] as const,
  );
  return memoryWeights(new Map(tensors));
}

function linearGraph(): Graph {
  const b = new GraphBuilder('line');
  const x = b.input('x', 'f32', [1, 2, 8]);
  b.output('out', linear(b, x, b.parameter('weight', [4, 8]), b.parameter('bias', [4])));
  return b.finish();
}

/** A long chain of convolutions: some tenths of a second. */
function longGraph(layers = 60): Graph {
  const b = new GraphBuilder('long');
  let x = b.input('x', 'f32', [1, 64, 64, 64]);
  for (let i = 0; i < layers; i++) {
    x = silu(b, conv2d(b, x, b.parameter(`${i % 2}`, [64, 64, 3, 3]), undefined, { padding: 1 }));
  }
  b.output('out', x);
  return b.finish();
}

function fails(code: ErrorCode, text: RegExp = /./) {
  return (error: unknown) =>
    error instanceof BookendError && error.code === code && text.test(error.message);
}

test('timers keep firing during a run', async () => {
  const graph = longGraph();
  const executable = await nativeBackend.compile(graph, weightsOf(graph));
  let ticks = 0;
  const timer = setInterval(() => ticks++, 2);
  await executable.run({ x: wave([1, 64, 64, 64]) });
  clearInterval(timer);
  executable.dispose();
  assert.ok(ticks >= 5, `${ticks} ticks`);
});

test('a signal stops a run between instructions, and the next one works', async () => {
  const graph = longGraph(400);
  // The slowest kernels take many seconds for this, so that the signal always comes first.
  const executable = await nativeBackend.compile(graph, weightsOf(graph), { isa: 'scalar' });
  const inputs = { x: wave([1, 64, 64, 64]) };
  const controller = new AbortController();
  const run = executable.run(inputs, { signal: controller.signal });
  await setTimeout(5);
  controller.abort(new Error('enough'));
  await assert.rejects(run, (error) => fails('aborted')(error) && !!(error as Error).cause);
  await assert.rejects(executable.run(inputs, { signal: AbortSignal.abort() }), fails('aborted'));
  executable.dispose();
  const short = longGraph(1);
  const next = await nativeBackend.compile(short, weightsOf(short));
  const { out } = await next.run(inputs);
  assert.ok(out.data.some((x) => x !== 0));
  next.dispose();
});

test('the number of threads does not change a bit of the result', async () => {
  const b = new GraphBuilder('mixed');
  const x = b.input('x', 'f32', [2, 17, 19, 32]);
  const y = conv2d(b, x, b.parameter('conv', [96, 32, 3, 3]), undefined, { padding: 1 });
  const normed = groupNorm(b, y, b.parameter('gamma', [96]), b.parameter('beta', [96]), {
    groups: 32,
    eps: 1e-5,
  });
  const tokens = reshape(b, normed, [2, 17 * 19, 96]);
  b.output('out', attention(b, tokens, tokens, tokens, { heads: 4 }));
  const graph = b.finish();
  const weights = weightsOf(graph);
  for (const precision of ['f32', 'bf16'] as const) {
    const results: Tensor[] = [];
    for (const threads of [1, 2, 3]) {
      const executable = await nativeBackend.compile(graph, weights, { threads, precision });
      assert.equal(executable.info.threads, threads);
      results.push((await executable.run({ x: wave([2, 17, 19, 32]) })).out);
      executable.dispose();
    }
    assert.deepEqual(results[1].data, results[0].data);
    assert.deepEqual(results[2].data, results[0].data);
  }
});

test('runs asked for at once queue up and take the inputs of their time', async () => {
  const graph = linearGraph();
  const executable = await nativeBackend.compile(graph, weightsOf(graph));
  const x = wave([1, 2, 8]);
  const alone = (await executable.run({ x })).out;
  const runs = Array.from({ length: 20 }, (_, i) =>
    executable.run({ x: i === 7 ? wave([1, 2, 8], 2) : x }),
  );
  (x.data as Float32Array).fill(0);
  executable.dispose();
  const results = await Promise.all(runs);
  assert.deepEqual(results[19].out.data, alone.data);
  assert.notDeepEqual(results[7].out.data, alone.data);
  await assert.rejects(executable.run({ x }), fails('invalid-argument', /disposed/));
  executable.dispose();
});

test('executables over one source share packed weights, which outlive any one of them', async () => {
  const graph = linearGraph();
  let reads = 0;
  const plain = weightsOf(graph);
  const counting: WeightSource = {
    ...plain,
    read: (path) => {
      reads++;
      return plain.read(path);
    },
  };
  const first = await nativeBackend.compile(graph, counting);
  const second = await nativeBackend.compile(graph, counting);
  assert.equal(reads, 2);
  const x = wave([1, 2, 8]);
  const before = (await second.run({ x })).out;
  first.dispose();
  assert.deepEqual((await second.run({ x })).out, before);
  second.dispose();
  const third = await nativeBackend.compile(graph, counting);
  assert.equal(reads, 4);
  assert.deepEqual((await third.run({ x })).out, before);
  third.dispose();
});

test('weights are read from a file, at any offset, and a short file is an error', async () => {
  const graph = linearGraph();
  const plain = weightsOf(graph);
  const path = join(folder, 'weights.bin');
  const parts: Uint8Array[] = [new Uint8Array(5)];
  const places = new Map<string, { file: string; offset: number; byteLength: number }>();
  let offset = 5;
  for (const name of graph.parameters.keys()) {
    const { data } = await plain.read(name);
    places.set(name, { file: path, offset, byteLength: data.byteLength });
    parts.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    offset += data.byteLength;
  }
  await writeFile(path, Buffer.concat(parts));
  const located = (): WeightSource => ({ ...plain, locate: (name) => places.get(name) });
  const x = wave([1, 2, 8]);
  const outputs: Tensor[] = [];
  for (const source of [plain, located()]) {
    const executable = await nativeBackend.compile(graph, source);
    outputs.push((await executable.run({ x })).out);
    executable.dispose();
  }
  assert.deepEqual(outputs[1], outputs[0]);
  await truncate(path, offset - 1);
  await assert.rejects(nativeBackend.compile(graph, located()), fails('io', /Tensor bias.*bytes/));
  places.set('weight', { file: join(folder, 'none'), offset: 0, byteLength: 128 });
  await assert.rejects(nativeBackend.compile(graph, located()), fails('io', /Tensor weight/));
});

test('a load that fails takes no weights from those who ask later', async () => {
  const graph = linearGraph();
  const plain = weightsOf(graph);
  let open = () => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  let failures = 1;
  const flaky: WeightSource = {
    ...plain,
    async read(path) {
      if (path === 'weight') await gate;
      else if (failures-- > 0) throw new BookendError('io', 'The disk is busy.');
      return plain.read(path);
    },
  };
  const early = nativeBackend.compile(graph, flaky);
  await setTimeout(1);
  const later = nativeBackend.compile(graph, flaky);
  open();
  for (const compiling of [early, later]) {
    await assert.rejects(compiling, fails('io', /The disk is busy/));
  }
  const executable = await nativeBackend.compile(graph, flaky);
  assert.equal((await executable.run({ x: wave([1, 2, 8]) })).out.shape.length, 3);
  executable.dispose();
});

test('weights stored as f16 are the numbers they stand for, in either precision', async () => {
  const b = new GraphBuilder('stored');
  const ids = b.input('ids', 's32', [4]);
  const rows = embedding(b, ids, b.parameter('table', [4, 24]));
  b.output('out', linear(b, rows, b.parameter('weight', [8, 24]), b.parameter('bias', [8])));
  const graph = b.finish();
  const halves = new Map<string, Tensor>();
  const decoded = new Map<string, Tensor>();
  for (const [path, { shape }] of graph.parameters) {
    const half = castTensor(wave(shape, 0.7), 'f16');
    // The smallest numbers are stored in another way: 1, 3 and 1023 times 2 to the power of -24.
    half.data.set([0x0001, 0x8003, 0x03ff, 0x0000, 0x8000]);
    halves.set(path, half);
    decoded.set(path, castTensor(half, 'f32'));
  }
  const inputs = { ids: { dtype: 's32', shape: [4], data: Int32Array.of(3, 0, 2, 1) } } as const;
  for (const precision of ['f32', 'bf16'] as const) {
    const outputs: Tensor[] = [];
    for (const tensors of [halves, decoded]) {
      const executable = await nativeBackend.compile(graph, memoryWeights(tensors), { precision });
      outputs.push((await executable.run(inputs)).out);
      executable.dispose();
    }
    assert.deepEqual(outputs[0], outputs[1]);
    assert.ok(outputs[0].data.every((value) => Number.isFinite(value) && value !== 0));
  }
});

test('weights that are not finite are refused by name', async () => {
  const graph = linearGraph();
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
    const weight = wave([4, 8]);
    weight.data[13] = bad;
    const weights = weightsOf(graph, { weight });
    await assert.rejects(nativeBackend.compile(graph, weights), fails('non-finite', /weight/));
  }
});

test('numbers that name no row of a table are refused', async () => {
  const b = new GraphBuilder('rows');
  const ids = b.input('ids', 's32', [3]);
  b.output('out', embedding(b, ids, b.parameter('table', [5, 2])));
  const graph = b.finish();
  const executable = await nativeBackend.compile(graph, weightsOf(graph));
  for (const id of [-1, 5]) {
    const data = Int32Array.of(0, id, 4);
    await assert.rejects(
      executable.run({ ids: { dtype: 's32', shape: [3], data } }),
      fails('invalid-argument', /ids holds (-1|5);.*0 to 4/),
    );
  }
  executable.dispose();
});

test('what cannot fit into memory is refused before it is tried', async () => {
  const b = new GraphBuilder('vast');
  b.output('out', silu(b, b.input('x', 'f32', [2 ** 22, 2 ** 20])));
  const graph = b.finish();
  await assert.rejects(
    nativeBackend.compile(graph, weightsOf(graph)),
    fails('insufficient-memory', /GiB/),
  );
});

test('a profile has the time of every instruction', async () => {
  const graph = linearGraph();
  const executable = await nativeBackend.compile(graph, weightsOf(graph));
  const { instructions, outputs } = await executable.profile({ x: wave([1, 2, 8]) });
  assert.deepEqual(outputs.out.shape, [1, 2, 4]);
  assert.deepEqual(
    instructions.map(({ op, flops }) => [op, flops]),
    [['conv2d', 2 * 2 * 8 * 4]],
  );
  assert.ok(instructions[0].seconds > 0);
  assert.match(executable.toString(), /conv2d .*weights=weight/);
  executable.dispose();
});

test('instruction sets and threads are checked', () => {
  assert.equal(instructionSets()[0].name, 'scalar');
  assert.equal(instructionSets()[0].missing, null);
  assert.equal(resolveIsa('scalar'), 'scalar');
  assert.throws(() => resolveIsa('sse9'), fails('invalid-argument', /sse9.*avx2/));
  const lacking = instructionSets().find(({ missing, name }) => missing !== null && name !== 'amx');
  if (lacking) assert.throws(() => resolveIsa(lacking.name), fails('unsupported', /cannot run/));
  assert.equal(resolveThreads('3'), 3);
  for (const threads of [0, -1, 1.5, 'many', 1e6]) {
    assert.throws(() => resolveThreads(threads), fails('invalid-argument', /threads/));
  }
});
