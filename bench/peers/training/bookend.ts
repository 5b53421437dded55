/**
 * Bookend's side of compare.ts, with the protocol of peer.py: one JSON line when it is ready, and for
 * each line of standard input, the number of a batch, one with the loss, gradient norm and seconds of
 * that training step.
 *
 *   echo 0 | node bench/peers/training/bookend.ts fp32|bf16 REQUEST.json FOLDER
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { floats, tensor } from '../../../src/core/tensor.ts';
import { openCheckpoint } from '../../../src/io/checkpoint.ts';
import type { TensorSource } from '../../../src/io/tensor-source.ts';
import { buildUNet2DConditionModel } from '../../../src/models/unet-2d-condition.ts';
import { parseUNet2DConditionConfig } from '../../../src/models/unet-2d-condition-config.ts';
import { createUNetTask } from '../../../src/pipelines/training/unet-task.ts';
import { weightsOf } from '../../../src/pipelines/weights.ts';
import { resolveIsa } from '../../../src/runtime/native/cpu.ts';
import type { Batch, BatchSource } from '../../../src/training/batches.ts';
import { train } from '../../../src/training/trainer.ts';
import { type TrainingOptions, trainingOptions } from '../../../src/training/training-options.ts';
import { BATCHES, BATCHES_FILE, type TrainingBenchmarkRequest } from './request.ts';

const [precision, path, folder] = process.argv.slice(2) as [
  TrainingOptions['precision'],
  string,
  string,
];
const request: TrainingBenchmarkRequest = JSON.parse(readFileSync(path, 'utf8'));
const { batch, size, tokens, threads } = request;
const { version } = JSON.parse(
  readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'),
) as { version: string };

function answer(content: object): void {
  process.stdout.write(`${JSON.stringify(content)}\n`);
}

async function readBatches(source: TensorSource): Promise<Batch[]> {
  const read = async (name: string) => {
    const { shape, data } = await source.read(name);
    const length = data.length / BATCHES;
    return Array.from({ length: BATCHES }, (_, i) =>
      tensor('f32', shape.slice(1), (data as Float32Array).slice(i * length, (i + 1) * length)),
    );
  };
  const [samples, targets, timesteps, texts] = [
    await read('noisy'),
    await read('noise'),
    await read('timesteps'),
    await read('text'),
  ];
  return samples.map((sample, i) => ({
    sample,
    target: targets[i],
    timesteps: [...floats(timesteps[i])],
    embeddings: texts[i],
  }));
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
let start = 0;

/** The batch that the next line names; a step's time begins when its line has come. */
class RequestedBatches implements BatchSource {
  readonly identity = 'benchmark';
  readonly sampleShape: BatchSource['sampleShape'];
  readonly #batches: readonly Batch[];

  constructor(batches: readonly Batch[]) {
    this.#batches = batches;
    this.sampleShape = batches[0].sample.shape.slice(1) as unknown as BatchSource['sampleShape'];
  }

  async next(): Promise<Batch> {
    const { value, done } = await lines.next();
    if (done) process.exit(0);
    start = performance.now();
    return this.#batches[Number(value) % BATCHES];
  }

  progress() {
    return { randoms: [] };
  }

  restore(): void {}
}

const network = buildUNet2DConditionModel(parseUNet2DConditionConfig(request.config), {
  ...{ batch, height: size, width: size, tokens },
});
const checkpoint = await openCheckpoint(request.weights);
const weights = weightsOf(checkpoint);
const batches = await openCheckpoint(join(folder, BATCHES_FILE));
const source = new RequestedBatches(await readBatches(batches));
await batches.close();
const student = { network, weights, trainable: [...network.parameters.keys()] };
const task = await createUNetTask(student, undefined, source, {
  ...{ precision, threads, distillation: 0, weighted: false },
});
await checkpoint.close();
const { learningRate, clipNorm, weightDecay } = request;
const options = trainingOptions({
  ...{ precision, learningRate, clipNorm, weightDecay, batchSize: batch },
  ...{ steps: 1_000_000, checkpointEvery: 1_000_000, emaDecay: null },
});
answer({ details: resolveIsa(), versions: { bookend: version } });
await train(task, options, {
  ...{ path: join(folder, 'state'), identity: 'benchmark', resume: false },
  onEvent: (event) => {
    if (event.kind !== 'step') return;
    const { loss, gradientNorm } = event;
    answer({ loss, gradientNorm, seconds: (performance.now() - start) / 1000 });
  },
});
