import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Tensor } from '../core/tensor.ts';
import { f32 } from '../core/tensor.ts';
import type { Graph } from '../ir/graph.ts';
import { affine } from '../ir/ops/index.ts';
import { graphParameters } from '../models/parameters.ts';
import { hashedInput, hashedParameter } from '../models/random-weights.ts';
import { buildUNet2DConditionModel } from '../models/unet-2d-condition.ts';
import { parseUNet2DConditionConfig } from '../models/unet-2d-condition-config.ts';
import { copyInto } from '../passes/rewrite.ts';
import type { Executable } from '../runtime/backend.ts';
import { memoryWeights } from '../runtime/memory-weights.ts';
import { nativeBackend } from '../runtime/native/native-backend.ts';
import { bestPrecision } from './cpu-precision.ts';
import { inferencePrecision, type Precision } from './request.ts';
import { UNet, type UNetQuantizer } from './unet.ts';
import type { UNetSize } from './unet-run.ts';

const CONFIG = new URL('../../test/golden/pipelines/models/sd/unet/config.json', import.meta.url);
const config = parseUNet2DConditionConfig(JSON.parse(readFileSync(CONFIG, 'utf8')));
const build = (size: UNetSize) => buildUNet2DConditionModel(config, size);
const SIZE = { batch: 4, height: 4, width: 6, tokens: 5 };
const TIMESTEPS = [900, 500.5, 500.5, 20];
const weights = memoryWeights(
  new Map(
    [...graphParameters(build(SIZE))].map(([path, shape]) => [path, hashedParameter(path, shape)]),
  ),
);
const sample = hashedInput('sample', [4, 4, 6, 4]);
/** Two prompts, for two images each. */
const text = hashedInput('text', [2, 5, config.crossAttentionWidth]);

/** A stand-in for INT8 that is easy to tell: bucket b multiplies the answer by b + 2. */
const QUANTIZER: UNetQuantizer = {
  buckets: 2,
  layers: [],
  alone: () => QUANTIZER,
  bucketAt: (timestep) => (timestep < 500 ? 0 : 1),
  quantize(graph, bucket) {
    const { b, map } = copyInto(graph);
    b.output('sample', affine(b, map(graph.outputs.sample), { scale: bucket + 2, offset: 0 }));
    return b.finish();
  },
};

function makeUNet(quantizer?: UNetQuantizer) {
  const compiled: string[] = [];
  const compile = async (graph: Graph): Promise<Executable> => {
    compiled.push(graph.name.split('.')[1] ?? 'rest');
    return nativeBackend.compile(graph, weights, { passes: [] });
  };
  return { unet: new UNet(build, compile, { origin: './model', quantizer }), compiled };
}

async function answers(unet: UNet, schedule: readonly Precision[]): Promise<Float32Array[]> {
  const run = await unet.prepare({ size: SIZE, prompts: 2, timesteps: TIMESTEPS, schedule });
  try {
    await run.condition({ encoderHiddenStates: text });
    const results: Float32Array[] = [];
    for (const step of TIMESTEPS.keys()) results.push(await run.predict(sample, step));
    return results;
  } finally {
    run.release();
  }
}

const uniform = (precision: Precision) => TIMESTEPS.map(() => precision);

test('in pieces, the U-Net answers what it answers whole', async () => {
  const { unet, compiled } = makeUNet();
  for (const precision of ['fp32', 'bf16'] as const) {
    const whole = await nativeBackend.compile(build(SIZE), weights, {
      precision: inferencePrecision(precision),
    });
    const found = await answers(unet, uniform(precision));
    for (const [step, timestep] of TIMESTEPS.entries()) {
      const inputs = {
        sample,
        timestep: f32([4], Array(4).fill(timestep)),
        encoderHiddenStates: repeated(text),
      };
      assert.deepEqual(found[step], (await whole.run(inputs)).sample.data, `step ${step}`);
    }
    whole.dispose();
  }
  assert.deepEqual(compiled, ['timestep', 'encoderHiddenStates', 'rest', ...compiled.slice(0, 3)]);
  unet.dispose();
});

/** Rows 0, 0, 1, 1. */
function repeated({ shape: [rows, tokens, width], data }: Tensor): Tensor {
  const each = tokens * width;
  const numbers = Array.from({ length: 2 * rows }, (_, i) => [
    ...data.subarray(Math.floor(i / 2) * each, (Math.floor(i / 2) + 1) * each),
  ]);
  return f32([2 * rows, tokens, width], numbers.flat());
}

test('a step gives what its precision gives, whatever the others run in', async () => {
  const { unet, compiled } = makeUNet(QUANTIZER);
  const schedule = ['bf16', 'int8', 'fp32', 'int8'] as const;
  const found = await answers(unet, schedule);
  // Two precisions in high, and one INT8 form for each of two buckets.
  assert.deepEqual(compiled.filter((part) => part === 'rest').length, 4);
  const high = await answers(unet, uniform(bestPrecision()));
  for (const [step, precision] of schedule.entries()) {
    const alone = await answers(unet, uniform(precision));
    assert.deepEqual(found[step], alone[step], `step ${step}`);
    if (precision !== 'int8') continue;
    const factor = 2 + QUANTIZER.bucketAt(TIMESTEPS[step]);
    const expected = high[step].map((value) => value * factor);
    assert.deepEqual(found[step].map(Math.fround), expected.map(Math.fround));
  }
  assert.equal(new Set(compiled).size, 3);
  assert.equal(compiled.length, 2 * 2 + 2 + 2, 'nothing is compiled twice');
  unet.dispose();
});

test('INT8 of a model without it is refused, with the command that makes it', async () => {
  const { unet, compiled } = makeUNet();
  await assert.rejects(answers(unet, uniform('int8')), {
    code: 'invalid-argument',
    message: /^\.\/model .*`bookend quantize \.\/model --out DIR`.*\.$/,
  });
  assert.deepEqual(compiled, []);
});

test('after dispose neither a new run nor the next step', async () => {
  const { unet } = makeUNet();
  const plan = { size: SIZE, prompts: 2, timesteps: TIMESTEPS, schedule: uniform('fp32') };
  const run = await unet.prepare(plan);
  await run.condition({ encoderHiddenStates: text });
  await run.predict(sample, 0);
  unet.dispose();
  const disposed = { code: 'invalid-argument', message: /disposed/ };
  await assert.rejects(run.predict(sample, 1), disposed);
  run.release();
  await assert.rejects(unet.prepare(plan), disposed);
});

test('a step is timed once for each precision and size', async () => {
  const { unet } = makeUNet(QUANTIZER);
  const first = { ...(await unet.stepSeconds(SIZE, 500, ['fp32'])) };
  const both = await unet.stepSeconds(SIZE, 500, ['fp32', 'int8']);
  assert.equal(both.fp32, first.fp32);
  assert.ok(both.int8! > 0 && both.fp32! > 0);
  unet.dispose();
});
