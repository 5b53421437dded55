import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkQuantizationParams, dequantizeCode, quantizeToCode } from './quantization-params.ts';

test('codes are the nearest ones, ties to even, within 0 to 255', () => {
  const params = { scale: 0.5, zeroPoint: 10 };
  const cases: [number, number][] = [
    [0, 10],
    [0.5, 11],
    [0.25, 10],
    [0.75, 12],
    [-0.25, 10],
    [-0.75, 8],
    [-4.9, 0],
    [-1e30, 0],
    [Number.NEGATIVE_INFINITY, 0],
    [Number.POSITIVE_INFINITY, 255],
    [1e30, 255],
    [122.4, 255],
  ];
  for (const [x, code] of cases) assert.equal(quantizeToCode(x, params), code, `of ${x}`);
});

test('every code stands for a number whose code it is', () => {
  const params = { scale: 0.0371, zeroPoint: 93 };
  for (let q = 0; q <= 255; q++) assert.equal(quantizeToCode(dequantizeCode(q, params), params), q);
});

test('scales and zero points out of range are refused', () => {
  const bad = [
    { scale: 0, zeroPoint: 0 },
    { scale: -1, zeroPoint: 0 },
    { scale: Number.NaN, zeroPoint: 0 },
    { scale: 5e-324, zeroPoint: 0 },
    { scale: 1, zeroPoint: 256 },
    { scale: 1, zeroPoint: -1 },
    { scale: 1, zeroPoint: 0.5 },
  ];
  for (const params of bad) {
    assert.throws(() => checkQuantizationParams(params), { code: 'invalid-argument' });
  }
});
