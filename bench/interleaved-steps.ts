/**
 * A U-Net step in BF16 and in INT8, with float and with INT8 attention scores, in turn: a machine
 * that slows down slows all of them, so the ratios hold where the times do not. A probe of the
 * ceilings lies between steps. Prints medians, ratios of each round, and floor ÷ time.
 *
 *   node bench/interleaved-steps.ts [--model sd-1.5] [--rounds 7] [--size 512x512] [--batch 2]
 */
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import {
  floorOf,
  median,
  probeCeilings,
  productFlops,
  syntheticInputs,
} from '../src/evaluation/benchmark.ts';
import { syntheticWeights } from '../src/evaluation/synthetic-weights.ts';
import {
  type BuiltInConfigurationName,
  builtInConfiguration,
} from '../src/models/configurations.ts';
import { buildUNet2DConditionModel } from '../src/models/unet-2d-condition.ts';
import { type Pass, runPasses } from '../src/passes/index.ts';
import { benchmarkPasses } from '../src/pipelines/benchmark-passes.ts';
import { resolveIsa, resolveThreads } from '../src/runtime/native/cpu.ts';
import { peakMemory } from '../src/runtime/native/memory.ts';
import { nativeBackend } from '../src/runtime/native/native-backend.ts';
import type { NativeExecutable } from '../src/runtime/native/native-executable.ts';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'sd-1.5' },
    rounds: { type: 'string', default: '7' },
    size: { type: 'string', default: '512x512' },
    batch: { type: 'string', default: '2' },
  },
});
const [width, height] = values.size.split('x').map((pixels) => Number(pixels) / 8);
const { unet } = builtInConfiguration(values.model as BuiltInConfigurationName);
const batch = Number(values.batch);
const graph = buildUNet2DConditionModel(unet, { batch, width, height, tokens: 77 });
const options = { isa: resolveIsa(), threads: resolveThreads(undefined) };

const contenders: Readonly<Record<string, readonly Pass[]>> = {
  bf16: benchmarkPasses('bf16'),
  int8: benchmarkPasses('int8'),
  'int8, int8 scores': benchmarkPasses('int8', 'int8'),
};
const parameters = Object.values(contenders).flatMap((passes) => [
  ...runPasses(graph, passes).parameters,
]);
const weights = syntheticWeights(new Map(parameters));
const inputs = syntheticInputs(graph);

interface Runner {
  readonly name: string;
  readonly executable: NativeExecutable;
  readonly seconds: number[];
  readonly fractions: number[];
}

const runners: Runner[] = [];
for (const [name, passes] of Object.entries(contenders)) {
  const executable = await nativeBackend.compile(graph, weights, { passes, ...options });
  await executable.run(inputs);
  runners.push({ name, executable, seconds: [], fractions: [] });
}
for (let round = 0; round < Number(values.rounds); round++) {
  for (const { name, executable, seconds, fractions } of runners) {
    const products = productFlops(executable.program.instructions);
    const ceilings = await probeCeilings(products, options);
    const start = performance.now();
    await executable.run(inputs);
    seconds.push((performance.now() - start) / 1000);
    fractions.push(floorOf(products, ceilings) / seconds[round]);
    process.stderr.write(`${round + 1}/${values.rounds} ${name}: ${seconds[round].toFixed(3)} s\n`);
  }
}
console.log(
  `${values.model} ${values.size} batch ${batch}, ${values.rounds} rounds, ${options.threads} threads of ${cpus()[0]?.model.trim()} (${options.isa})`,
);
for (const { name, seconds, fractions } of runners) {
  const ratio = median(seconds.map((value, round) => value / runners[0].seconds[round]));
  console.log(
    `${name.padEnd(18)} ${median(seconds).toFixed(3)} s  ${ratio.toFixed(3)} of bf16  floor ÷ time ${median(fractions).toFixed(3)}`,
  );
}
console.log(`all three resident: peak memory ${(peakMemory() / 2 ** 30).toFixed(2)} GiB`);
for (const { executable } of runners) executable.dispose();
