import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DType, toBf16 } from '../../src/core/dtype.ts';
import { floats, type Tensor } from '../../src/core/tensor.ts';
import { OBSERVE_BINS, observe } from '../../src/ir/ops/observe.ts';
import { memoryWeights } from '../../src/runtime/memory-weights.ts';
import { nativeBackend } from '../../src/runtime/native/native-backend.ts';
import { TrialBuilder } from './op-trial.ts';
import { noiseTensor } from './random.ts';
import { EPS32 } from './tolerance.ts';

async function observed(x: Tensor, threads: number): Promise<Record<string, Tensor>> {
  const t = new TrialBuilder();
  for (const [name, value] of Object.entries(observe(t.b, t.input('x', x)))) {
    t.b.output(name, value);
  }
  const options = { threads, passes: [] };
  const executable = await nativeBackend.compile(t.b.finish(), memoryWeights(new Map()), options);
  try {
    assert.deepEqual(
      executable.info.instructions.map(({ kernel }) => kernel.name),
      ['observe.scalar'],
    );
    return await executable.run(t.inputs);
  } finally {
    executable.dispose();
  }
}

/** Counts by the definition, and sums in float64 beside what they may be off by. */
function expected(x: Tensor) {
  const channels = x.shape[x.shape.length - 1];
  const histogram = new Int32Array(OBSERVE_BINS);
  const sums = new Float64Array(channels);
  const magnitudes = new Float64Array(channels);
  const squares = new Float64Array(channels);
  for (const [i, value] of floats(x).entries()) {
    histogram[toBf16(value) >>> 2]++;
    sums[i % channels] += value;
    magnitudes[i % channels] += Math.abs(value);
    squares[i % channels] += value * value;
  }
  return { histogram, sums, magnitudes, squares };
}

function assertClose(got: Tensor, want: Float64Array, allowed: (i: number) => number): void {
  for (const [i, value] of floats(got).entries()) {
    assert.ok(Math.abs(value - want[i]) <= allowed(i), `${i}: ${value}, not ${want[i]}`);
  }
}

const SHAPES = [
  [1, 1],
  [3, 7],
  [2, 77, 33],
  [2, 32, 32, 320],
  [1, 4099],
  [70001, 3],
];
for (const dtype of ['f32', 'bf16'] satisfies DType[]) {
  for (const shape of SHAPES) {
    test(`observe ${dtype} [${shape}]`, async () => {
      const x = noiseTensor(5, dtype, shape, 3, 1);
      const want = expected(x);
      const got = await observed(x, 2);
      assert.deepEqual(got.histogram.data, want.histogram);
      const values = floats(x);
      const range = [
        values.reduce((a, b) => Math.min(a, b)),
        values.reduce((a, b) => Math.max(a, b)),
      ];
      assert.deepEqual([...floats(got.range)], range);
      assertClose(got.sums, want.sums, (i) => 2 * EPS32 * want.magnitudes[i]);
      assertClose(got.squares, want.squares, (i) => 2 * EPS32 * want.squares[i]);
      for (const threads of [1, 3]) assert.deepEqual(await observed(x, threads), got);
    });
  }
}

test('observe rounds to bf16 before it counts, and not before it compares', async () => {
  const values = [-0, 0, 1 + 3 / 256, 1e-40, -3e38, Number.POSITIVE_INFINITY];
  const x: Tensor = { dtype: 'f32', shape: [6, 1], data: Float32Array.from(values) };
  const { histogram, range } = await observed(x, 1);
  const filled = [...histogram.data.entries()].filter(([, count]) => count !== 0);
  assert.deepEqual(filled, [
    [0, 2], // 0 and a denormal
    [0x3f80 >>> 2, 1], // 1 + 3/256 lies between 1 + 2/256 and 1 + 4/256, and goes to the even one
    [0x7f80 >>> 2, 1],
    [0x8000 >>> 2, 1],
    [toBf16(-3e38) >>> 2, 1],
  ]);
  assert.deepEqual([...floats(range)], [Math.fround(-3e38), Number.POSITIVE_INFINITY]);
});

test('observe keeps a large mean of a million rows to five digits', async () => {
  const rows = 1_000_000;
  const data = Float32Array.from({ length: rows }, (_, i) => 1000 + (i % 7) * 0.125);
  const { sums, squares } = await observed({ dtype: 'f32', shape: [rows, 1], data }, 2);
  const want = expected({ dtype: 'f32', shape: [rows, 1], data });
  assertClose(sums, want.sums, () => 1e-7 * want.sums[0]);
  assertClose(squares, want.squares, () => 1e-7 * want.squares[0]);
});
