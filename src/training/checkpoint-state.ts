import { createHash } from 'node:crypto';
import { z } from 'zod';
import { BookendError } from '../core/errors.ts';
import type { Tensor } from '../core/tensor.ts';
import { openCheckpoint } from '../io/checkpoint.ts';
import { writeSafetensors } from '../io/safetensors.ts';
import type { TensorSource } from '../io/tensor-source.ts';
import type { AdamWState } from './adamw.ts';
import type { EpochPosition } from './dataset/epoch-order.ts';
import type { EmaState } from './ema.ts';
import { allFinite, type NamedArrays } from './named-arrays.ts';
import { type RandomState, randomPurposes } from './random-stream.ts';

/** What training changes in place; optimizer steps done are those of `optimizer`. */
export interface TrainingState {
  readonly parameters: NamedArrays;
  readonly optimizer: AdamWState;
  readonly ema?: EmaState;
  /** Whatever else a run keeps, such as the ranges of observers. */
  readonly extra?: NamedArrays;
}

/** Where the run's draws and its data stand. */
export interface TrainingProgress {
  readonly randoms: readonly RandomState[];
  /** Absent for training without data. */
  readonly position?: EpochPosition;
}

const VERSION = 1;
const MAX_IDENTITY = 10_000;
const whole = z.int().min(0);

const schema = z.strictObject({
  version: z.literal(VERSION),
  identity: z.string().max(MAX_IDENTITY),
  optimizerStep: whole,
  emaStep: whole.nullable(),
  randoms: z
    .array(
      z.strictObject({
        seed: whole,
        purpose: z.enum(randomPurposes),
        index: whole.max(2 ** 32 - 1),
        position: whole,
      }),
    )
    .max(100),
  position: z.strictObject({ epoch: whole, taken: whole }).nullable(),
});
type Description = z.infer<typeof schema>;

/**
 * Writes all that a run needs to go on bit for bit, between two optimizer steps: one safetensors
 * file with the arrays and, in its metadata, a JSON text (`training`) and a SHA-256 of both. What was
 * at `path` stays whole until the new file is.
 *
 * @param identity what the run depends on and does not change: model, data, options; a hash of them
 * or a text of at most 10,000 characters
 * @throws BookendError `io`; `non-finite` where an array holds NaN or infinity, with the old file
 * untouched; `invalid-argument`
 */
export async function saveTrainingState(
  path: string,
  state: TrainingState,
  progress: TrainingProgress,
  identity: string,
): Promise<void> {
  const arrays = arraysOf(state);
  for (const [name, data] of arrays) {
    if (!allFinite(data)) {
      throw new BookendError(
        'non-finite',
        `${name} holds NaN or infinity, so it is not written to ${path}; go on from the last checkpoint with a lower learning rate.`,
      );
    }
  }
  const description = schema.safeParse({
    version: VERSION,
    identity,
    optimizerStep: state.optimizer.step,
    emaStep: state.ema?.step ?? null,
    randoms: progress.randoms,
    position: progress.position ?? null,
  });
  if (!description.success) {
    throw new BookendError(
      'invalid-argument',
      `The state of training cannot be written to ${path} (${firstIssue(description.error)}); pass whole numbers that are not negative and an identity of at most ${MAX_IDENTITY} characters.`,
    );
  }
  const training = JSON.stringify(description.data);
  const hash = createHash('sha256').update(training);
  for (const [name, data] of arrays) hash.update(name).update(bytesOf(data));
  const tensors = arrays.map(([name, data]): [string, Tensor] => [
    name,
    { dtype: 'f32', shape: [data.length], data },
  ]);
  await writeSafetensors(path, tensors, { training, sha256: hash.digest('hex') });
}

/**
 * Reads a file of `saveTrainingState` into the arrays of `state`, which are made for the same model.
 * Everything but the numbers themselves is checked before the first array is filled; damage to
 * those is found at the end, and `state` is then of no use.
 *
 * @throws BookendError `not-found`, `io`, `invalid-checkpoint`; `invalid-argument` for the state of
 * another run
 */
export async function loadTrainingState(
  path: string,
  state: TrainingState,
  identity: string,
): Promise<TrainingProgress> {
  const source = await openCheckpoint(path);
  try {
    const description = readDescription(source);
    if (description.identity !== identity) {
      throw new BookendError(
        'invalid-argument',
        `${path} is the state of a run with another model, data or options; resume with those it began with or start afresh.`,
      );
    }
    if ((description.emaStep === null) !== (state.ema === undefined)) {
      throw invalid(path, `has ${description.emaStep === null ? 'no' : 'a'} moving average`);
    }
    const arrays = arraysOf(state);
    checkTensors(source, arrays);
    await fill(source, arrays);
    state.optimizer.step = description.optimizerStep;
    if (state.ema && description.emaStep !== null) state.ema.step = description.emaStep;
    const { randoms, position } = description;
    return position ? { randoms, position } : { randoms };
  } finally {
    await source.close();
  }
}

/** All arrays by their names in the file, sorted. */
function arraysOf({ parameters, optimizer, ema, extra }: TrainingState): [string, Float32Array][] {
  const groups: Record<string, NamedArrays | undefined> = {
    average: ema?.average,
    extra,
    first_moment: optimizer.firstMoments,
    parameter: parameters,
    second_moment: optimizer.secondMoments,
  };
  const arrays: [string, Float32Array][] = [];
  for (const [group, members] of Object.entries(groups)) {
    for (const [name, data] of members ?? []) arrays.push([`${group}/${name}`, data]);
  }
  return arrays.sort(([a], [b]) => (a < b ? -1 : 1));
}

function readDescription({ origin, metadata }: TensorSource): Description {
  let json: unknown;
  try {
    json = JSON.parse(metadata.training ?? '');
  } catch (error) {
    throw invalid(origin, 'holds no state of training', error);
  }
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  throw invalid(origin, `has a state of training that is not valid (${firstIssue(result.error)})`);
}

function checkTensors(source: TensorSource, arrays: readonly [string, Float32Array][]): void {
  for (const [name, { length }] of arrays) {
    if (!source.has(name)) throw invalid(source.origin, `has no ${name}`);
    const { dtype, shape } = source.locate(name);
    if (dtype !== 'F32' || shape.length !== 1 || shape[0] !== length) {
      const found = `${dtype}[${shape.join(', ')}]`;
      throw invalid(source.origin, `holds ${name} as ${found} instead of F32[${length}]`);
    }
  }
  const count = source.names().length;
  if (count !== arrays.length) {
    throw invalid(source.origin, `holds ${count} arrays instead of ${arrays.length}`);
  }
}

async function fill(
  source: TensorSource,
  arrays: readonly [string, Float32Array][],
): Promise<void> {
  const hash = createHash('sha256').update(source.metadata.training);
  for (const [name, data] of arrays) {
    data.set((await source.read(name)).data);
    hash.update(name).update(bytesOf(data));
  }
  if (hash.digest('hex') !== source.metadata.sha256) {
    throw invalid(source.origin, 'was changed since it was written');
  }
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

function firstIssue(error: z.ZodError): string {
  const [{ path, message }] = error.issues;
  return `${path.join('.') || 'the whole'}: ${message.slice(0, 200)}`;
}

function invalid(origin: string, what: string, cause?: unknown): BookendError {
  return new BookendError(
    'invalid-checkpoint',
    `${origin} ${what}; resume from another checkpoint of this run or start afresh.`,
    { cause },
  );
}
