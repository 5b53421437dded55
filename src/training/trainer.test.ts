import assert from 'node:assert/strict';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { BookendError } from '../core/errors.ts';
import { sharedFloats } from '../runtime/native/shared-floats.ts';
import { RandomStream } from './random-stream.ts';
import { type TrainingTask, train } from './trainer.ts';
import type { TrainingEvent } from './training-event.ts';
import { type TrainingRequest, trainingOptions } from './training-options.ts';

const folder = await mkdtemp(join(tmpdir(), 'bookend-trainer-'));
after(() => rm(folder, { recursive: true }));

const LENGTH = 5;

/** Brings noisy draws of (x − 3)² down, and counts its batches beside. */
class Parabola implements TrainingTask {
  readonly parameters = new Map([['x', sharedFloats(LENGTH)]]);
  readonly gradients = new Map([['x', sharedFloats(LENGTH)]]);
  #noise = RandomStream.start(7, 'noise');
  #batches = Float32Array.of(0);
  breakAt = Number.POSITIVE_INFINITY;

  async computeGradients(step: number) {
    const noise = this.#noise.normals(LENGTH);
    const x = this.parameters.get('x')!;
    const errors = x.map((value, i) => value - 3 + 0.1 * noise[i]);
    this.gradients.get('x')!.set(errors.map((error) => 2 * error));
    this.#batches[0]++;
    const loss = errors.reduce((sum, error) => sum + error * error, 0);
    return { loss: step === this.breakAt ? Number.NaN : loss, targetLoss: loss };
  }

  progress() {
    return { randoms: [this.#noise.state] };
  }

  extra() {
    return new Map([['batches', this.#batches]]);
  }

  restore({ randoms }: ReturnType<Parabola['progress']>, extra: ReadonlyMap<string, Float32Array>) {
    this.#noise = new RandomStream(randoms[0]);
    this.#batches = extra.get('batches')!.slice();
  }
}

const REQUEST: TrainingRequest = { steps: 12, batchSize: 1, learningRate: 0.3, checkpointEvery: 5 };

async function run(
  name: string,
  {
    request = REQUEST,
    resume = false,
    task = new Parabola(),
    signal,
    onEvent,
  }: {
    request?: TrainingRequest;
    resume?: boolean;
    task?: Parabola;
    signal?: AbortSignal;
    onEvent?: (event: TrainingEvent) => void;
  } = {},
) {
  const events: TrainingEvent[] = [];
  const trained = await train(task, trainingOptions(request), {
    path: join(folder, name),
    identity: 'parabola',
    resume,
    signal,
    onEvent: (event) => {
      events.push(event);
      onEvent?.(event);
    },
  });
  return { trained, events, batches: task.extra().get('batches')![0] };
}

const lossesOf = (events: readonly TrainingEvent[]) =>
  events.flatMap((event) => (event.kind === 'step' ? [event.loss] : []));

test('the loss falls, and the state is stored as often as asked', async () => {
  const { trained, events } = await run('falls', { request: { ...REQUEST, emaDecay: null } });
  const losses = lossesOf(events);
  assert.equal(losses.length, REQUEST.steps);
  assert.ok(losses.at(-1)! < 0.05 * losses[0], `${losses}`);
  const stored = events.flatMap((event) => (event.kind === 'checkpoint' ? [event.step] : []));
  assert.deepEqual(stored, [5, 10, 12]);
  assert.equal(trained.result, trained.parameters);
});

test('the result is the moving average where one is kept', async () => {
  const { trained } = await run('average');
  const [average, last] = [trained.result.get('x')!, trained.parameters.get('x')!];
  assert.equal(trained.result, trained.ema!.average);
  assert.ok(average[0] !== last[0] && average[0] > 0);
});

for (const accumulation of [1, 3]) {
  test(`stopped anywhere, ${accumulation} batches a step, it goes on bit for bit`, async () => {
    const request = { ...REQUEST, accumulation, rateSchedule: 'cosine', warmupSteps: 2 } as const;
    const whole = await run(`whole-${accumulation}`, { request });
    const losses: number[] = [];
    const name = `stopped-${accumulation}`;
    let last: Awaited<ReturnType<typeof run>> | undefined;
    for (let turn = 0; !last; turn++) {
      const controller = new AbortController();
      const onEvent = (event: TrainingEvent) => {
        if (event.kind === 'step') losses.push(event.loss);
        if (event.kind === 'step' && event.step % 4 === turn % 4) controller.abort();
      };
      const { signal } = controller;
      try {
        last = await run(name, { request, resume: turn > 0, signal, onEvent });
      } catch (error) {
        assert.ok(error instanceof BookendError && error.code === 'aborted', String(error));
        assert.match(error.message, /resume/);
      }
    }
    assert.deepEqual(losses, lossesOf(whole.events));
    assert.deepEqual(last.trained.result, whole.trained.result);
    assert.deepEqual(last.trained.optimizer, whole.trained.optimizer);
    assert.equal(last.batches, whole.batches);
  });
}

test('accumulated gradients are those of the mean over batches', async () => {
  const { events, batches } = await run('accumulated', {
    request: { ...REQUEST, accumulation: 2 },
  });
  const { events: single } = await run('single');
  assert.equal(batches, 2 * REQUEST.steps);
  const [first, second] = lossesOf(single);
  assert.notEqual(lossesOf(events)[0], first);
  assert.notEqual(lossesOf(events)[0], second);
});

test('a loss that is no number stops it, and the state on disk stays', async () => {
  const task = new Parabola();
  task.breakAt = 7;
  await assert.rejects(run('broken', { task }), { code: 'non-finite', message: /step 8 is NaN/ });
  const before = await stat(join(folder, 'broken'));
  const { events } = await run('broken', { resume: true });
  assert.deepEqual(events[0], { kind: 'resumed', step: 5 });
  assert.ok(before.size > 0);
});

test('options out of their ranges are refused', () => {
  for (const wrong of [
    { steps: 0 },
    { batchSize: 1.5 },
    { learningRate: -1 },
    { learningRate: Number.NaN },
    { clipNorm: 0 },
    { emaDecay: 2 },
    { conditioningDropout: -0.1 },
    { accumulation: 0 },
    { seed: -1 },
    { minSnrGamma: 0 },
    { rateSchedule: 'cosine', warmupSteps: 12 },
  ] as const) {
    assert.throws(() => trainingOptions({ ...REQUEST, ...wrong }), { code: 'invalid-argument' });
  }
});
