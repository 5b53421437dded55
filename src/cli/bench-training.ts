import { cpus } from 'node:os';
import { BookendError } from '../core/errors.ts';
import type { OpTime } from '../evaluation/benchmark.ts';
import type { Graph } from '../ir/graph.ts';
import {
  benchmarkTraining,
  TRAINING_PARTS,
  type TrainingBenchmark,
} from '../pipelines/training/benchmark-training.ts';
import type { Precision } from '../quantization/precision-schedule.ts';
import type { WeightSource } from '../runtime/backend.ts';
import { resolveIsa, resolveThreads } from '../runtime/native/cpu.ts';
import { peakMemory } from '../runtime/native/memory.ts';
import { interruptSignal } from './interrupt.ts';
import { formatTable, print, printJson } from './output.ts';

export interface BenchTrainingOptions {
  readonly model: string;
  readonly precision?: Precision;
  readonly size: { readonly width: number; readonly height: number };
  readonly batch: number;
  readonly rounds: number;
  readonly threads?: number;
  readonly json?: boolean;
}

/** `bookend bench --training`: a step of quantization-aware training against the CPU's ceilings. */
export async function benchTraining(
  network: Graph,
  weights: WeightSource,
  options: BenchTrainingOptions,
): Promise<void> {
  const { precision = 'fp32', rounds, threads } = options;
  if (precision === 'int8') {
    throw new BookendError(
      'invalid-argument',
      'Training computes in fp32 or bf16, and int8 was asked for; pass one of the two.',
    );
  }
  const interrupt = interruptSignal();
  try {
    const step = await benchmarkTraining(network, weights, {
      precision,
      threads,
      rounds,
      signal: interrupt.signal,
      onRound: (round, seconds) =>
        process.stderr.write(`step ${round + 1}/${rounds}: ${seconds.toFixed(3)} s\n`),
    });
    if (options.json) reportJson(step, precision, options);
    else report(step);
  } finally {
    interrupt.dispose();
  }
}

function reportJson(
  training: TrainingBenchmark,
  precision: Precision,
  { model, batch, size, threads }: BenchTrainingOptions,
): void {
  printJson({
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    threads: resolveThreads(threads),
    isa: resolveIsa(),
    model,
    precision,
    batch,
    size,
    training,
    peakMemory: peakMemory(),
  });
}

function report(step: TrainingBenchmark): void {
  const { seconds, parts, flops, fractionOfCeiling, rounds, roundsDropped, ops } = step;
  const rows = (['teacher', 'student'] as const).flatMap((part) =>
    ops[part].map((op) => [part, ...cells(op)]),
  );
  const header = ['part', 'op', 'kernel', 'count', 'ms', 'GFLOP', 'GFLOP/s', 'of ceiling'];
  const toTheRight = [false, false, false, true, true, true, true, true];
  print(formatTable(header, rows, toTheRight));
  print('');
  const beside = Object.entries(step.ceilings).map(([type, value]) => `${type} ${giga(value)}`);
  print(
    `training step: ${seconds.toFixed(3)} s, ${giga(flops)} GFLOP, floor ÷ time ${fractionOfCeiling.toFixed(3)} (ceilings beside it ${beside.join(', ')} GFLOP/s; median of ${rounds.length - roundsDropped}, ${roundsDropped} dropped)`,
  );
  print(TRAINING_PARTS.map((part) => `${part} ${parts[part].toFixed(3)} s`).join(', '));
  print(
    `${(step.parameters / 1e6).toFixed(1)} million parameters; their update moves ${giga(step.updateRate)} GB/s of the ${giga(step.copyRate)} that adding arrays does`,
  );
  print(`peak memory ${(peakMemory() / 2 ** 30).toFixed(2)} GiB`);
}

function cells({ op, kernel, count, seconds, flops, fractionOfCeiling }: OpTime): string[] {
  return [
    op,
    kernel,
    String(count),
    (seconds * 1000).toFixed(1),
    giga(flops),
    giga(flops / seconds),
    flops > 0 ? `${(100 * fractionOfCeiling).toFixed(1)}%` : '',
  ];
}

const giga = (value: number) => (value / 1e9).toFixed(1);
