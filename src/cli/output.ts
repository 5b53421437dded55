import { stderr, stdout } from 'node:process';
import { BookendError, type ErrorCode } from '../core/errors.ts';

export const EXIT = { done: 0, failed: 1, usage: 2, interrupted: 130 } as const;

/** Whose fault an error is decides the exit status: wrong words are 2, an interrupt 130, else 1. */
const STATUS: Partial<Record<ErrorCode, number>> = {
  aborted: EXIT.interrupted,
  'invalid-argument': EXIT.usage,
};

export function exitStatus(error: unknown): number {
  return (error instanceof BookendError && STATUS[error.code]) || EXIT.failed;
}

/** One sentence for a known error; the stack of anything else, which is a defect of ours. */
export function describeError(error: unknown): string {
  if (error instanceof BookendError) return error.message;
  const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return `Bookend failed in a way it should not have; please report this.\n${detail}`;
}

/** A line of the result. */
export function print(line: string): void {
  stdout.write(`${line}\n`);
}

/** A line about the work, for people. */
export function note(line: string): void {
  stderr.write(`${line}\n`);
}

/** The last line of `--json` runs. */
export function printJson(result: unknown): void {
  stdout.write(`${JSON.stringify(result)}\n`);
}

/** Columns padded to the widest cell; numbers read best right-aligned. */
export function formatTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  alignRight: readonly boolean[] = [],
): string {
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column].length)),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) =>
        alignRight[column] ? cell.padStart(widths[column]) : cell.padEnd(widths[column]),
      )
      .join('  ')
      .trimEnd();
  return [line(header), line(widths.map((width) => '─'.repeat(width))), ...rows.map(line)].join(
    '\n',
  );
}
