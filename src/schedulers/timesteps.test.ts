import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { BookendError } from '../core/errors.ts';
import { schedulerFromConfig } from './index.ts';
import { linspace, roundHalfEven, spacedTimesteps } from './timesteps.ts';

const golden: Record<string, number[]> = JSON.parse(
  readFileSync(new URL('../../test/golden/schedulers/spacing.json', import.meta.url), 'utf8'),
);

for (const [title, checksums] of Object.entries(golden)) {
  test(`${title} spacing has the recorded timesteps for every number of steps`, () => {
    const [className, spacing] = title.split(' ');
    const scheduler = schedulerFromConfig({ _class_name: className, timestep_spacing: spacing });
    checksums.forEach((expected, i) => {
      const { timesteps } = scheduler.plan(i + 1);
      const sum = timesteps.reduce((total, t, k) => total + t * (k + 1), 0);
      assert.equal(sum, expected, `${i + 1} steps`);
    });
  });
}

test('trailing spacing never has more timesteps than asked for, nor one below zero', () => {
  const options = {
    num_train_timesteps: 1000,
    timestep_spacing: 'trailing',
    steps_offset: 0,
  } as const;
  for (let count = 1; count <= 1000; count++) {
    const timesteps = spacedTimesteps(options, count);
    assert.equal(timesteps.length, count);
    assert.ok(
      timesteps.every((t) => t >= 0 && t < 1000),
      `${count} steps`,
    );
  }
});

test('leading spacing refuses steps beyond the training timesteps', () => {
  const options = {
    num_train_timesteps: 10,
    timestep_spacing: 'leading',
    steps_offset: 1,
  } as const;
  assert.deepEqual(spacedTimesteps(options, 5), [9, 7, 5, 3, 1]);
  assert.throws(
    () => spacedTimesteps(options, 10),
    (error) => error instanceof BookendError && error.code === 'invalid-argument',
  );
});

test('halves round to even, and evenly spaced numbers include both ends', () => {
  assert.deepEqual([0.5, 1.5, 2.5, 499.5, 2.4, 2.6].map(roundHalfEven), [0, 2, 2, 500, 2, 3]);
  assert.deepEqual(linspace(0, 1, 5), [0, 0.25, 0.5, 0.75, 1]);
  assert.deepEqual(linspace(3, 9, 1), [3]);
});
