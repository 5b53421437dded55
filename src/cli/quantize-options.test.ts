import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Command } from 'commander';
import {
  addQuantizeOptions,
  checkQuantizeOptions,
  type QuantizeOptions,
} from './quantize-options.ts';
import {
  FINE_TUNING,
  FROM_SCRATCH,
  QUANTIZING,
  resumeCommand,
  trainingRequest,
} from './training-options.ts';

/** What a command line comes to. */
function parse(...args: string[]): QuantizeOptions {
  const command = new Command('quantize')
    .argument('<model>')
    .exitOverride()
    .configureOutput({ writeErr: () => undefined });
  const trainingOnly = addQuantizeOptions(command);
  command.parse(['model', '--out', 'out', ...args], { from: 'user' });
  const options = command.opts<QuantizeOptions>();
  checkQuantizeOptions(command, options, trainingOnly);
  return options;
}

const QAT = ['--method', 'qat'];
const DATA = [...QAT, '--data', 'pictures'];

test('steps are those of training with qat, and of calibration without', () => {
  assert.deepEqual([parse('--steps', '9').steps, parse().calibrationSteps], [9, undefined]);
  const options = parse(...DATA, '-s', '300', '-b', '4', '--learning-rate', '1e-5');
  const { steps, batchSize, learningRate } = trainingRequest(options, QUANTIZING);
  assert.deepEqual([steps, batchSize, learningRate], [300, 4, 1e-5]);
  const both = parse(...DATA, '--steps', '20', '--calibration-steps', '10');
  assert.deepEqual([both.steps, both.calibrationSteps], [20, 10]);
});

test('without a word a training is that of the paper, its rate falling in the end', () => {
  const training = trainingRequest(parse(...DATA), QUANTIZING);
  const { steps, batchSize, learningRate, rateSchedule, warmupSteps, clipNorm } = training;
  assert.deepEqual(
    [steps, batchSize, learningRate, rateSchedule, warmupSteps, clipNorm],
    [300, 4, 1e-5, 'cosine', 20, 1],
  );
  const given = parse(...DATA, '--rate-schedule', 'constant', '--warmup-steps', '3');
  assert.equal(trainingRequest(given, QUANTIZING).rateSchedule, 'constant');
  assert.equal(trainingRequest(given, QUANTIZING).warmupSteps, 3);
  assert.equal(trainingRequest(parse(...DATA), FINE_TUNING).warmupSteps, 0);
  assert.equal(trainingRequest(parse(...DATA), FROM_SCRATCH).learningRate, 1e-4);
  assert.equal(trainingRequest(parse(...DATA, '--no-ema'), QUANTIZING).emaDecay, null);
});

test('the weight of distillation is a number or infinity', () => {
  assert.equal(parse(...DATA, '--distillation', 'inf').distillation, Number.POSITIVE_INFINITY);
  assert.equal(parse(...DATA, '--distillation', '0.5').distillation, 0.5);
  for (const text of ['-1', 'much', '', 'NaN']) {
    assert.throws(() => parse(...DATA, '--distillation', text), /from 0 on, or inf/);
  }
});

test('options that have no effect or contradict one another are refused', () => {
  const refusals: readonly [args: readonly string[], says: RegExp][] = [
    [['--data', 'pictures'], /^--data goes with --method qat/],
    [['--resume'], /^--resume goes with --method qat/],
    [['--no-ema'], /^--no-ema goes with --method qat/],
    [['-k', '3'], /^--high-precision-steps goes with --method qat/],
    [['--steps', '9', '--calibration-steps', '9'], /--steps and --calibration-steps/],
    [QAT, /nothing to learn from.*--data-free/],
    [[...DATA, '--data-free'], /--data and --data-free/],
    [[...DATA, '--trajectories', '3'], /--trajectories goes with --data-free/],
    [[...QAT, '--data-free', '--distillation', '1'], /--distillation 1 has nothing/],
    [[...QAT, '--data-free', '--size', '64'], /^--size is about images/],
    [[...DATA, '--freeze-step', '5'], /^--freeze-step goes with --scales moving/],
    [[...DATA, '--timesteps', 'all', '-k', '3'], /^-k has no effect/],
    [[...DATA, '--timesteps', 'all', '--schedule', 'int8'], /^--schedule has no effect/],
    [[...DATA, '--schedule', 'int8', '-k', '3'], /^-k and --schedule/],
    [[...DATA, '--no-ema', '--ema-decay', '0.9'], /^--ema-decay and --no-ema/],
  ];
  for (const [args, says] of refusals) {
    assert.throws(
      () => parse(...args),
      { code: 'invalid-argument', message: says },
      args.join(' '),
    );
  }
});

test('the command to go on with can be pasted into a shell', () => {
  const args = ['quantize', './my model', '--out', "it's", '--schedule', 'int8@0.5..7,bf16'];
  const expected = `bookend quantize './my model' --out 'it'\\''s' --schedule int8@0.5..7,bf16 --resume`;
  assert.equal(resumeCommand(args), expected);
  assert.equal(resumeCommand([...args, '--resume']), expected);
});
