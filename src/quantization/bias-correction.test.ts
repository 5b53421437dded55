import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TorchGenerator } from '../core/rng.ts';
import { f32 } from '../core/tensor.ts';
import { GraphBuilder } from '../ir/graph-builder.ts';
import { conv2dOp } from '../ir/ops/conv2d.ts';
import { conv2d } from '../nn/layers.ts';
import { layersOf } from '../passes/layer-inputs.ts';
import { correctedBias, tapShares, weightSqnr } from './bias-correction.ts';

const normal = (count: number, seed: number) => new TorchGenerator(seed).normalFloat32(count);

function layer(options: Parameters<typeof conv2d>[4]) {
  const b = new GraphBuilder('g');
  const x = b.input('x', 'f32', [1, 6, 5, 4]);
  b.output('y', conv2d(b, 'conv', x, 3, options));
  return layersOf(b.finish()).get('conv')!;
}

test('a tap counts for the share of positions at which it reads the image', () => {
  const shares = tapShares(layer({}));
  assert.equal(shares.length, 9);
  assert.equal(shares[4], 1);
  assert.ok(Math.abs(shares[0] - (5 / 6) * (4 / 5)) < 1e-12);
  assert.deepEqual(tapShares(layer({ kernel: 1 })), [1]);
  // Stride 2 over 6×5 with padding 1: only the first row and column leave the image.
  const strided = tapShares(layer({ stride: 2, padding: 1 }));
  assert.ok(Math.abs(strided[0] - (2 / 3) * (2 / 3)) < 1e-12);
  assert.ok(Math.abs(strided[8] - (2 / 3 + 1 / 3) * (2 / 3)) < 1e-12);
});

for (const options of [{}, { stride: 2, padding: 1 }, { kernel: 1 }]) {
  test(`the mean of every output is restored: ${JSON.stringify(options)}`, () => {
    const node = layer(options);
    const { shape } = node.inputs.weight;
    const count = shape.reduce((a, b) => a * b);
    const weight = f32(shape, normal(count, 1));
    const rounded = f32(
      shape,
      weight.data.map((w) => Math.round(4 * w) / 4),
    );
    const means = Float64Array.of(0.5, -1, 2, 0.25);
    const errors = Float64Array.of(0.1, 0, -0.2, 0.05);
    const bias = Float32Array.of(1, 2, 3);
    const shares = tapShares(node);
    const corrected = correctedBias(bias, weight, rounded, { means, errors }, shares);
    // Every pixel at its channel's mean: the output's mean is exact.
    const meanOf = (values: Float64Array, w: typeof weight, b: Float32Array) => {
      const { attributes, outputs } = node;
      const image = Float64Array.from({ length: 120 }, (_, i) => values[i % 4]);
      const arrays = {
        x: { shape: [1, 6, 5, 4], data: image },
        weight: { shape, data: Float64Array.from(w.data) },
        bias: { shape: [3], data: Float64Array.from(b) },
      };
      const [y] = conv2dOp.evaluate(arrays, attributes as never, outputs);
      return [0, 1, 2].map((o) => {
        const own = y.filter((_, i) => i % 3 === o);
        return own.reduce((sum, value) => sum + value, 0) / own.length;
      });
    };
    const expected = meanOf(means, weight, bias);
    const stored = means.map((mean, i) => mean - errors[i]);
    const found = meanOf(stored, rounded, corrected);
    for (const o of [0, 1, 2]) assert.ok(Math.abs(found[o] - expected[o]) < 1e-4);
    const uncorrected = meanOf(stored, rounded, bias);
    assert.ok([0, 1, 2].some((o) => Math.abs(uncorrected[o] - expected[o]) > 0.05));
  });
}

test('signal to noise is 6 dB a bit', () => {
  const weight = f32([1, 10_000], normal(10_000, 2));
  const at = (step: number) =>
    weightSqnr(
      weight,
      f32(
        [1, 10_000],
        weight.data.map((w) => Math.round(w / step) * step),
      ),
    );
  assert.ok(Math.abs(at(0.01) - at(0.02) - 6.02) < 0.1);
  assert.equal(weightSqnr(weight, weight), Number.POSITIVE_INFINITY);
});
