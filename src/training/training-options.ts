import { BookendError } from '../core/errors.ts';
import { checkLearningRateSchedule, type LearningRateSchedule } from './learning-rate.ts';

/** How a network is trained, whatever it is trained for; pure data. */
export interface TrainingOptions {
  /** Optimizer steps in all. */
  readonly steps: number;
  /** Samples that the network sees at once. */
  readonly batchSize: number;
  /** Batches whose gradients are averaged for each optimizer step. Default 1. */
  readonly accumulation: number;
  /** After the warm-up. */
  readonly learningRate: number;
  /** Default `constant`. */
  readonly rateSchedule: LearningRateSchedule['kind'];
  /** Over which the learning rate rises from 0. Default 0. */
  readonly warmupSteps: number;
  /** The largest global norm of a gradient. Default 1. */
  readonly clipNorm: number;
  /** AdamW's. Default 0.01. */
  readonly weightDecay: number;
  /** Of the moving average of the parameters, which is what training gives; null: none is kept. */
  readonly emaDecay: number | null;
  /** How often a sample's text is replaced by the empty one. Default 0.1. */
  readonly conditioningDropout: number;
  /** γ of min-SNR weighting of the samples (Hang et al., 2023); null, the default: all weigh 1. */
  readonly minSnrGamma: number | null;
  /** Optimizer steps from one stored state to the next. Default 50. */
  readonly checkpointEvery: number;
  /** Of every random draw. Default 0. */
  readonly seed: number;
  /** What the products of the network in training are computed in. */
  readonly precision: 'fp32' | 'bf16';
}

const DEFAULTS = {
  accumulation: 1,
  rateSchedule: 'constant',
  warmupSteps: 0,
  clipNorm: 1,
  weightDecay: 0.01,
  emaDecay: 0.9999,
  conditioningDropout: 0.1,
  minSnrGamma: null,
  checkpointEvery: 50,
  seed: 0,
  precision: 'fp32',
} as const satisfies Partial<TrainingOptions>;

/** What has to be said; the rest has defaults. */
export type TrainingRequest = Partial<TrainingOptions> &
  Pick<TrainingOptions, 'steps' | 'batchSize' | 'learningRate'>;

/** @throws BookendError `invalid-argument` for numbers out of their ranges */
export function trainingOptions(request: TrainingRequest): TrainingOptions {
  const options = { ...DEFAULTS, ...onlyGiven(request) } as TrainingOptions;
  const { emaDecay, minSnrGamma } = options;
  for (const name of ['steps', 'batchSize', 'accumulation', 'checkpointEvery'] as const) {
    requireThat(name, options[name], isWhole(options[name]) && options[name] >= 1, 'at least 1');
  }
  requireThat('seed', options.seed, isWhole(options.seed), 'whole and not negative');
  requireThat('learningRate', options.learningRate, options.learningRate > 0, 'positive');
  requireThat('clipNorm', options.clipNorm, options.clipNorm > 0, 'positive');
  requireThat('weightDecay', options.weightDecay, options.weightDecay >= 0, 'not negative');
  const { conditioningDropout: dropout } = options;
  requireThat('conditioningDropout', dropout, dropout >= 0 && dropout <= 1, 'from 0 to 1');
  if (emaDecay !== null) {
    requireThat('emaDecay', emaDecay, emaDecay >= 0 && emaDecay <= 1, 'from 0 to 1');
  }
  if (minSnrGamma !== null) requireThat('minSnrGamma', minSnrGamma, minSnrGamma > 0, 'positive');
  checkLearningRateSchedule(rateScheduleOf(options));
  return options;
}

export function rateScheduleOf({
  rateSchedule: kind,
  warmupSteps,
  steps,
}: TrainingOptions): LearningRateSchedule {
  return kind === 'constant' ? { kind, warmupSteps } : { kind, warmupSteps, totalSteps: steps };
}

function onlyGiven(request: TrainingRequest): Partial<TrainingOptions> {
  return Object.fromEntries(Object.entries(request).filter(([, value]) => value !== undefined));
}

const isWhole = (x: number) => Number.isSafeInteger(x) && x >= 0;

function requireThat(name: string, value: number, isSound: boolean, range: string): void {
  if (isSound && Number.isFinite(value)) return;
  throw new BookendError('invalid-argument', `${name} is ${value}; it must be ${range}.`);
}
