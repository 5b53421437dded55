import { existsSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { hubCacheFolder } from '../io/hub-cache.ts';
import { bestPrecision, hasIntegerProducts } from '../pipelines/cpu-precision.ts';
import type { HighPrecision } from '../pipelines/request.ts';
import type { IsaName } from '../runtime/native/addon.ts';
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
  readonly runs: IsaName;
  readonly precision: HighPrecision;
  /** Whether INT8 is the fastest precision here. */
  readonly integerProducts: boolean;
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
    integerProducts: hasIntegerProducts(),
    embeddedModel: existsSync(join(packageRoot(), 'models', EMBEDDED_MODEL, 'model_index.json')),
    hubCache: hubCacheFolder(),
  };
}

const AVX2 =
  'AVX2 computes FP32 well and has no BF16 products: use --precision fp32; expect about half the FP32 speed of AVX-512.';
const AVX512 =
  'AVX-512 without BF16 products: use --precision fp32; BF16 would save memory but no time.';

const ADVICE: Readonly<Record<IsaName, string>> = {
  scalar:
    'No SIMD kernels fit this CPU: expect minutes per step at 512×512; this is for checking, not for use.',
  avx2: AVX2,
  avx2_vnni: AVX2,
  avx512: AVX512,
  avx512_vnni: AVX512,
  avx512_vnni_bf16: 'BF16 runs natively at about twice the speed of FP32.',
  amx: 'BF16 products run on AMX tiles, which FP32 cannot use.',
};

const INT8_ADVICE: Readonly<Record<HighPrecision, string>> = {
  fp32: 'The CPU has integer dot products, at up to four times the rate of FP32.',
  bf16: 'The CPU has integer dot products, at up to twice the rate of BF16.',
};

function adviseInt8({ precision, integerProducts }: Examination): string {
  return integerProducts
    ? INT8_ADVICE[precision]
    : 'These kernels have no integer dot product: INT8 is exact and saves memory, but is hardly faster than FP32.';
}

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
  print(`INT8: ${adviseInt8(found)}`);
}
