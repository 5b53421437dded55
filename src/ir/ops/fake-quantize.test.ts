import assert from 'node:assert/strict';
import { test } from 'node:test';
import { graphOf, randomArray, randomSources } from '../../../test/support/graphs.ts';
import { dequantizeCode, quantizeToCode, roundToEven } from '../../core/quantization-params.ts';
import { differentiate } from '../../passes/differentiate.ts';
import { interpret } from '../../runtime/reference/interpret.ts';
import type { NumericArray } from '../op.ts';
import { fakeQuantize } from './fake-quantize.ts';
import type { CodeRange } from './fake-quantize-operands.ts';

const U8 = { lowest: 0, highest: 255 };
const S8 = { lowest: -128, highest: 127 };

const numbers = (...data: number[]): NumericArray => ({
  shape: [data.length],
  data: Float64Array.from(data),
});

interface Trial {
  readonly shape: readonly number[];
  readonly scale: NumericArray;
  readonly zero?: NumericArray;
  readonly range: CodeRange;
  readonly gradientScale?: number;
}

const TRIALS: Record<string, Trial> = {
  'one scale, u8': {
    shape: [2, 3, 5],
    scale: numbers(0.005),
    zero: numbers(100),
    range: U8,
  },
  'a scale for each sample, u8': {
    shape: [2, 3, 5],
    scale: numbers(0.005, 0.03),
    zero: numbers(100, 7),
    range: U8,
  },
  'a scale for each output channel, s8': {
    shape: [3, 2, 2, 2],
    scale: numbers(0.004, 0.02, 0.001),
    range: S8,
    gradientScale: 0.25,
  },
};

/** y and the gradients of Σ y · weights by the graph, on random x. */
async function run({ shape, scale, zero, range, gradientScale }: Trial) {
  const graph = graphOf((b) => {
    const inputs = {
      x: b.input('x', 'f32', shape),
      scale: b.input('scale', 'f32', scale.shape),
      zero: zero && b.input('zero', 'f32', zero.shape),
    };
    return { y: fakeQuantize(b, inputs, { ...range, gradientScale }) };
  });
  const gradients = differentiate(graph, { outputs: ['y'], withRespectTo: ['x', 'scale'] });
  const sources = randomSources(gradients, { scale, ...(zero && { zero }) });
  const results = await interpret(gradients, sources);
  return {
    y: results.y.data,
    x: results['gradient:x'].data,
    scale: results['gradient:scale'].data,
  };
}

for (const [name, trial] of Object.entries(TRIALS)) {
  const { shape, scale, zero, range, gradientScale = 1 } = trial;
  const x = randomArray('x', { shape }).data;
  const incoming = randomArray('outputGradient:y', { shape }).data;
  const row = x.length / scale.data.length;
  const of = (i: number) => {
    const n = Math.floor(i / row);
    return { n, scale: scale.data[n], zero: zero?.data[n] ?? 0 };
  };

  test(`${name}: the numbers are those of the codes`, async () => {
    const { y } = await run(trial);
    let clamped = 0;
    for (const [i, value] of x.entries()) {
      const params = { scale: of(i).scale, zeroPoint: of(i).zero - range.lowest };
      const code = quantizeToCode(value, params);
      if (code === 0 || code === 255) clamped++;
      assert.ok(Math.abs(y[i] - dequantizeCode(code, params)) < 1e-12);
    }
    assert.ok(clamped > 0 && clamped < x.length, 'some are beyond the codes, and some are not');
  });

  test(`${name}: gradients are those of a clipping whose rounding is held fast`, async () => {
    const results = await run(trial);
    // y with the rounding of the unchanged v added as a constant: its derivatives are the rule.
    const surrogate = (i: number, value: number, step: number) => {
      const { zero: origin, scale: held } = of(i);
      const [least, most] = [range.lowest - origin, range.highest - origin];
      const clip = (v: number) => Math.min(Math.max(v, least - 0.5), most + 0.5);
      const base = x[i] / held;
      const code = Math.min(Math.max(roundToEven(base), least), most);
      return (clip(value / step) + code - clip(base)) * step;
    };
    const expected = new Float64Array(scale.data.length);
    const h = 1e-7;
    for (const [i, value] of x.entries()) {
      const { n, scale: step } = of(i);
      const dx = (surrogate(i, value + h, step) - surrogate(i, value - h, step)) / (2 * h);
      assert.ok(Math.abs(results.x[i] - dx * incoming[i]) < 1e-5);
      const wide = h * step;
      const ds = surrogate(i, value, step + wide) - surrogate(i, value, step - wide);
      expected[n] += (ds / (2 * wide)) * incoming[i] * gradientScale;
    }
    for (const [n, value] of expected.entries()) {
      assert.ok(Math.abs(results.scale[n] - value) < 1e-4 * Math.max(1, Math.abs(value)));
    }
  });
}

test('ties go to the even code, infinities to the last, and the ends pass their gradients', async () => {
  const graph = graphOf((b) => {
    const x = b.input('x', 'f32', [7]);
    const scale = b.input('scale', 'f32', [1]);
    return { y: fakeQuantize(b, { x, scale }, { lowest: -2, highest: 2 }) };
  });
  const gradients = differentiate(graph, { outputs: ['y'], withRespectTo: ['x'] });
  const x = numbers(0.25, 0.75, -0.25, 1, -1, 1.3, Number.NEGATIVE_INFINITY);
  const incoming = numbers(1, 1, 1, 1, 1, 1, 1);
  const sources = { x, scale: numbers(0.5), 'outputGradient:y': incoming };
  const results = await interpret(gradients, randomSources(gradients, sources));
  assert.deepEqual(
    [...results.y.data].map((y) => y + 0),
    [0, 1, 0, 1, -1, 1, -1],
  );
  assert.deepEqual([...results['gradient:x'].data], [1, 1, 1, 1, 1, 0, 0]);
});

test('operands that do not fit are refused', () => {
  const build =
    (scale: readonly number[], zero: readonly number[], highest = 255) =>
    () =>
      graphOf((b) => {
        const x = b.input('x', 'f32', [2, 3]);
        const inputs = { x, scale: b.input('s', 'f32', scale), zero: b.input('z', 'f32', zero) };
        return { y: fakeQuantize(b, inputs, { lowest: 0, highest }) };
      });
  assert.doesNotThrow(build([2], [2]));
  assert.doesNotThrow(build([1], [1]));
  assert.throws(build([3], [3]), { code: 'invalid-graph', message: /scale has the shape \[3\]/ });
  assert.throws(build([2], [1]), { code: 'invalid-graph', message: /zero has the shape \[1\]/ });
  assert.throws(build([2], [2], 0.5), { code: 'invalid-graph', message: /highest is 0\.5/ });
});
