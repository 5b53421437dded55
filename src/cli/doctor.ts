import { existsSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { hubCacheFolder } from '../io/hub-cache.ts';
import { bestPrecision } from '../pipelines/best-precision.ts';
import { instructionSets, resolveIsa, resolveThreads } from '../runtime/native/cpu.ts';
import { EMBEDDED_MODEL, packageRoot } from './models.ts';
import { formatTable, print, printJson } from './output.ts';

/** `bookend doctor`: what this CPU offers, which kernels will run, what to expect. */
export function addDoctorCommand(program: Command): void {
  program
    .command('doctor')
    .description('what this machine offers and which kernels will run')
    .option('--json', 'print one JSON object as the last line')
    .action(({ json }: { json?: boolean }) => (json ? printJson(examine()) : report(examine())));
}

interface Examination {
  readonly cpu: string;
  readonly cores: number;
  readonly threads: number;
  readonly memory: number;
  readonly node: string;
  readonly instructionSets: readonly { name: string; missing: string | null }[];
  readonly runs: string;
  readonly precision: string;
  readonly embeddedModel: boolean;
  readonly hubCache: string;
}

function examine(): Examination {
  const processors = cpus();
  return {
    cpu: processors[0]?.model.trim() ?? 'unknown',
    cores: processors.length,
    threads: resolveThreads(),
    memory: totalmem(),
    node: process.version,
    instructionSets: instructionSets(),
    runs: resolveIsa(),
    precision: bestPrecision(),
    embeddedModel: existsSync(join(packageRoot(), 'models', EMBEDDED_MODEL, 'model_index.json')),
    hubCache: hubCacheFolder(),
  };
}

const ADVICE: Readonly<Record<string, string>> = {
  scalar:
    'No SIMD kernels fit this CPU: expect minutes per step at 512×512; this is for checking, not for use.',
  avx2: 'AVX2 computes FP32 well and has no BF16 products: use --precision fp32; expect about half the FP32 speed of AVX-512.',
  avx2_vnni:
    'AVX2 computes FP32 well and INT8 about four times as fast, and has no BF16 products: use --precision fp32 or int8.',
  avx512:
    'AVX-512 without BF16 products: use --precision fp32; BF16 would save memory but no time.',
  avx512_vnni:
    'AVX-512 computes FP32 well and INT8 about four times as fast, and has no BF16 products: use --precision fp32 or int8.',
  avx512_vnni_bf16: 'BF16 runs natively at about twice the speed of FP32.',
  amx: 'BF16 products run on AMX tiles, which FP32 cannot use.',
};

function report(found: Examination): void {
  const gib = (found.memory / 2 ** 30).toFixed(1);
  print(`CPU        ${found.cpu}, ${found.cores} cores, ${gib} GiB memory`);
  print(`Node       ${found.node}`);
  print(`Threads    ${found.threads} (BOOKEND_THREADS or --threads change it)`);
  print(`Hub cache  ${found.hubCache}`);
  print(`Model      ${found.embeddedModel ? 'embedded emoji model found' : 'no embedded model'}`);
  print('');
  const rows = found.instructionSets.map(({ name, missing }) => [
    name,
    missing === null ? 'yes' : 'no',
    missing ?? (name === found.runs ? 'kernels for this run' : ''),
  ]);
  print(formatTable(['instruction set', 'offered', ''], rows));
  print('');
  print(`Default precision: ${found.precision}. ${ADVICE[found.runs]}`);
}
