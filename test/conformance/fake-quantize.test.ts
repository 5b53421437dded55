import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compile } from '../../src/compiler/compile.ts';
import { f32, floats } from '../../src/core/tensor.ts';
import { cast } from '../../src/ir/ops/cast.ts';
import { fakeQuantize } from '../../src/ir/ops/fake-quantize.ts';
import { fakeQuantizeGradient } from '../../src/ir/ops/fake-quantize-gradient.ts';
import { fakeQuantizeScaleGradient } from '../../src/ir/ops/fake-quantize-scale-gradient.ts';
import { memoryWeights } from '../../src/runtime/memory-weights.ts';
import { nativeBackend } from '../../src/runtime/native/native-backend.ts';
import { makeTrial, TrialBuilder } from './op-trial.ts';
import { testableSets, testProblem } from './problem.ts';
import { noiseTensor } from './random.ts';
import { EPS32, rounding } from './tolerance.ts';

const U8 = { lowest: 0, highest: 255 };
const S8 = { lowest: -128, highest: 127 };

interface Case {
  readonly shape: readonly number[];
  readonly groups: number;
  readonly zero: boolean;
}

const CASES: Record<string, Case> = {
  'a few numbers': { shape: [3], groups: 1, zero: true },
  'short rows of a scale each': { shape: [70, 7], groups: 70, zero: false },
  'a scale for each output channel': { shape: [40, 33, 3, 3], groups: 40, zero: false },
  'samples of several pieces': { shape: [2, 40, 41, 11], groups: 2, zero: true },
  'one scale for several pieces': { shape: [70001], groups: 1, zero: true },
};

/** Steps are 1/256 of powers of two, so that v = x / scale is exact and no tie is a matter of rounding. */
function operands({ shape, groups, zero }: Case, dtype: 'f32' | 'bf16', t: TrialBuilder) {
  const scales = Float32Array.from({ length: groups }, (_, i) => 2 ** ((i % 3) - 6));
  const zeros = Float32Array.from({ length: groups }, (_, i) => 100 + (i % 50));
  const of = (data: Float32Array) => ({ dtype: 'f32', shape: [groups], data }) as const;
  return {
    x: t.input('x', noiseTensor(3, dtype, shape, 1.5)),
    scale: t.input('scale', of(scales)),
    zero: zero ? t.input('zero', of(zeros)) : undefined,
  };
}

for (const [name, problem] of Object.entries(CASES)) {
  const { shape, groups, zero } = problem;
  const range = zero ? U8 : S8;
  const elements = shape.reduce((a, b) => a * b);
  const common = { op: 'fakeQuantize', dtypes: ['f32', 'bf16'], flops: 0 } as const;

  testProblem({
    ...common,
    name: `values, ${name}`,
    make: (dtype) =>
      makeTrial(
        (t) => fakeQuantize(t.b, operands(problem, dtype as 'f32', t), range),
        (y) => rounding(dtype, y),
      ),
  });

  testProblem({
    ...common,
    name: `gradients of x, ${name}`,
    make: (dtype) =>
      makeTrial(
        (t) => {
          const gradient = t.input('gradient', noiseTensor(5, dtype, shape));
          const inputs = { ...operands(problem, dtype as 'f32', t), gradient };
          return fakeQuantizeGradient(t.b, inputs, range);
        },
        () => 0,
      ),
  });

  testProblem({
    ...common,
    name: `gradients of the scale, ${name}`,
    make: (dtype) => {
      const incoming = noiseTensor(5, dtype, shape);
      const magnitudes = new Float64Array(groups);
      for (const [i, value] of floats(incoming).entries()) {
        magnitudes[Math.floor((i * groups) / elements)] += 255 * Math.abs(value);
      }
      return makeTrial(
        (t) => {
          const gradient = t.input('gradient', incoming);
          const inputs = { ...operands(problem, dtype as 'f32', t), gradient };
          return fakeQuantizeScaleGradient(t.b, inputs, { ...range, gradientScale: 0.125 });
        },
        (y, i) => 0.125 * 34 * EPS32 * magnitudes[i] + 2 * rounding('f32', y),
      );
    },
  });
}

// What training in bf16 has around weights: rounded numbers are read as bf16, gradients come as bf16.
for (const [name, problem] of Object.entries(CASES)) {
  const { shape, zero } = problem;
  const range = zero ? U8 : S8;
  const common = { op: 'fakeQuantize', dtypes: ['f32'], flops: 0 } as const;
  testProblem({
    ...common,
    name: `values in bf16, ${name}`,
    make: () =>
      makeTrial(
        (t) => cast(t.b, fakeQuantize(t.b, operands(problem, 'f32', t), range), 'bf16'),
        (y) => rounding('bf16', y),
      ),
  });
  for (const result of ['x', 'scale'] as const) {
    testProblem({
      ...common,
      name: `gradients of x and scale at once, ${result}, ${name}`,
      make: () => {
        const incoming = noiseTensor(5, 'bf16', shape);
        const total = floats(incoming).reduce((sum, value) => sum + 255 * Math.abs(value), 0);
        return makeTrial(
          (t) => {
            const gradient = cast(t.b, t.input('gradient', incoming), 'f32');
            const inputs = { ...operands(problem, 'f32', t), gradient };
            const ofX = fakeQuantizeGradient(t.b, inputs, range);
            const ofScale = fakeQuantizeScaleGradient(t.b, inputs, { ...range, gradientScale: 1 });
            t.b.output('other', result === 'x' ? ofScale : ofX);
            return result === 'x' ? ofX : ofScale;
          },
          (y) => (result === 'x' ? 0 : 34 * EPS32 * total + 2 * rounding('f32', y)),
        );
      },
    });
  }
}

test('casts around fake quantization, and its two gradients, take one pass each', () => {
  const t = new TrialBuilder();
  const { x, scale } = operands(CASES['a few numbers'], 'f32', t);
  t.b.output('y', cast(t.b, fakeQuantize(t.b, { x, scale }, S8), 'bf16'));
  const gradient = cast(t.b, t.b.input('gradient', 'bf16', [3]), 'f32');
  const inputs = { x, scale, gradient };
  t.b.output('ofX', fakeQuantizeGradient(t.b, inputs, S8));
  t.b.output('ofScale', fakeQuantizeScaleGradient(t.b, inputs, { ...S8, gradientScale: 1 }));
  const { instructions } = compile(t.b.finish(), { passes: [] });
  assert.deepEqual(
    instructions.flatMap(({ op, fields }) => ['result' in fields ? fields.result : op]),
    ['value', 'gradients'],
  );
});

test('infinities and huge numbers become the last codes, and NaN stays NaN', async () => {
  const x = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e30, -1e30, 0.25];
  const y = [Number.NaN, 63.5, -64, 63.5, -64, 0];
  const t = new TrialBuilder();
  const inputs = { x: t.input('x', f32([6], x)), scale: t.input('scale', f32([1], [0.5])) };
  t.b.output('y', fakeQuantize(t.b, inputs, S8));
  const graph = t.b.finish();
  for (const isa of testableSets(0)) {
    const options = { isa, threads: 1, passes: [] };
    const executable = await nativeBackend.compile(graph, memoryWeights(new Map()), options);
    const found = await executable.run(t.inputs);
    executable.dispose();
    assert.deepEqual(found.y, f32([6], y), isa);
  }
});
