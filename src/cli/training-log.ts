import {
  closeSync,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readFileSync,
  writeSync,
} from 'node:fs';
import { z } from 'zod';
import { BookendError } from '../core/errors.ts';
import { asIoError, systemCode } from '../io/io-error.ts';

const positive = z.int().min(1);

/** What a line of the log holds, in this order. Losses are means over the step's samples. */
const schema = z.strictObject({
  /** Optimizer steps, from 1. */
  step: positive,
  loss: z.number(),
  /** The error to what the data say; absent without data. */
  targetLoss: z.number().optional(),
  /** The error to the original model's answer, before its weight; absent without a teacher. */
  teacherLoss: z.number().optional(),
  /** Before clipping. */
  gradientNorm: z.number(),
  learningRate: z.number(),
  /** The step's time. */
  seconds: z.number().min(0),
});

/** One optimizer step in the log. */
export type TrainingRecord = Readonly<z.infer<typeof schema>>;

/** A step takes about 200 bytes, so this is more than a million of them. */
const MAX_BYTES = 256_000_000;

/**
 * `train.jsonl`: one JSON object on a line for each optimizer step. Every line is on the disk before
 * `append` returns. A run that goes on from a stored state cuts off the lines of later steps, which
 * will be taken again, so the file is as if the run had never been interrupted.
 *
 * Synchronous, because it is written from a listener; a line takes less than the disk's own time.
 */
export class TrainingLog {
  readonly path: string;
  readonly #file: number;
  readonly #records: TrainingRecord[];
  #size: number;

  private constructor(path: string, file: number, records: TrainingRecord[], size: number) {
    this.path = path;
    this.#file = file;
    this.#records = records;
    this.#size = size;
  }

  /**
   * Opens the log of a run, or begins one.
   *
   * @param stepsDone how many optimizer steps the run has behind it; lines of later ones are cut off
   * @throws BookendError `io`; `invalid-checkpoint` where the earlier lines are not what such a run
   * has written, with the file untouched
   */
  static open(path: string, stepsDone: number): TrainingLog {
    let file: number | undefined;
    try {
      requireRegular(path);
      file = openSync(path, 'a+', 0o666);
      const { records, bytes } = readRecords(path, file, stepsDone);
      ftruncateSync(file, bytes);
      return new TrainingLog(path, file, records, bytes);
    } catch (error) {
      if (file !== undefined) closeSync(file);
      throw asIoError('write', path, error);
    }
  }

  /** Of all steps in the file, those of earlier runs included. */
  get records(): readonly TrainingRecord[] {
    return this.#records;
  }

  /** @throws BookendError `io`, with the file as it was before */
  append(record: TrainingRecord): void {
    const line = Buffer.from(`${JSON.stringify(schema.parse(record))}\n`);
    try {
      // A disk that fills up takes a part of the line and refuses the rest.
      for (let sent = 0; sent < line.length; ) sent += writeSync(this.#file, line, sent);
      fdatasyncSync(this.#file);
    } catch (error) {
      ftruncateSync(this.#file, this.#size);
      throw asIoError('write', this.path, error);
    }
    this.#size += line.length;
    this.#records.push(record);
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** A pipe would block the process, and a link lead out of the folder. */
function requireRegular(path: string): void {
  try {
    if (lstatSync(path).isFile()) return;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return;
    throw error;
  }
  throw new BookendError(
    'io',
    `Cannot write ${path}: something that is no regular file is in its place; move it away.`,
  );
}

/** The records of the first steps, and how many bytes of the file they take. */
function readRecords(
  path: string,
  file: number,
  stepsDone: number,
): { records: TrainingRecord[]; bytes: number } {
  if (stepsDone === 0) return { records: [], bytes: 0 };
  const { size } = fstatSync(file);
  if (size > MAX_BYTES) throw damaged(path, `has ${size} bytes, more than a log may have`);
  const content = readFileSync(file);
  const records: TrainingRecord[] = [];
  let bytes = 0;
  while (bytes < content.length && (records.at(-1)?.step ?? 0) < stepsDone) {
    const end = content.indexOf('\n', bytes);
    const line = content.toString('utf8', bytes, end < 0 ? content.length : end);
    const record = end < 0 ? undefined : parseRecord(line);
    const expected = records.length === 0 ? undefined : records[records.length - 1].step + 1;
    if (record && expected === undefined && record.step > stepsDone) break;
    if (!record || record.step !== (expected ?? record.step)) {
      const where = `line ${records.length + 1}`;
      const what = expected === undefined ? 'a step' : `step ${expected}`;
      throw damaged(path, `has ${quote(line)} in ${where} instead of the record of ${what}`);
    }
    records.push(record);
    bytes = end + 1;
  }
  const last = records.at(-1)?.step;
  if (last !== undefined && last < stepsDone) {
    throw damaged(path, `ends at step ${last}, and the state of training is at ${stepsDone}`);
  }
  return { records, bytes };
}

function parseRecord(line: string): TrainingRecord | undefined {
  try {
    return schema.safeParse(JSON.parse(line)).data;
  } catch {
    // No JSON at all.
    return undefined;
  }
}

function quote(line: string): string {
  return JSON.stringify(line.length > 80 ? `${line.slice(0, 80)}…` : line);
}

function damaged(path: string, what: string): BookendError {
  return new BookendError(
    'invalid-checkpoint',
    `${path} ${what}; move it away to go on without the record of the earlier steps.`,
  );
}
