import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TorchGenerator } from '../core/rng.ts';
import { f32, floats, type Tensor } from '../core/tensor.ts';
import type { QuantizationSpec } from './config.ts';
import { dequantizeWeight, scaleShape } from './weight-codes.ts';
import { quantizeWeight } from './weight-rounding.ts';

const normal = (count: number, seed: number) => new TorchGenerator(seed).normalFloat32(count);
const PER_CHANNEL: QuantizationSpec = {
  dtype: 's8',
  granularity: 'per-channel',
  scheme: 'symmetric',
};
const flat = (count: number) => ({
  means: new Float64Array(count),
  meanSquares: new Float64Array(count).fill(1),
});

function squaredError(a: Tensor, b: Tensor, importance: (i: number) => number = () => 1): number {
  const [x, y] = [floats(a), floats(b)];
  return x.reduce((sum, value, i) => sum + importance(i) * (value - y[i]) ** 2, 0);
}

test('each output channel has a scale that is no worse than any other clipping', () => {
  const weight = f32([3, 8, 3, 3], normal(216, 1));
  const found = quantizeWeight(weight, flat(8), { weights: PER_CHANNEL, rounding: 'nearest' });
  assert.deepEqual(found.scales.shape, [3]);
  const rounded = dequantizeWeight(found);
  for (let o = 0; o < 3; o++) {
    const row = floats(weight).subarray(o * 72, (o + 1) * 72);
    const largest = Math.max(...row.map(Math.abs));
    const errorAt = (scale: number) =>
      row.reduce((sum, w) => {
        const code = Math.max(-128, Math.min(127, Math.round(w / scale)));
        return sum + (w - code * scale) ** 2;
      }, 0);
    const own = f32([72], floats(rounded).subarray(o * 72, (o + 1) * 72));
    const error = squaredError(f32([72], row), own);
    for (let clip = 1; clip > 0.7; clip -= 0.05) {
      assert.ok(error <= 1.1 * errorAt((clip * largest) / 127), `${clip}`);
    }
    assert.ok(Math.abs(error / errorAt(found.scales.data[o]) - 1) < 1e-3);
  }
});

test('a weight on a silent input may be clipped for the sake of the others', () => {
  const values = normal(64, 2).map((x) => 0.1 * x);
  values[5] = 0.5;
  const weight = f32([1, 64], values);
  const silent = { ...flat(64), meanSquares: new Float64Array(64).fill(1) };
  silent.meanSquares[5] = 1e-9;
  const options = { weights: PER_CHANNEL, rounding: 'nearest' } as const;
  const even = quantizeWeight(weight, flat(64), options);
  const uneven = quantizeWeight(weight, silent, options);
  assert.ok(uneven.scales.data[0] < even.scales.data[0]);
  const heard = (codes: typeof even) =>
    squaredError(weight, dequantizeWeight(codes), (i) => silent.meanSquares[i]);
  assert.ok(heard(uneven) < heard(even));
});

test('error feedback lowers the error of an output whose inputs have means', () => {
  const inputs = 96;
  const means = Float64Array.from(normal(inputs, 3), (x) => 0.3 + 0.2 * x);
  const meanSquares = means.map((mean) => mean * mean + 0.05);
  const weight = f32([16, inputs, 3, 3], normal(16 * inputs * 9, 4));
  const outputError = (rounding: 'nearest' | 'error-feedback') => {
    const codes = quantizeWeight(
      weight,
      { means, meanSquares },
      { weights: PER_CHANNEL, rounding },
    );
    const rounded = floats(dequantizeWeight(codes));
    const exact = floats(weight);
    let total = 0;
    for (let row = 0; row < 16 * 9; row++) {
      let sum = 0;
      for (let i = 0; i < inputs; i++) {
        const at = (Math.floor(row / 9) * inputs + i) * 9 + (row % 9);
        const error = exact[at] - rounded[at];
        total += 0.05 * error * error;
        sum += means[i] * error;
      }
      total += sum * sum;
    }
    return total;
  };
  assert.ok(outputError('error-feedback') < 0.5 * outputError('nearest'));
});

test('scales per tensor and per group, symmetric and affine, reconstruct the weight', () => {
  // All positive, so that an affine scheme halves the step; rows of different reach.
  const values = normal(1600, 5).map((x, i) => (1 + (i >> 6) / 25) * (2 + 0.5 * Math.tanh(x)));
  const weight = f32([25, 64, 1, 1], values);
  const error = (spec: QuantizationSpec) => {
    const codes = quantizeWeight(weight, flat(64), { weights: spec, rounding: 'nearest' });
    assert.deepEqual(codes.scales.shape, scaleShape(weight.shape, spec));
    assert.equal(codes.zeros !== undefined, spec.scheme === 'affine');
    return squaredError(weight, dequantizeWeight(codes));
  };
  const group = { ...PER_CHANNEL, granularity: 'per-group', groupSize: 6 } as const;
  const tensorWide = { ...PER_CHANNEL, granularity: 'per-tensor' } as const;
  assert.deepEqual(scaleShape(weight.shape, group), [25, 11]);
  assert.ok(error(group) < error(PER_CHANNEL) && error(PER_CHANNEL) < error(tensorWide));
  assert.ok(error({ ...group, scheme: 'affine' }) < error(group));
  assert.ok(error(tensorWide) < 1600 * (5 / 127) ** 2);
});

test('one scale serves a whole tensor', () => {
  const weight = f32([4, 8], normal(32, 6));
  const spec = { ...PER_CHANNEL, granularity: 'per-tensor' } as const;
  const { scales } = quantizeWeight(weight, flat(8), { weights: spec, rounding: 'nearest' });
  assert.deepEqual(scales.shape, [4]);
  assert.equal(new Set(scales.data).size, 1);
});

test('a weight of zeros stays one, with a scale that can be computed with', () => {
  for (const rounding of ['nearest', 'error-feedback'] as const) {
    const weight = f32([2, 4], new Float32Array(8));
    const codes = quantizeWeight(weight, flat(4), { weights: PER_CHANNEL, rounding });
    assert.ok(codes.scales.data.every((scale) => scale > 0 && Number.isFinite(1 / scale)));
    assert.deepEqual([...dequantizeWeight(codes).data], [...new Float32Array(8)]);
  }
});
