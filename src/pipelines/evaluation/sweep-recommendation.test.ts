import assert from 'node:assert/strict';
import { test } from 'node:test';
import { summarize } from '../../evaluation/statistics.ts';
import type { Precision } from '../../quantization/precision-schedule.ts';
import type { PrecisionSensitivity } from '../../quantization/sensitivity.ts';
import {
  defaultTarget,
  foretellSchedule,
  type MeasuredSetting,
  recommend,
} from './sweep-recommendation.ts';

const STEPS = 4;
const uniform = (precision: Precision) => Array<Precision>(STEPS).fill(precision);
const setting = (
  name: string,
  schedule: readonly Precision[],
  psnr: number | undefined,
  seconds: number,
): MeasuredSetting => {
  const quality =
    psnr === undefined ? { equal: 2 } : { psnr: summarize([psnr - 1, psnr + 1]), equal: 0 };
  return { name, schedule, quality, seconds };
};
const mixed: readonly Precision[] = ['bf16', 'int8', 'int8', 'bf16'];
const SETTINGS = [
  setting('fp32', uniform('fp32'), undefined, 4),
  setting('bf16', uniform('bf16'), 50, 2),
  setting('mixed-k1', mixed, 45, 1.5),
  setting('int8', uniform('int8'), 30, 1),
];

test('the fastest setting that reaches the target is recommended', () => {
  const cases = [
    { target: 20, name: 'int8' },
    { target: 40, name: 'mixed-k1' },
    { target: 48, name: 'bf16' },
    { target: 60, name: 'fp32' },
  ];
  for (const { target, name } of cases) {
    const { why, ...found } = recommend(STEPS, SETTINGS, target);
    assert.deepEqual([found.name, found.target], [name, target]);
    assert.ok(why.startsWith(`At 4 steps ${name}`), why);
  }
  const { why } = recommend(STEPS, SETTINGS, 40);
  assert.match(why, /\(bf16x1,int8x2,bf16x1\): of the 4 .* least 40\.0 dB .* 45\.0 dB in 1\.50 s/);
});

test('without a target, the middle of the settings is to be reached', () => {
  assert.equal(defaultTarget(SETTINGS), 40);
  const equal = SETTINGS.map((one) => ({ ...one, quality: { equal: 2 } }));
  assert.equal(defaultTarget(equal), undefined);
  const found = recommend(STEPS, equal, undefined);
  assert.equal(found.name, 'int8');
  assert.match(found.why, /fastest which all draw the images of FP32, with no difference/);
});

/** The last step makes all of the error that can be told from the floor. */
const SENSITIVITY: PrecisionSensitivity = {
  points: [
    { angle: 1.2, amplitude: 0.0001 },
    { angle: 0.2, amplitude: 0.5 },
  ],
  exponent: 2,
  floor: 0.01,
  int8Psnr: 20,
  conditions: { scheduler: 'ddim', steps: 4, guidanceScale: 1, width: 8, height: 8, prompts: 1 },
};

test('a schedule is foretold to FP32: from what high precision reaches there, not the floor', () => {
  const request = {
    sensitivity: SENSITIVITY,
    sigmas: [10, 5, 2.5, 0.2],
    evaluations: { bf16: [2, 2.2, 9], int8: [1, 1, 1] },
    high: 'bf16',
    highQuality: SETTINGS[1].quality,
  } as const;
  const found = foretellSchedule({ ...request, target: 45 });
  assert.equal(found.schedule.at(-1), 'bf16');
  assert.ok(found.schedule.includes('int8'));
  // The floor alone is 40 dB.
  assert.ok(found.psnr! >= 45 && found.psnr! < 50, `${found.psnr} dB`);
  assert.deepEqual(foretellSchedule({ ...request, target: 51 }), { schedule: uniform('bf16') });
  const unknown = { ...request, highQuality: undefined, target: 45 };
  assert.deepEqual(foretellSchedule(unknown), { schedule: uniform('bf16') });
  const slow = { ...request, evaluations: { bf16: [1], int8: [2] }, target: 20 };
  assert.deepEqual(foretellSchedule(slow), { schedule: uniform('bf16') });
});

test('a recommendation says whether the step sensitivity was right', () => {
  const foretold = { schedule: mixed, psnr: 44 };
  const right = recommend(STEPS, SETTINGS, 40, foretold);
  assert.match(right.why, /suggested bf16x1,int8x2,bf16x1, .* give 44\.0 dB and gave 45\.0 dB\.$/);
  assert.deepEqual(right.foretold, { schedule: 'bf16x1,int8x2,bf16x1', psnr: 44 });
  const none = recommend(STEPS, SETTINGS, 40, { schedule: uniform('bf16') });
  assert.match(none.why, /no schedule with INT8 would reach that and be faster\.$/);
});
