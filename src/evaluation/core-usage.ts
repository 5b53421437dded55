import type { InstructionRecord, LoopRecord } from '../runtime/native/native-executable.ts';
import { byKernel } from './benchmark.ts';

/** What was taken down of an instruction: its time, and that of the tasks of its loops. */
export type Recorded = Pick<InstructionRecord, 'seconds'> & {
  readonly loops: readonly Pick<LoopRecord, 'seconds' | 'taskSeconds'>[];
};

/** How long work took on some threads, and how long they worked, all together. */
export interface Usage {
  readonly threads: number;
  readonly seconds: number;
  /** At most `threads` times the seconds. */
  readonly busySeconds: number;
}

/** All instructions of one op and kernel. */
export interface OpUsage extends Usage {
  readonly op: string;
  readonly kernel: string;
  readonly count: number;
}

/** A run, and its ops, in the order in which they first appear. */
export interface RunUsage extends Usage {
  readonly ops: readonly OpUsage[];
}

/** The share of the time of all threads in which they worked. */
export function utilization({ threads, seconds, busySeconds }: Usage): number {
  return seconds > 0 ? busySeconds / (threads * seconds) : 0;
}

/**
 * Until all of `tasks` are done, in their unit of time, where each thread takes the next one as soon as
 * it is free. That is how the native pool of threads shares a loop out.
 */
export function makespan(tasks: ArrayLike<number>, threads: number): number {
  const free = new Float64Array(Math.min(threads, Math.max(tasks.length, 1)));
  for (let i = 0; i < tasks.length; i++) {
    let first = 0;
    for (let thread = 1; thread < free.length; thread++) {
      if (free[thread] < free[first]) first = thread;
    }
    free[first] += tasks[i];
  }
  return free.reduce((latest, time) => Math.max(latest, time), 0);
}

/** Of `count` tasks that all take equally long: what counting them comes to. */
export function equalTasksUtilization(count: number, threads: number): number {
  return count / (threads * Math.ceil(count / threads));
}

/** What an instruction came to on the threads that it was recorded on. */
export function measuredUsage(record: Recorded, threads: number): Usage {
  const busySeconds = serialSeconds(record) + sumOf(record.loops.map(busyOf));
  return { threads, seconds: record.seconds, busySeconds };
}

/**
 * What an instruction that one thread ran would come to on `threads`: its tasks go to threads as these
 * come free, and all but one of them idle outside of its loops.
 */
export function simulatedUsage(record: Recorded, threads: number): Usage {
  const serial = serialSeconds(record);
  const loops = sumOf(record.loops.map(({ taskSeconds }) => makespan(taskSeconds, threads)));
  const busySeconds = serial + sumOf(record.loops.map(busyOf));
  return { threads, seconds: serial + loops, busySeconds };
}

/** Adds up what came one after the other. */
export function totalUsage(threads: number, parts: readonly Usage[]): Usage {
  return {
    threads,
    seconds: sumOf(parts.map(({ seconds }) => seconds)),
    busySeconds: sumOf(parts.map(({ busySeconds }) => busySeconds)),
  };
}

/** The usage of a run and of its ops, given that of each instruction. */
export function runUsage(
  instructions: readonly InstructionRecord[],
  threads: number,
  usageOf: (record: Recorded, threads: number) => Usage,
): RunUsage {
  const usages = instructions.map((record) => usageOf(record, threads));
  const ops = byKernel(instructions).map(({ op, kernel, members }) => ({
    op,
    kernel,
    count: members.length,
    ...totalUsage(
      threads,
      members.map((i) => usages[i]),
    ),
  }));
  return { ...totalUsage(threads, usages), ops };
}

/**
 * The shortest time of each task, and of what is no task, over several records of the same run on one
 * thread: whatever disturbs work makes it longer.
 */
export function shortestOf(
  rounds: readonly (readonly InstructionRecord[])[],
): readonly InstructionRecord[] {
  return rounds[0].map((record, i) => {
    const all = rounds.map((round) => round[i]);
    const loops = record.loops.map(({ taskSeconds, taskWorkers }, loop) => {
      const shortest = taskSeconds.map((_, task) =>
        Math.min(...all.map((one) => one.loops[loop].taskSeconds[task])),
      );
      return { seconds: sumOf(shortest), taskSeconds: shortest, taskWorkers };
    });
    const serial = Math.min(...all.map(serialSeconds));
    return { ...record, loops, seconds: serial + sumOf(loops.map(({ seconds }) => seconds)) };
  });
}

/** The time outside of loops, which one thread works through. */
function serialSeconds({ seconds, loops }: Recorded): number {
  return Math.max(0, seconds - sumOf(loops.map((loop) => loop.seconds)));
}

function busyOf({ taskSeconds }: Pick<LoopRecord, 'taskSeconds'>): number {
  return sumOf(taskSeconds);
}

function sumOf(values: Iterable<number>): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum;
}
