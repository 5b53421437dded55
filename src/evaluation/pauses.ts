import { setImmediate } from 'node:timers/promises';

/** A server's other work waits no longer than about this. */
const LONGEST_MS = 8;

/**
 * Lets the event loop turn in the middle of long work that runs on it: ask after every part that takes
 * well under a millisecond or a few.
 */
export class Pauses {
  /** Before the first pause, nothing is known of what has run since the event loop turned. */
  #since = Number.NEGATIVE_INFINITY;

  /** Whether it is time for `take`. */
  get isDue(): boolean {
    return performance.now() - this.#since >= LONGEST_MS;
  }

  async take(): Promise<void> {
    await setImmediate();
    this.#since = performance.now();
  }
}
