import { cpus } from 'node:os';
import { type Command, Option } from 'commander';
import { BookendError } from '../core/errors.ts';
import { benchmarkGraph, type GraphBenchmark } from '../evaluation/benchmark.ts';
import { syntheticWeights } from '../evaluation/synthetic-weights.ts';
import {
  type AutoencoderKLConfig,
  parseAutoencoderKLConfig,
} from '../models/autoencoder-kl-config.ts';
import {
  BUILT_IN_CONFIGURATIONS,
  type BuiltInConfigurationName,
  builtInConfiguration,
} from '../models/configurations.ts';
import { buildUNet2DConditionModel } from '../models/unet-2d-condition.ts';
import {
  parseUNet2DConditionConfig,
  type UNet2DConditionConfig,
} from '../models/unet-2d-condition-config.ts';
import { runPasses } from '../passes/index.ts';
import { benchmarkPasses } from '../pipelines/benchmark-passes.ts';
import { bestPrecision } from '../pipelines/cpu-precision.ts';
import { openModelParts } from '../pipelines/model-parts.ts';
import { requireExtent } from '../pipelines/request.ts';
import { weightsOf } from '../pipelines/weights.ts';
import type { Precision } from '../quantization/precision-schedule.ts';
import type { WeightSource } from '../runtime/backend.ts';
import { type CeilingType, measureCeiling } from '../runtime/native/ceiling.ts';
import { resolveIsa, resolveThreads } from '../runtime/native/cpu.ts';
import { peakMemory } from '../runtime/native/memory.ts';
import { benchCoreUsage, SIMULATED_THREADS } from './bench-core-usage.ts';
import { benchTraining } from './bench-training.ts';
import { interruptSignal } from './interrupt.ts';
import { resolveModel } from './models.ts';
import { imageSize, wholeNumber, wholeNumbers } from './options.ts';
import { formatTable, print, printJson } from './output.ts';

interface BenchOptions {
  readonly model: string;
  readonly precision?: Precision;
  readonly size?: { readonly width: number; readonly height: number };
  /** Undefined: 2, or 1 for training. */
  readonly batch?: number;
  readonly training?: boolean;
  readonly coreUsage?: boolean;
  readonly simulateThreads: readonly number[];
  readonly rounds: number;
  readonly attentionScores: 'float' | 'int8';
  readonly threads?: number;
  readonly printProgram?: boolean;
  readonly json?: boolean;
}

/** A U-Net to time, and the autoencoder that says how pixels become latents. */
interface Subject {
  readonly unet: UNet2DConditionConfig;
  readonly vae: AutoencoderKLConfig;
  /** Undefined: synthetic ones. */
  readonly weights?: WeightSource;
  close(): Promise<void>;
}

/** `bookend bench`: the CPU's ceilings, and a U-Net step against them. */
export function addBenchCommand(program: Command): void {
  program
    .command('bench')
    .description("measure the CPU's ceilings and a U-Net step against them")
    .option(
      '-m, --model <model>',
      `${BUILT_IN_CONFIGURATIONS.join(', ')} (random weights), or a model as generate takes it`,
      'sd-1.5',
    )
    .addOption(
      new Option('-p, --precision <precision>', "default: the CPU's best").choices([
        'fp32',
        'bf16',
        'int8',
      ]),
    )
    .option('--size <WxH>', "image size in pixels; default: the model's own", imageSize)
    .option(
      '-b, --batch <b>',
      'latents a step; default: 2, as guidance takes for an image, or 1 for training',
      wholeNumber(1),
    )
    .option(
      '--training',
      'a step of quantization-aware training instead; precision: of the products that learn, default fp32',
    )
    .option('--core-usage', 'how well each op fills the cores, here and on more of them instead')
    .option(
      '--simulate-threads <list>',
      'of --core-usage: numbers of threads to simulate',
      wholeNumbers(1, 256),
      SIMULATED_THREADS,
    )
    .option(
      '-r, --rounds <n>',
      'runs; medians are printed, or the shortest of --core-usage',
      wholeNumber(1),
      5,
    )
    .addOption(
      new Option('--attention-scores <type>', 'of INT8: what long self-attention multiplies in')
        .choices(['float', 'int8'])
        .default('float'),
    )
    .option('--threads <n>', 'default: one per core', wholeNumber(1))
    .option('--print-program', 'print the compiled instructions')
    .option('--json', 'print one JSON object as the last line')
    .action(bench);
}

async function bench(options: BenchOptions): Promise<void> {
  if (options.training && options.coreUsage) {
    throw new BookendError(
      'invalid-argument',
      '--training and --core-usage each measure something else; pass one of the two.',
    );
  }
  const subject = await openSubject(options.model);
  const size = latentSize(subject, options);
  const { downscale } = subject.vae;
  const pixels = { width: size.width * downscale, height: size.height * downscale };
  const batch = options.batch ?? (options.training ? 1 : 2);
  const graph = buildUNet2DConditionModel(subject.unet, { batch, ...size, tokens: 77 });
  if (options.training) {
    const { weights = syntheticWeights(graph.parameters) } = subject;
    await benchTraining(graph, weights, { ...options, batch, size: pixels });
    return subject.close();
  }
  const precision = options.precision ?? bestPrecision();
  const passes = benchmarkPasses(precision, options.attentionScores);
  const weights = subject.weights ?? syntheticWeights(runPasses(graph, passes).parameters);
  if (options.coreUsage) {
    await benchCoreUsage(graph, weights, { ...options, passes, precision, batch, size: pixels });
    return subject.close();
  }
  const interrupt = interruptSignal();
  try {
    const ceilings = await measureCeilings(options.threads);
    const unet = await benchmarkGraph(graph, weights, {
      passes,
      threads: options.threads,
      rounds: options.rounds,
      signal: interrupt.signal,
      onRound: (round, seconds) =>
        process.stderr.write(`round ${round + 1}/${options.rounds}: ${seconds.toFixed(3)} s\n`),
    });
    if (options.printProgram) print(unet.program);
    report({ ...options, batch, size: pixels }, precision, ceilings, unet);
  } finally {
    interrupt.dispose();
    await subject.close();
  }
}

async function openSubject(name: string): Promise<Subject> {
  if ((BUILT_IN_CONFIGURATIONS as readonly string[]).includes(name)) {
    return {
      ...builtInConfiguration(name as BuiltInConfigurationName),
      close: async () => {},
    };
  }
  const parts = await openModelParts(await resolveModel(name));
  if (!parts.has('vae')) {
    throw new BookendError(
      'unsupported',
      `${name} has no autoencoder, and bench times the U-Nets of Stable Diffusion; name one of those or of ${BUILT_IN_CONFIGURATIONS.join(', ')}.`,
    );
  }
  return {
    unet: parseUNet2DConditionConfig(await parts.config('unet')),
    vae: parseAutoencoderKLConfig(await parts.config('vae')),
    weights: weightsOf(await parts.weights('unet')),
    close: () => parts.close(),
  };
}

function latentSize({ unet, vae }: Subject, { size }: BenchOptions) {
  if (!size) return unet.sampleSize ?? { height: 64, width: 64 };
  const { downscale } = vae;
  return {
    height: requireExtent('height', size.height, downscale) / downscale,
    width: requireExtent('width', size.width, downscale) / downscale,
  };
}

/** FLOP/s; 0 where the CPU has no integer dot product. */
type Ceilings = Readonly<Record<Precision, number>>;

async function measureCeilings(threads: number | undefined): Promise<Ceilings> {
  const options = { isa: resolveIsa(), threads: resolveThreads(threads), seconds: 0.5 };
  const measure = (type: CeilingType) => measureCeiling(type, options);
  return {
    fp32: await measure('f32'),
    bf16: await measure('bf16'),
    int8: await measure('u8'),
  };
}

function report(
  options: BenchOptions,
  precision: Precision,
  ceilings: Ceilings,
  unet: GraphBenchmark,
): void {
  const cpu = cpus()[0]?.model.trim() ?? 'unknown';
  const threads = resolveThreads(options.threads);
  const { seconds, flops, fractionOfCeiling, ops, rounds, roundsDropped } = unet;
  if (options.json) {
    const { model, batch, size } = options;
    printJson({
      cpu,
      threads,
      isa: resolveIsa(),
      ceilings,
      model,
      precision,
      batch,
      size,
      unet: {
        seconds,
        flops,
        fractionOfCeiling,
        ceilings: unet.ceilings,
        rounds,
        roundsDropped,
        ops,
      },
      peakMemory: peakMemory(),
    });
    return;
  }
  print(`${cpu}, ${threads} threads, ${resolveIsa()}`);
  print(
    `ceilings  fp32 ${giga(ceilings.fp32)}  bf16 ${giga(ceilings.bf16)}  int8 ${giga(ceilings.int8)} G(FL)OP/s`,
  );
  print('');
  const rows = ops.map((op) => [
    op.op,
    op.kernel,
    String(op.count),
    (op.seconds * 1000).toFixed(1),
    giga(op.flops),
    giga(op.flops / op.seconds),
    op.flops > 0 ? `${(100 * op.fractionOfCeiling).toFixed(1)}%` : '',
  ]);
  const header = ['op', 'kernel', 'count', 'ms', 'GFLOP', 'GFLOP/s', 'of ceiling'];
  print(formatTable(header, rows, [false, false, true, true, true, true, true]));
  print('');
  print(
    `U-Net step: ${seconds.toFixed(3)} s, ${giga(flops)} GFLOP, ${giga(flops / seconds)} GFLOP/s, floor ÷ time ${fractionOfCeiling.toFixed(3)} (ceilings beside it ${beside(unet)} GFLOP/s; median of ${rounds.length - roundsDropped}, ${roundsDropped} dropped)`,
  );
  print(`peak memory ${(peakMemory() / 2 ** 30).toFixed(2)} GiB`);
}

const giga = (value: number) => (value / 1e9).toFixed(1);

function beside({ ceilings }: GraphBenchmark): string {
  return Object.entries(ceilings)
    .map(([type, value]) => `${type} ${giga(value)}`)
    .join(', ');
}
