import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  oracleAccumulate,
  oracleAdamW,
  oracleAverage,
  oracleNorm,
  oracleScale,
} from '../../test/support/optimizer-oracle.ts';
import { sharedFloats } from '../runtime/native/shared-floats.ts';
import { adamWOptions, adamWStep, createAdamWState } from './adamw.ts';
import { createEmaState, emaDecay, emaOptions } from './ema.ts';
import { GradientAccumulation } from './gradient-accumulation.ts';
import { clippingFactor, gradientNorm } from './gradient-clipping.ts';
import type { NamedArrays } from './named-arrays.ts';
import { RandomStream } from './random-stream.ts';

// The kernels work in blocks of 2^16 elements.
const LENGTHS = [1, 7, 8, 1000, 2 ** 16, 2 ** 17 + 13];
const THREADS = [1, 2, 3];
const OPTIONS = adamWOptions({ weightDecay: 0.1 });
const EMA = emaOptions({ decay: 0.9 });

/** Numbers of many sizes, denormal ones and zeros among them. */
function draw(seed: number): Map<string, Float32Array> {
  const random = RandomStream.start(seed, 'noise');
  return new Map(
    LENGTHS.map((length) => {
      const array = sharedFloats(length);
      const normals = random.normals(length);
      for (let i = 0; i < length; i++)
        array[i] = normals[i] * 10 ** (i % 11 === 0 ? -41 : -(i % 7));
      array[length - 1] = 0;
      return [`x${length}`, array];
    }),
  );
}

function plain(arrays: NamedArrays): Map<string, Float32Array> {
  return new Map([...arrays].map(([name, data]) => [name, data.slice()]));
}

function assertSame(found: NamedArrays, expected: NamedArrays, what: string): void {
  for (const [name, data] of expected) {
    const bits = (x: Float32Array) => new Int32Array(x.buffer, x.byteOffset, x.length);
    const [a, b] = [bits(found.get(name)!), bits(data)];
    const i = a.findIndex((bit, j) => bit !== b[j]);
    assert.equal(i, -1, `${what} ${name}[${i}]: ${found.get(name)![i]} instead of ${data[i]}`);
  }
}

for (const threads of THREADS) {
  test(`AdamW, clipping and the average give the bits of plain loops: ${threads} threads`, async () => {
    const parameters = draw(1);
    const state = createAdamWState(parameters);
    const average = { state: createEmaState(parameters), options: EMA };
    const expected = plain(parameters);
    const [first, second, averages] = [state.firstMoments, state.secondMoments, parameters].map(
      plain,
    );
    for (let step = 1; step <= 4; step++) {
      const gradients = draw(10 + step);
      const before = plain(gradients);
      const norm = await gradientNorm(gradients, threads);
      assert.equal(norm, oracleNorm(gradients));
      const gradientFactor = clippingFactor(norm, step % 2 === 0 ? norm / 3 : 2 * norm);
      assert.equal(gradientFactor < 1, step % 2 === 0);
      const options = { gradientFactor, average, threads };
      await adamWStep(parameters, gradients, state, 0.01, OPTIONS, options);
      assertSame(gradients, before, 'gradient');
      oracleScale(before, gradientFactor);
      for (const [name, parameter] of expected) {
        const arrays = { first: first.get(name)!, second: second.get(name)! };
        oracleAdamW({ parameter, gradient: before.get(name)!, ...arrays }, step, 0.01, OPTIONS);
        oracleAverage(averages.get(name)!, parameter, emaDecay(EMA, step));
      }
      assertSame(parameters, expected, 'parameter');
      assertSame(state.firstMoments, first, 'first moment');
      assertSame(state.secondMoments, second, 'second moment');
      assertSame(average.state.average, averages, 'average');
    }
    assert.deepEqual([state.step, average.state.step], [4, 4]);
  });

  test(`accumulation gives the bits of plain loops: ${threads} threads`, async () => {
    const accumulation = new GradientAccumulation(draw(0), 3);
    for (let round = 0; round < 2; round++) {
      const expected = plain(draw(0));
      for (let batch = 0; batch < 3; batch++) {
        const gradients = draw(20 + 3 * round + batch);
        for (const [name, sum] of expected) {
          oracleAccumulate(sum, gradients.get(name)!, 3, batch === 0);
        }
        const mean = await accumulation.add(gradients, threads);
        assert.equal(mean === undefined, batch < 2);
        if (mean) assertSame(mean, expected, 'sum');
      }
    }
  });
}

test('gradients that are not finite are found wherever they are', async () => {
  for (const at of [0, 2 ** 16, 2 ** 17 + 12]) {
    const gradients = draw(2);
    gradients.get(`x${2 ** 17 + 13}`)![at] = Number.NEGATIVE_INFINITY;
    await assert.rejects(gradientNorm(gradients), { code: 'non-finite', message: /x131085/ });
  }
});
