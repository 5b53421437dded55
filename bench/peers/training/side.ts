import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { z } from 'zod';
import { BookendError } from '../../../src/core/errors.ts';

export type Precision = 'fp32' | 'bf16';
export const SIDES = ['bookend', 'pytorch'] as const;
export type SideName = (typeof SIDES)[number];

export interface SidePaths {
  readonly python: string;
  readonly requestFile: string;
  readonly folder: string;
}

const introduction = z.object({
  details: z.string(),
  versions: z.record(z.string(), z.string()),
});

const step = z.object({
  loss: z.number(),
  /** Before clipping. */
  gradientNorm: z.number(),
  seconds: z.number().positive(),
});

export type Step = z.infer<typeof step>;

/** One of the two programs in a process of its own: it trains a step whenever it is asked to. */
export class Side {
  readonly name: SideName;
  readonly introduction: z.infer<typeof introduction>;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;
  readonly steps: Step[] = [];

  private constructor(
    name: SideName,
    child: ChildProcessByStdio<Writable, Readable, null>,
    lines: AsyncIterator<string>,
    said: z.infer<typeof introduction>,
  ) {
    this.name = name;
    this.#child = child;
    this.#lines = lines;
    this.introduction = said;
  }

  /** @throws BookendError `io` when the process ends before it is ready */
  static async start(
    name: SideName,
    precision: Precision,
    { python, requestFile, folder }: SidePaths,
  ): Promise<Side> {
    const script = (file: string) => join(import.meta.dirname, file);
    const [command, ...args] =
      name === 'bookend'
        ? [process.execPath, script('bookend.ts'), precision, requestFile, folder]
        : [python, script('peer.py'), 'train', '--precision', precision, requestFile, folder];
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    // A process that ended is reported when its answer is missing, not when a write to it fails.
    child.stdin.on('error', () => {});
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    return new Side(name, child, lines, introduction.parse(await answerOf(name, lines)));
  }

  /** Trains one step on the batch of that number. @throws BookendError `io` */
  async step(batch: number): Promise<void> {
    this.#child.stdin.write(`${batch}\n`);
    this.steps.push(step.parse(await answerOf(this.name, this.#lines)));
  }

  /** Returns when the process has ended and its memory is free. */
  async close(): Promise<void> {
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== null || signalCode !== null) return;
    const ended = new Promise((resolve) => this.#child.once('close', resolve));
    this.#child.stdin.end();
    await ended;
  }
}

async function answerOf(name: SideName, lines: AsyncIterator<string>): Promise<unknown> {
  const { value, done } = await lines.next();
  if (!done) return JSON.parse(value);
  throw new BookendError('io', `${name} ended early; see its messages above.`);
}
