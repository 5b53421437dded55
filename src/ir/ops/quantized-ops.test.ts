import assert from 'node:assert/strict';
import { test } from 'node:test';
import { interpret } from '../../runtime/reference/interpret.ts';
import type { Value } from '../graph.ts';
import { GraphBuilder } from '../graph-builder.ts';
import { print } from '../print.ts';
import { cast, quantize } from './cast.ts';
import { OBSERVE_BINS, observe } from './observe.ts';
import { reshape } from './reshape.ts';

const numbers = (shape: readonly number[], data: readonly number[]) => ({
  shape,
  data: Float64Array.from(data),
});

test('a layer over u8 computes with what the codes stand for, each source with its own scale', async () => {
  const b = new GraphBuilder('layer');
  const x = b.input('x', 'u8', [1, 2], { scale: 0.5, zeroPoint: 3 });
  const skip = b.input('skip', 'u8', [1, 1], { scale: 2, zeroPoint: 128 });
  const weight = b.parameter('weight', [2, 3], 's8');
  const weightScale = b.parameter('scale', [2], 'f32');
  const [float, stored] = b.apply(
    'linear',
    { x, skip, weight, weightScale },
    {
      activation: 'none',
      outputScale: 1,
      floatType: 'bf16',
      quantize: [0.25, 7],
      keepFloat: true,
    },
  );
  b.output('float', float);
  b.output('stored', stored);
  const graph = b.finish();
  const sources = new Map<Value, ReturnType<typeof numbers>>([
    [x, numbers([1, 2], [1, -1.5])],
    [skip, numbers([1, 1], [4])],
    [weight, numbers([2, 3], [10, 20, -30, 1, 2, 3])],
    [weightScale, numbers([2], [0.01, 0.1])],
  ]);
  const out = await interpret(graph, (value) => sources.get(value)!, { roundToDType: true });
  assert.equal(graph.outputs.float.dtype, 'bf16');
  assert.equal(out.stored.data[0], -1.5, '(10 − 30 − 120) · 0.01 = −1.4 lies nearest to −6 steps');
  assert.equal(out.stored.data[1], 1, '(1 − 3 + 12) · 0.1');
  assert.match(print(graph), /u8\(0\.5,3\)\[1,2\]/);
});

test('layers refuse operands that do not go with their x', () => {
  const layer = (dtype: 'u8' | 'f32', floatType?: 'f32', withScale = true) => {
    const b = new GraphBuilder('layer');
    const x = b.input('x', dtype, [1, 2], dtype === 'u8' ? { scale: 1, zeroPoint: 0 } : undefined);
    const weight = b.parameter('weight', [4, 2], dtype === 'u8' ? 's8' : 'f32');
    const weightScale = withScale ? b.parameter('scale', [4], 'f32') : undefined;
    const attributes = { activation: 'none', outputScale: 1, floatType } as const;
    return () => b.apply('linear', { x, weight, weightScale }, attributes);
  };
  assert.doesNotThrow(layer('u8', 'f32'));
  assert.throws(layer('u8'), /floatType is missing/);
  assert.throws(layer('u8', 'f32', false), /weightScale is missing/);
  assert.throws(layer('f32', undefined), /weightScale over floating-point x/);
  assert.throws(layer('f32', 'f32', false), /floatType over floating-point x/);
});

test('casts store codes and read them back; reshapes keep their meaning', async () => {
  const params = { scale: 0.1, zeroPoint: 100 };
  const b = new GraphBuilder('casts');
  const x = b.input('x', 'f32', [4]);
  const codes = reshape(b, quantize(b, x, params), [2, 2]);
  assert.deepEqual(codes.quantization, params);
  b.output('y', cast(b, codes, 'f32'));
  const source = numbers([4], [0.12, -0.07, 100, -100]);
  const { y } = await interpret(b.finish(), () => source, { roundToDType: true });
  const expected = [0.1, -0.1, 15.5, -10];
  for (const [i, value] of y.data.entries()) assert.ok(Math.abs(value - expected[i]) < 1e-6);
});

test('observe counts by leading bits and sums by channel', async () => {
  const b = new GraphBuilder('statistics');
  const x = b.input('x', 'f32', [3, 2]);
  const { histogram, range, sums, squares } = observe(b, x);
  for (const [name, value] of Object.entries({ histogram, range, sums, squares })) {
    b.output(name, value);
  }
  const source = numbers([3, 2], [1, -2, 1.001, 0, 3, 5]);
  const out = await interpret(b.finish(), () => source);
  assert.equal(out.histogram.data.length, OBSERVE_BINS);
  assert.equal(out.histogram.data[0x3f80 >> 2], 2, 'both 1 and 1.001');
  assert.equal(out.histogram.data[0xc000 >> 2], 1, '−2');
  assert.deepEqual([...out.range.data], [-2, 5]);
  assert.deepEqual([...out.sums.data], [1 + 1.001 + 3, -2 + 0 + 5]);
  assert.deepEqual([...out.squares.data], [1 + 1.001 * 1.001 + 9, 4 + 25]);
});
