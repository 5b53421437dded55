import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSchedule, resolveSchedule } from '../quantization/precision-schedule.ts';
import { createScheduler } from '../schedulers/index.ts';
import { RandomStream } from './random-stream.ts';
import {
  allTimesteps,
  drawTimesteps,
  type TimestepRange,
  timestepsOfEvaluations,
} from './timestep-sampling.ts';

const STABLE_DIFFUSION = {
  _class_name: 'DDIMScheduler',
  beta_schedule: 'scaled_linear',
  beta_start: 0.00085,
  beta_end: 0.012,
  steps_offset: 1,
};

/** The ranges that a precision schedule in text gives to INT8 in a run of a named sampler. */
function int8Ranges(
  schedule: string,
  sampler: Parameters<typeof createScheduler>[0],
  steps: number,
) {
  const { timesteps } = createScheduler(sampler, STABLE_DIFFUSION).plan(steps);
  const parsed = parseSchedule(schedule);
  assert.ok(parsed.kind !== 'auto');
  const precisions = resolveSchedule(parsed, Array(timesteps.length).fill(1));
  const isInt8 = precisions.map((precision) => precision === 'int8');
  return { timesteps, isInt8, ranges: timestepsOfEvaluations(timesteps, isInt8, 1000) };
}

const contains = (ranges: readonly TimestepRange[], t: number) =>
  ranges.some(({ from, to }) => from <= t && t < to);

test('a mixed schedule of DDIM gives the middle to INT8', () => {
  // 10 steps lie at 901, 801, … 1; the first and last two are not INT8.
  const { ranges } = int8Ranges('bf16x2,int8x*,bf16x2', 'ddim', 10);
  assert.deepEqual(ranges, [{ from: 151, to: 751 }]);
});

for (const sampler of ['ddim', 'pndm', 'euler', 'dpmpp-2m-karras', 'unipc'] as const) {
  for (const schedule of ['int8x7,bf16x*', 'bf16,int8x2,fp32x3,int8,bf16x*']) {
    test(`every timestep goes to the nearest evaluation: ${sampler}, ${schedule}`, () => {
      const { timesteps, isInt8, ranges } = int8Ranges(schedule, sampler, 20);
      for (let t = 0; t < 1000; t++) {
        const nearest = Math.min(...timesteps.map((other) => Math.abs(other - t)));
        const choices = timesteps.flatMap((other, i) =>
          Math.abs(other - t) === nearest ? [isInt8[i]] : [],
        );
        const isIn = contains(ranges, t);
        assert.ok(choices.includes(isIn), `timestep ${t}: ${isIn}`);
      }
      for (const [i, { from, to }] of ranges.entries()) {
        assert.ok(from < to && (i === 0 || ranges[i - 1].to < from), JSON.stringify(ranges));
      }
    });
  }
}

test('one precision throughout gives all timesteps', () => {
  const { ranges } = int8Ranges('int8x*', 'ddim', 50);
  assert.deepEqual(ranges, allTimesteps(1000));
});

test('halfway goes to the noisier evaluation, and equal timesteps share theirs', () => {
  assert.deepEqual(timestepsOfEvaluations([4, 0], [true, false], 10), [{ from: 2, to: 10 }]);
  assert.deepEqual(timestepsOfEvaluations([5, 0], [false, true], 10), [{ from: 0, to: 3 }]);
  const repeated = timestepsOfEvaluations([8, 4, 4, 0], [false, true, false, false], 10);
  assert.deepEqual(repeated, [{ from: 2, to: 6 }]);
});

test('all timesteps of the ranges are drawn about equally often, and no other', () => {
  const ranges = [
    { from: 2, to: 4 },
    { from: 7, to: 8 },
    { from: 9, to: 12 },
  ];
  const drawn = drawTimesteps(ranges, 6000, RandomStream.start(11, 'timesteps'));
  const counts = new Map<number, number>();
  for (const t of drawn) counts.set(t, (counts.get(t) ?? 0) + 1);
  assert.deepEqual(
    [...counts.keys()].sort((a, b) => a - b),
    [2, 3, 7, 9, 10, 11],
  );
  // Five standard deviations of a binomial of 6000 draws at 1/6.
  for (const count of counts.values()) assert.ok(Math.abs(count - 1000) < 145, `${count}`);
});

test('draws go on where the state says', () => {
  const ranges = allTimesteps(1000);
  const whole = drawTimesteps(ranges, 8, RandomStream.start(1, 'timesteps'));
  const first = RandomStream.start(1, 'timesteps');
  const parts = drawTimesteps(ranges, 3, first);
  parts.push(...drawTimesteps(ranges, 5, new RandomStream(first.state)));
  assert.deepEqual(parts, whole);
});

test('runs that do not fit are refused', () => {
  const refused = (timesteps: number[], chosen: boolean[], message: RegExp) =>
    assert.throws(() => timestepsOfEvaluations(timesteps, chosen, 10), {
      code: 'invalid-argument',
      message,
    });
  refused([5], [true, false], /1 timesteps and 2 choices/);
  refused([10], [true], /from 0 to 9/);
  refused([Number.NaN], [true], /from 0 to 9/);
  refused([5, 1], [false, false], /None of the 2/);
  refused([], [], /None of the 0/);
});
