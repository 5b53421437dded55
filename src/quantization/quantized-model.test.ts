import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allocate } from '../core/dtype.ts';
import { elementCount } from '../core/shape.ts';
import { f32, type Tensor, tensor } from '../core/tensor.ts';
import type { Graph } from '../ir/graph.ts';
import { GraphBuilder } from '../ir/graph-builder.ts';
import { concat } from '../ir/ops/index.ts';
import { conv2d, linear } from '../nn/layers.ts';
import { inferencePasses, runPasses } from '../passes/index.ts';
import { memoryWeights } from '../runtime/memory-weights.ts';
import { DEFAULT_QUANTIZATION, type QuantizationConfig, selectLayers } from './config.ts';
import {
  equalRanges,
  formatQuantizedUNet,
  parseQuantizedUNet,
  type QuantizedUNet,
  quantizedUNet,
} from './quantized-model.ts';
import { checkQuantizedUNet, quantizedTensorsOf, quantizedWeights } from './quantized-weights.ts';

/** Three layers, one of which reads two sources. */
function smallGraph(): Graph {
  const b = new GraphBuilder('small');
  const x = b.input('x', 'f32', [1, 4, 4, 3]);
  const first = conv2d(b, 'first', x, 4);
  const second = conv2d(b, 'second', first, 4);
  b.output('y', linear(b, 'last', concat(b, second, first), 2, { bias: false }));
  return runPasses(b.finish(), inferencePasses('f32'));
}

const graph = smallGraph();
const config: QuantizationConfig = { ...DEFAULT_QUANTIZATION, buckets: 2 };
const layers = selectLayers(graph, config);

function smallModel(overrides: Partial<QuantizedUNet> = {}): QuantizedUNet {
  const x = { scale: 0.5, zeroPoint: 3 };
  const params = new Map(
    layers.map(({ path, node }) => [path, node.inputs.skip ? { x, skip: x } : { x }]),
  );
  return quantizedUNet({
    config,
    origin: {
      method: 'ptq',
      samples: 1,
      steps: 4,
      guidanceScale: 3,
      seed: 0,
      scheduler: 'ddim',
      isa: 'scalar',
    },
    trainTimesteps: 1000,
    reports: layers.map(({ path }) => ({ path, weightSqnr: 40.5, inputSqnr: null })),
    buckets: equalRanges(1000, 2).map((range) => ({ ...range, layers: params })),
    ...overrides,
  });
}

function smallTensors(of = config): Map<string, Tensor> {
  const types = layers.flatMap((layer) => [...quantizedTensorsOf(layer, of)]);
  return new Map(
    types.map(([name, { dtype, shape }]) => {
      const data = allocate(dtype, elementCount(shape)).fill(1);
      return [name, tensor(dtype, shape, data)];
    }),
  );
}

const check = (model: QuantizedUNet, tensors: Map<string, Tensor>) =>
  checkQuantizedUNet(model, graph, memoryWeights(tensors), 'a file');

test('a model survives being written and read, and names the bucket of every timestep', () => {
  const text = formatQuantizedUNet(smallModel());
  const read = parseQuantizedUNet(JSON.parse(text), 'a file');
  assert.equal(formatQuantizedUNet(read), text);
  assert.deepEqual(read.buckets, smallModel().buckets);
  assert.deepEqual([-1, 0, 499, 499.5, 500, 999, 1500].map(read.layersAt), [0, 0, 0, 0, 1, 1, 1]);
});

test('equal ranges cover every timestep once', () => {
  for (const [total, count] of [
    [1000, 7],
    [10, 10],
    [1000, 1],
  ]) {
    const ranges = equalRanges(total, count);
    let next = 0;
    for (const { minTimestep, maxTimestep } of ranges) {
      assert.equal(minTimestep, next);
      next = maxTimestep + 1;
    }
    assert.equal(next, total);
  }
});

test('whatever is wrong with the JSON is told in a sentence', () => {
  const refuse = (change: (json: Record<string, unknown>) => void, pattern: RegExp) => {
    const json = JSON.parse(formatQuantizedUNet(smallModel()));
    change(json);
    assert.throws(
      () => parseQuantizedUNet(json, 'a file'),
      (error: Error) => {
        assert.equal(error.name, 'BookendError');
        assert.match(error.message, pattern);
        assert.match(error.message, /^[^\n]{1,500}\.$/);
        return true;
      },
    );
  };
  type Layer = { path: string; x: { scale: number; zeroPoint: number } };
  const layer = (json: Record<string, unknown>) =>
    (json.buckets as { layers: Layer[] }[])[0].layers[0];
  refuse((json) => {
    json.version = 2;
  }, /version 2/);
  refuse((json) => {
    delete json.version;
  }, /version/);
  refuse((json) => {
    json.extra = 1;
  }, /extra/);
  refuse((json) => {
    json.trainTimesteps = 999;
  }, /1000 timesteps out of 999/);
  refuse((json) => {
    (json.buckets as unknown[]).pop();
  }, /1 buckets where its config says 2/);
  refuse((json) => {
    (json.buckets as { maxTimestep: number }[])[0].maxTimestep = 600;
  }, /should start at 601/);
  refuse((json) => {
    layer(json).x.scale = 0;
  }, /scale/);
  refuse((json) => {
    layer(json).x.scale = 1e-320;
  }, /scale/);
  refuse((json) => {
    layer(json).x.zeroPoint = 256;
  }, /zeroPoint/);
  refuse((json) => {
    layer(json).x.zeroPoint = 0.5;
  }, /zeroPoint/);
  refuse((json) => {
    layer(json).path = 'second';
  }, /twice/);
  refuse((json) => {
    json.config = { weights: 1 };
  }, /weights/);
  assert.throws(() => parseQuantizedUNet([], 'a file'), { code: 'invalid-checkpoint' });
  assert.throws(() => parseQuantizedUNet({ version: 9 }, 'a file'), { code: 'unsupported' });
});

test('tensors must be those that the config makes of the graph', async () => {
  assert.deepEqual(await check(smallModel(), smallTensors()), layers);
  const refuse = async (
    change: (tensors: Map<string, Tensor>) => void,
    code: string,
    pattern: RegExp,
  ) => {
    const tensors = smallTensors();
    change(tensors);
    await assert.rejects(check(smallModel(), tensors), { code, message: pattern });
  };
  await refuse((t) => t.delete('first.weight.s8'), 'missing-tensor', /first\.weight\.s8/);
  await refuse(
    (t) => t.set('more', f32([1], [1])),
    'invalid-checkpoint',
    /unexpected tensor "more"/,
  );
  await refuse(
    (t) => t.set('first.weight.scale', f32([3], [1, 1, 1])),
    'invalid-checkpoint',
    /f32\[3\] instead of f32\[4\]/,
  );
  for (const scale of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
    await refuse(
      (t) => t.set('first.weight.scale', f32([4], [1, 1, scale, 1])),
      'invalid-checkpoint',
      /positive/,
    );
  }
  await refuse(
    (t) => t.set('last.bias.int8', f32([2], [1, Number.NaN])),
    'invalid-checkpoint',
    /finite/,
  );
});

test('buckets must speak of the layers that the config quantizes', async () => {
  const x = { scale: 1, zeroPoint: 0 };
  const withLayers = (change: (params: Map<string, { x: typeof x; skip?: typeof x }>) => void) => {
    const { buckets } = smallModel();
    const params = new Map(buckets[0].layers);
    change(params);
    return smallModel({ buckets: buckets.map((bucket) => ({ ...bucket, layers: params })) });
  };
  const refuse = (model: QuantizedUNet, pattern: RegExp) =>
    assert.rejects(check(model, smallTensors()), { code: 'invalid-checkpoint', message: pattern });
  await refuse(
    withLayers((params) => params.delete('second')),
    /no scale for the layer second/,
  );
  await refuse(
    withLayers((params) => params.set('other', { x })),
    /"other"/,
  );
  await refuse(
    withLayers((params) => params.set('last', { x })),
    /one scale for two inputs/,
  );
  await refuse(
    withLayers((params) => params.set('first', { x, skip: x })),
    /two scales for one input/,
  );
});

test('one source offers the original tensors and the quantized ones', async () => {
  const original = memoryWeights(
    new Map([['first.weight', f32([4, 3, 3, 3], Array(108).fill(7))]]),
  );
  const source = quantizedWeights(original, memoryWeights(smallTensors()), config, layers);
  assert.equal((await source.read('first.weight')).data[0], 7);
  assert.equal((await source.read('first.weight.s8')).dtype, 's8');
  assert.equal(source.info('first.weight.scale')?.dtype, 'f32');
  assert.equal(source.info('nothing'), undefined);
});

test('quantized weights without activations read as floats in place of the originals', async () => {
  const spec = { dtype: 's8', granularity: 'per-group', groupSize: 2, scheme: 'affine' } as const;
  const weightOnly = { ...config, weights: spec, activations: null };
  const tensors = smallTensors(weightOnly);
  assert.deepEqual(
    [...tensors.keys()].filter((name) => name.startsWith('first')),
    ['first.weight.s8', 'first.weight.scale', 'first.weight.zero'],
  );
  // 3 input channels in groups of 2: the second group of each output has one.
  const scales = f32([4, 2], [1, 2, 3, 4, 5, 6, 7, 8]);
  tensors.set('first.weight.scale', scales);
  tensors.set('first.weight.s8', tensor('s8', [4, 3, 3, 3], new Int8Array(108).fill(5)));
  const original = memoryWeights(
    new Map([['first.weight', f32([4, 3, 3, 3], Array(108).fill(7))]]),
  );
  const model = smallModel({ config: weightOnly, buckets: [] });
  await check(model, tensors);
  const source = quantizedWeights(original, memoryWeights(tensors), weightOnly, layers);
  const { data, shape } = await source.read('first.weight');
  assert.deepEqual(shape, [4, 3, 3, 3]);
  // Zero point 1: codes of 5 are worth 4 steps.
  assert.deepEqual([data[0], data[17], data[18], data[26], data[27]], [4, 4, 8, 8, 12]);
  assert.deepEqual([...source.names()], ['first.weight']);
});
