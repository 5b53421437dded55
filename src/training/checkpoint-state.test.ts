import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { inFolder } from '../../test/fuzz/in-folder.ts';
import { startingParameters } from '../../test/golden/training/recorded.ts';
import { f32 } from '../core/tensor.ts';
import { openCheckpoint } from '../io/checkpoint.ts';
import { writeSafetensors } from '../io/safetensors.ts';
import { adamWOptions, adamWStep, createAdamWState } from './adamw.ts';
import {
  loadTrainingState,
  saveTrainingState,
  type TrainingProgress,
  type TrainingState,
} from './checkpoint-state.ts';
import { EpochOrder } from './dataset/epoch-order.ts';
import { createEmaState, emaOptions } from './ema.ts';
import { GradientAccumulation } from './gradient-accumulation.ts';
import { clippingFactor, gradientNorm } from './gradient-clipping.ts';
import { learningRateAt } from './learning-rate.ts';
import { zerosLike } from './named-arrays.ts';
import { RandomStream } from './random-stream.ts';
import { drawTimesteps } from './timestep-sampling.ts';

const IDENTITY = 'model, data and options';
const RATE = { kind: 'cosine', warmupSteps: 2, totalSteps: 12 } as const;
const RANGES = [
  { from: 3, to: 40 },
  { from: 90, to: 300 },
];

/** A run of all building blocks on made-up gradients that depend on every one of them. */
class ToyRun {
  readonly state: TrainingState;
  readonly #noise: RandomStream;
  readonly #timesteps: RandomStream;
  readonly #order: EpochOrder;

  constructor(state: TrainingState, progress?: TrainingProgress) {
    this.state = state;
    const [noise, timesteps] = progress?.randoms ?? [
      RandomStream.start(5, 'noise').state,
      RandomStream.start(5, 'timesteps').state,
    ];
    this.#noise = new RandomStream(noise);
    this.#timesteps = new RandomStream(timesteps);
    this.#order = new EpochOrder(7, 5, progress?.position);
  }

  get progress(): TrainingProgress {
    const randoms = [this.#noise.state, this.#timesteps.state];
    return { randoms, position: this.#order.position };
  }

  async steps(count: number): Promise<void> {
    const { parameters, optimizer, ema } = this.state;
    const accumulation = new GradientAccumulation(parameters, 2);
    for (let i = 0; i < count; i++) {
      await accumulation.add(this.#gradients());
      const gradients = await accumulation.add(this.#gradients());
      const gradientFactor = clippingFactor(await gradientNorm(gradients!), 2);
      const rate = learningRateAt(RATE, 0.05, optimizer.step);
      const average = ema && { state: ema, options: emaOptions() };
      const options = { gradientFactor, average };
      await adamWStep(parameters, gradients!, optimizer, rate, adamWOptions(), options);
    }
  }

  #gradients(): Map<string, Float32Array> {
    const [sample] = this.#order.next(1);
    const [timestep] = drawTimesteps(RANGES, 1, this.#timesteps);
    const target = sample / 7 - timestep / 300;
    const gradients = zerosLike(this.state.parameters);
    for (const [name, values] of this.state.parameters) {
      const noise = this.#noise.normals(values.length);
      gradients.get(name)!.set(values.map((x, i) => x - target + 0.3 * noise[i]));
    }
    return gradients;
  }
}

function freshState(): TrainingState {
  const parameters = startingParameters();
  const optimizer = createAdamWState(parameters);
  const extra = new Map([['range', Float32Array.of(-1, 1)]]);
  return { parameters, optimizer, ema: createEmaState(parameters), extra };
}

/** Saves the state of three steps of a run. */
async function withSaved(body: (path: string, run: ToyRun) => Promise<void>): Promise<void> {
  await inFolder(async (folder) => {
    const run = new ToyRun(freshState());
    await run.steps(3);
    const path = join(folder, 'state.safetensors');
    await saveTrainingState(path, run.state, run.progress, IDENTITY);
    await body(path, run);
  });
}

test('five steps, a file and five steps equal ten, bit for bit', async () => {
  await inFolder(async (folder) => {
    const path = join(folder, 'state.safetensors');
    const whole = new ToyRun(freshState());
    await whole.steps(10);

    const first = new ToyRun(freshState());
    await first.steps(5);
    first.state.extra!.get('range')![1] = 3.5;
    await saveTrainingState(path, first.state, first.progress, IDENTITY);
    const state = freshState();
    const second = new ToyRun(state, await loadTrainingState(path, state, IDENTITY));
    assert.equal(state.optimizer.step, 5);
    assert.deepEqual(state, first.state);
    await second.steps(5);

    state.extra!.get('range')![1] = 1;
    assert.deepEqual(second.state, whole.state);
    assert.deepEqual(second.progress, whole.progress);
    assert.notDeepEqual(whole.state.parameters, first.state.parameters);
    const files = [path, join(folder, 'whole.safetensors')];
    await saveTrainingState(files[0], second.state, second.progress, IDENTITY);
    await saveTrainingState(files[1], whole.state, whole.progress, IDENTITY);
    assert.deepEqual(await readFile(files[0]), await readFile(files[1]));
  });
});

test('a run without data and moving average is saved as well', async () => {
  await inFolder(async (folder) => {
    const path = join(folder, 'state.safetensors');
    const { parameters, optimizer } = freshState();
    await saveTrainingState(path, { parameters, optimizer }, { randoms: [] }, IDENTITY);
    const progress = await loadTrainingState(path, { parameters, optimizer }, IDENTITY);
    assert.deepEqual(progress, { randoms: [] });
    const refused = { code: 'invalid-checkpoint', message: /has no moving average/ };
    await assert.rejects(loadTrainingState(path, freshState(), IDENTITY), refused);
  });
});

test('the state of another run or model is refused and changes nothing', async () => {
  await withSaved(async (path, { state: { ema, ...averageless } }) => {
    assert.ok(ema);
    const refused = async (state: TrainingState, identity: string, code: string, text: RegExp) => {
      const before = structuredClone(state);
      await assert.rejects(loadTrainingState(path, state, identity), { code, message: text });
      assert.deepEqual(state, before);
    };
    await refused(freshState(), 'other', 'invalid-argument', /another model, data or options/);
    await refused(averageless, IDENTITY, 'invalid-checkpoint', /has a moving average/);
    const changed = (change: (parameters: Map<string, Float32Array>) => void) => {
      const parameters = startingParameters();
      change(parameters);
      return { ...freshState(), parameters };
    };
    const longer = changed((p) => p.set('tensor1', new Float32Array(8)));
    await refused(
      longer,
      IDENTITY,
      'invalid-checkpoint',
      /tensor1 as F32\[7\] instead of F32\[8\]/,
    );
    const more = changed((p) => p.set('tensor3', new Float32Array(8)));
    await refused(more, IDENTITY, 'invalid-checkpoint', /has no parameter\/tensor3/);
    const fewer = changed((p) => p.delete('tensor0'));
    await refused(fewer, IDENTITY, 'invalid-checkpoint', /holds 13 arrays instead of 12/);
  });
});

test('a damaged file is refused', async () => {
  await withSaved(async (path) => {
    const sound = await readFile(path);
    const rejects = (message: RegExp) =>
      assert.rejects(loadTrainingState(path, freshState(), IDENTITY), {
        code: 'invalid-checkpoint',
        message,
      });
    for (let length = 0; length < sound.length; length += 97) {
      await writeFile(path, sound.subarray(0, length));
      await rejects(/./);
    }
    const firstNumber = sound.length - 4 * (2 + 4 * 48);
    const step = sound.indexOf('optimizerStep\\":3') + 'optimizerStep\\":'.length;
    assert.equal(sound[step], '3'.charCodeAt(0));
    for (const at of [step, firstNumber, firstNumber + 401, sound.length - 1]) {
      const changed = Buffer.from(sound);
      changed[at] ^= 1;
      await writeFile(path, changed);
      await rejects(/was changed since it was written/);
    }
  });
});

test('a description that is not valid is refused with the place', async () => {
  await withSaved(async (path) => {
    const source = await openCheckpoint(path);
    const { training, ...rest } = source.metadata;
    await source.close();
    const rejects = async (metadata: Record<string, string>, message: RegExp) => {
      await writeSafetensors(path, [['x', f32([1], [0])]], { ...rest, ...metadata });
      const load = loadTrainingState(path, freshState(), IDENTITY);
      await assert.rejects(load, { code: 'invalid-checkpoint', message });
    };
    await rejects({}, /holds no state of training/);
    await rejects({ training: training.slice(1) }, /holds no state of training/);
    await rejects({ training: '{}' }, /not valid \(version/);
    await rejects({ training: training.replace('"noise"', '"luck"') }, /randoms\.0\.purpose/);
    await rejects({ training: training.replace('"taken":6', '"taken":-6') }, /position\.taken/);
    await rejects({ training: training.replace(/}$/, ',"more":1}') }, /more/);
    await rejects({ training }, /has no average\/tensor0/);
  });
});

test('what must not be saved leaves the old file as it was', async () => {
  await withSaved(async (path, { state, progress }) => {
    const before = await readFile(path);
    const refused = (randoms: TrainingProgress['randoms'], identity: string, code: string) =>
      assert.rejects(saveTrainingState(path, state, { ...progress, randoms }, identity), { code });
    await refused([{ ...progress.randoms[0], position: -1 }], IDENTITY, 'invalid-argument');
    await refused(progress.randoms, 'x'.repeat(10_001), 'invalid-argument');
    state.optimizer.secondMoments.get('tensor2')![0] = Number.NaN;
    await refused(progress.randoms, IDENTITY, 'non-finite');
    assert.deepEqual(await readFile(path), before);
    assert.deepEqual(await readdir(join(path, '..')), ['state.safetensors']);
  });
});
