import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { z } from 'zod';
import { BookendError } from '../../src/core/errors.ts';
import type { Precision } from '../../src/quantization/precision-schedule.ts';

export const PEERS = ['bookend', 'pytorch', 'pytorch-compile', 'openvino', 'onnxruntime'] as const;

export type Peer = (typeof PEERS)[number];

/** One row of the result. */
export interface Contender {
  readonly peer: Peer;
  readonly precision: Precision;
}

/** ONNX Runtime's CPU provider has no bf16 convolutions. */
const PRECISIONS_OF: Readonly<Record<Peer, readonly Precision[]>> = {
  bookend: ['fp32', 'bf16', 'int8'],
  pytorch: ['fp32', 'bf16'],
  'pytorch-compile': ['fp32', 'bf16'],
  openvino: ['fp32', 'bf16', 'int8'],
  onnxruntime: ['fp32', 'int8'],
};

export function contendersOf(
  peers: readonly Peer[],
  precisions: readonly Precision[],
): readonly Contender[] {
  return precisions.flatMap((precision) =>
    peers
      .filter((peer) => PRECISIONS_OF[peer].includes(precision))
      .map((peer) => ({ peer, precision })),
  );
}

export function contenderName({ peer, precision }: Contender): string {
  return `${peer} ${precision}`;
}

const readySchema = z.object({
  versions: z.record(z.string(), z.string()),
  details: z.string(),
  error: z.number().nullable(),
});

const stepsSchema = z.object({
  seconds: z.array(z.number().positive()).length(1),
  peakMemory: z.number().positive(),
});

/** What a contender says about itself once it is warm. */
export type Introduction = z.infer<typeof readySchema>;

export interface Step {
  readonly seconds: number;
  /** The most memory the process has held so far, loading included, in bytes. */
  readonly peakMemory: number;
}

export interface ContenderPaths {
  readonly python: string;
  readonly requestFile: string;
  readonly folder: string;
}

/** A contender's process: loaded and warm, and idle between the steps it is asked for. */
export class ContenderProcess {
  readonly contender: Contender;
  readonly introduction: Introduction;
  readonly #child: Child;
  readonly #lines: AsyncIterator<string>;

  private constructor(
    contender: Contender,
    introduction: Introduction,
    child: Child,
    lines: AsyncIterator<string>,
  ) {
    this.contender = contender;
    this.introduction = introduction;
    this.#child = child;
    this.#lines = lines;
  }

  /** @throws BookendError `io` when the process ends, or says something else, before it is ready */
  static async start(contender: Contender, paths: ContenderPaths): Promise<ContenderProcess> {
    const [command, ...args] = commandLine(contender, paths);
    const child = spawn(command, args, {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, TORCHINDUCTOR_CACHE_DIR: join(paths.folder, 'inductor') },
    });
    // A process that ended is reported when its answer is missing, not when a write to it fails.
    child.stdin.on('error', () => {});
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const introduction = await readAnswer(contender, lines, readySchema);
    return new ContenderProcess(contender, introduction, child, lines);
  }

  /** @throws BookendError `io` when the process fails */
  async step(): Promise<Step> {
    this.#child.stdin.write('1\n');
    const { seconds, peakMemory } = await readAnswer(this.contender, this.#lines, stepsSchema);
    return { seconds: seconds[0], peakMemory };
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

type Child = ChildProcessByStdio<Writable, Readable, null>;

function commandLine(
  { peer, precision }: Contender,
  { python, requestFile, folder }: ContenderPaths,
): readonly string[] {
  const script = (name: string) => join(import.meta.dirname, name);
  return peer === 'bookend'
    ? [process.execPath, script('bookend.ts'), precision, requestFile]
    : [python, script('peer.py'), peer, '--precision', precision, requestFile, folder];
}

async function readAnswer<T>(
  contender: Contender,
  lines: AsyncIterator<string>,
  schema: z.ZodType<T>,
): Promise<T> {
  const { value, done } = await lines.next();
  if (done) {
    throw new BookendError(
      'io',
      `${contenderName(contender)} ended early; see its messages above.`,
    );
  }
  return schema.parse(JSON.parse(value));
}
