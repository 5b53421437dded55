/**
 * Bookend in a process of its own, with the protocol of peer.py: one JSON line when it is warm, and
 * for each line of standard input, a number of steps, one with their seconds.
 *
 *   echo 5 | node bench/peers/bookend.ts fp32|bf16|int8 REQUEST.json
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { syntheticInputs } from '../../src/evaluation/benchmark.ts';
import { syntheticWeights } from '../../src/evaluation/synthetic-weights.ts';
import { runPasses } from '../../src/passes/index.ts';
import { benchmarkPasses } from '../../src/pipelines/benchmark-passes.ts';
import type { Precision } from '../../src/quantization/precision-schedule.ts';
import { peakMemory } from '../../src/runtime/native/memory.ts';
import { nativeBackend } from '../../src/runtime/native/native-backend.ts';
import { type StepRequest, stepGraph } from './request.ts';

const [precision, path] = process.argv.slice(2) as [Precision, string];
const request: StepRequest = JSON.parse(readFileSync(path, 'utf8'));
const { version } = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
) as { version: string };

function answer(content: object): void {
  process.stdout.write(`${JSON.stringify({ peer: 'bookend', precision, ...content })}\n`);
}

const graph = stepGraph(request);
const inputs = syntheticInputs(graph);
const passes = benchmarkPasses(precision);
const weights = syntheticWeights(runPasses(graph, passes).parameters);
const executable = await nativeBackend.compile(graph, weights, {
  passes,
  threads: request.threads,
});

async function timedStep(): Promise<number> {
  const start = performance.now();
  await executable.run(inputs);
  return (performance.now() - start) / 1000;
}

await timedStep();
await timedStep();
answer({ versions: { bookend: version }, details: executable.info.isa, error: null });
for await (const line of createInterface({ input: process.stdin })) {
  const seconds: number[] = [];
  for (let step = 0; step < Number(line); step++) seconds.push(await timedStep());
  answer({ seconds, peakMemory: peakMemory() });
}
executable.dispose();
