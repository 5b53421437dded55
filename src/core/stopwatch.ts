/** Seconds since it was made. */
export function startStopwatch(): () => number {
  const start = performance.now();
  return () => (performance.now() - start) / 1000;
}

/**
 * Median seconds of each task. They take turns, so that a machine that is busy for a while is so for
 * all of them, until `seconds` have passed or each had eight.
 */
export async function timeInTurn(
  tasks: readonly (() => Promise<unknown>)[],
  seconds: number,
): Promise<number[]> {
  const times = tasks.map((): number[] => []);
  const total = startStopwatch();
  for (let round = 0; round < 8 && (round === 0 || total() < seconds); round++) {
    for (const [i, task] of tasks.entries()) {
      const elapsed = startStopwatch();
      await task();
      times[i].push(elapsed());
    }
  }
  return times.map((each) => each.sort((a, b) => a - b)[Math.floor(each.length / 2)]);
}
