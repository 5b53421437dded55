import { spawn } from 'node:child_process';
import { join } from 'node:path';

const MAIN = join(import.meta.dirname, '../../src/cli/main.ts');

export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** What `--json` prints: the last line. */
  json(): Record<string, unknown>;
}

export interface RunSettings {
  /** Sends SIGINT as soon as this appears on stderr. */
  readonly interruptAt?: string;
  /** Sends SIGKILL as soon as this holds; asked again and again. */
  readonly killWhen?: () => boolean;
  /** Largest file that may be written, in blocks of 512 bytes: a disk that fills up. */
  readonly fileBlocks?: number;
  /** Variables beside those of this process. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** Runs `bookend ARGS` as its own process. */
export function runBookend(args: readonly string[], settings: RunSettings = {}): Promise<Outcome> {
  const { interruptAt, killWhen, fileBlocks, environment } = settings;
  const command = [process.execPath, MAIN, ...args];
  // POSIX counts 512-byte blocks, which only a POSIX shell does for sure.
  const limited = ['sh', '-c', `ulimit -f ${fileBlocks}; exec "$@"`, 'sh', ...command];
  const [program, ...rest] = fileBlocks === undefined ? command : limited;
  const child = spawn(program, rest, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...environment },
  });
  let stdout = '';
  let stderr = '';
  let interrupted = false;
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text;
    if (interrupted || interruptAt === undefined || !stderr.includes(interruptAt)) return;
    interrupted = true;
    child.kill('SIGINT');
  });
  const watch = setInterval(() => killWhen?.() && child.kill('SIGKILL'), 2);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => {
      clearInterval(watch);
      const json = () => JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '');
      resolve({ status, stdout, stderr, json });
    });
  });
}
