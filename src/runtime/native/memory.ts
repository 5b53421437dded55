import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { constrainedMemory, resourceUsage } from 'node:process';
import { BookendError } from '../../core/errors.ts';

/** The most memory that this process has held at once, in bytes. */
export function peakMemory(): number {
  try {
    const match = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'));
    if (match) return Number(match[1]) * 1024;
  } catch {
    // No /proc outside Linux: ask for what every Unix knows.
  }
  return resourceUsage().maxRSS * 1024;
}

/** The most that this process may take of this machine's memory, in bytes. */
export function memoryLimit(): number {
  return Math.min(totalmem(), constrainedMemory() || Number.POSITIVE_INFINITY);
}

/**
 * Refuses what cannot fit before anything is allocated, since the system may end a process that
 * asks for more than there is instead of saying no.
 *
 * @throws BookendError `insufficient-memory`
 */
export function checkMemory(name: string, bytes: number): void {
  const limit = memoryLimit();
  if (bytes <= limit) return;
  const gib = (value: number) => (value / 2 ** 30).toFixed(1);
  throw new BookendError(
    'insufficient-memory',
    `${name} needs ${gib(bytes)} GiB and this machine has ${gib(limit)} GiB; use a smaller image, batch or model.`,
  );
}
