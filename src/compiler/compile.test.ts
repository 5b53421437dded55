import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BookendError } from '../core/errors.ts';
import type { Value } from '../ir/graph.ts';
import { GraphBuilder } from '../ir/graph-builder.ts';
import { embeddingGradient } from '../ir/ops/embedding-gradient.ts';
import { add, attention, cast, embedding, linear, reshape, silu, slice } from '../ir/ops/index.ts';
import { compile } from './compile.ts';
import type { Conv2dFields } from './instructions.ts';
import { nearestRuns } from './lower-copies.ts';
import { arenaOffset, type Program, printProgram } from './program.ts';

function compiled(build: (b: GraphBuilder) => Value): Program {
  const b = new GraphBuilder('example');
  b.output('out', build(b));
  return compile(b.finish(), { passes: [] });
}

test('a reshape costs no instruction and no memory', () => {
  const program = compiled((b) => {
    const x = b.input('x', 'f32', [2, 8, 8, 4]);
    return silu(b, reshape(b, silu(b, x), [2, 64, 4]));
  });
  assert.deepEqual(
    program.instructions.map(({ op }) => op),
    ['unary', 'unary'],
  );
  const [first, second] = program.instructions;
  assert.equal(
    arenaOffset(program.memory, first.operands.out),
    arenaOffset(program.memory, second.operands.x),
  );
});

test('columns that only attention reads are not copied', () => {
  const program = compiled((b) => {
    const x = b.input('x', 'f32', [1, 6, 24]);
    const [q, k, v] = [0, 8, 16].map((start) => slice(b, x, { axis: 2, start, length: 8 }));
    return attention(b, q, k, v, { heads: 2 });
  });
  assert.equal(program.instructions.length, 1);
  const [{ fields, operands }] = program.instructions;
  assert.deepEqual(
    ['q', 'k', 'v'].map((name) => arenaOffset(program.memory, operands[name])! % (24 * 4)),
    [0, 32, 64],
  );
  assert.equal('qStride' in fields && fields.qStride, 24);
});

test('columns that something else reads too are copied', () => {
  const program = compiled((b) => {
    const x = b.input('x', 'f32', [1, 6, 16]);
    const q = slice(b, x, { axis: 2, start: 8, length: 8 });
    return add(b, attention(b, q, q, q, { heads: 2 }), q);
  });
  assert.deepEqual(
    program.instructions.map(({ op }) => op),
    ['copy', 'attention', 'binary'],
  );
});

test('biases of other types are cast once', () => {
  const program = compiled((b) => {
    const x = b.input('x', 'bf16', [2, 3, 8]);
    const bias = b.input('bias', 'bf16', [8]);
    const weight = b.parameter('weight', [8, 8], 'bf16');
    return linear(b, linear(b, x, weight, bias), weight, bias);
  });
  assert.deepEqual(
    program.instructions.map(({ op }) => op),
    ['unary', 'conv2d', 'conv2d'],
  );
});

test('a parameter that is an output is copied into the arena', () => {
  const program = compiled((b) => cast(b, b.parameter('table', [3, 5]), 'bf16'));
  assert.deepEqual(
    program.instructions.map(({ op }) => op),
    ['unary'],
  );
  assert.equal(program.outputs[0].bytes, 30);
});

test('inputs that pick rows know how many there are', () => {
  const program = compiled((b) => {
    const ids = reshape(b, b.input('ids', 's32', [2, 3]), [6]);
    return embedding(b, ids, b.parameter('table', [11, 4]));
  });
  assert.equal(program.inputs[0].idLimit, 11);
});

test('an op without a native kernel is an error that names it', () => {
  assert.throws(
    () =>
      compiled((b) => {
        const ids = b.input('ids', 's32', [4]);
        const gradient = b.input('gradient', 'f32', [4, 8]);
        return b.scope('up', () => embeddingGradient(b, ids, gradient, { rows: 9 }));
      }),
    (error) =>
      error instanceof BookendError &&
      error.code === 'unsupported' &&
      error.message.includes('embeddingGradient in example.up'),
  );
});

test('weights that are computed are packed where they are read', () => {
  const { instructions } = compiled((b) => {
    const x = b.input('x', 'f32', [4, 4]);
    return linear(b, x, silu(b, x));
  });
  const layer = instructions.at(-1)!;
  assert.equal(layer.op, 'conv2d');
  assert.deepEqual((layer.fields as Conv2dFields).weightView, [0, 4, 1, 1, 1]);
  assert.ok('storage' in layer.operands.weights);
});

test('a printed program says what runs where', () => {
  const program = compiled((b) => {
    const x = b.input('x', 'f32', [1, 3, 8]);
    return b.scope('proj', () => linear(b, x, b.parameter('weight', [4, 8])));
  });
  assert.equal(
    printProgram(program),
    [
      'program example: 1 instructions, arena 192 bytes (at least 192)',
      'inputs x @0 f32[1, 3, 8]',
      '0: conv2d x=@0 weights=proj.weight out=@128 {batch=1 height=1 width=3 channels=8 skipChannels=0 outChannels=4 outHeight=1 outWidth=3 kernelHeight=1 kernelWidth=1 stride=1 padTop=0 padLeft=0 upsample=1 input=f32 output=f32 outputScale=1} # proj',
      'outputs out @128 f32[1, 3, 4]',
      '',
    ].join('\n'),
  );
});

test('nearest resampling is a few runs of whole factors', () => {
  assert.deepEqual(nearestRuns(32, 64), [{ from: 0, to: 0, count: 32, factor: 2 }]);
  for (const [size, outSize] of [
    [33, 65],
    [5, 9],
    [9, 4],
    [7, 7],
  ]) {
    const sources: number[] = [];
    for (const { from, to, count, factor } of nearestRuns(size, outSize)) {
      assert.equal(to, sources.length);
      for (let i = 0; i < count * factor; i++) sources.push(from + Math.floor(i / factor));
    }
    assert.deepEqual(
      sources,
      Array.from({ length: outSize }, (_, i) => Math.floor((i * size) / outSize)),
    );
  }
});
