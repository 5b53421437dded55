import { stderr } from 'node:process';

/** Progress on stderr: one redrawn bar on a terminal, else a plain line now and then. */
export interface Progress {
  /**
   * `done` of `total`; `seconds` is the time of the one that just ended, `detail` whatever else there
   * is to say at the end of the line.
   */
  update(done: number, seconds: number, detail?: string): void;
  finish(): void;
}

const BAR_WIDTH = 30;
const PLAIN_LINE_INTERVAL_SECONDS = 5;

/** `12.3s`, `4m05s` or `2h10m`. */
export function formatDuration(seconds: number): string {
  if (seconds < 60) return `${seconds.toFixed(1)}s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)}m${String(whole % 60).padStart(2, '0')}s`;
  const minutes = Math.round(whole / 60);
  return `${Math.floor(minutes / 60)}h${String(minutes % 60).padStart(2, '0')}m`;
}

/** One line: bar, count, seconds for each, estimated time to the end. */
export function formatProgress(
  label: string,
  done: number,
  total: number,
  secondsEach: number,
  unit: string,
  width = BAR_WIDTH,
): string {
  const filled = total === 0 ? width : Math.round((width * done) / total);
  const bar = '█'.repeat(filled) + '░'.repeat(width - filled);
  const remaining = formatDuration((total - done) * secondsEach);
  return `${label} ${bar} ${done}/${total}  ${secondsEach.toFixed(2)} s/${unit}  ETA ${remaining}`;
}

/**
 * `unit` is what `total` counts. What was done before the first update, by a run that this one goes
 * on with, has no part in the time of each.
 */
export function createProgress(
  label: string,
  total: number,
  unit: string,
  stream: { isTTY?: boolean; columns?: number; write(text: string): unknown } = stderr,
): Progress {
  let elapsed = 0;
  let before: number | undefined;
  let sinceLastLine = Number.POSITIVE_INFINITY;
  return {
    update(done, seconds, detail) {
      before ??= Math.max(0, done - 1);
      elapsed += seconds;
      sinceLastLine += seconds;
      const each = elapsed / Math.max(done - before, 1);
      const lineOf = (width: number) => {
        const bar = formatProgress(label, done, total, each, unit, width);
        return detail === undefined ? bar : `${bar}  ${detail}`;
      };
      const line = lineOf(BAR_WIDTH);
      if (stream.isTTY) {
        // A line that wraps cannot be redrawn; the bar gives way first.
        const room = (stream.columns ?? 80) - 1;
        const narrow = lineOf(Math.max(0, BAR_WIDTH - Math.max(0, line.length - room)));
        stream.write(`\r\x1b[2K${narrow.slice(0, room)}`);
      } else if (done === total || sinceLastLine >= PLAIN_LINE_INTERVAL_SECONDS) {
        sinceLastLine = 0;
        stream.write(`${line}\n`);
      }
    },
    finish() {
      if (stream.isTTY) stream.write('\n');
    },
  };
}
