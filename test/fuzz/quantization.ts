/** Fuzzes the reader of quantized models: node test/fuzz/quantization.ts --iterations 20000 */

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openCheckpoint } from '../../src/io/checkpoint.ts';
import { readJsonObject } from '../../src/io/json-file.ts';
import { buildUNet2DModel } from '../../src/models/unet-2d.ts';
import { parseUNet2DConfig } from '../../src/models/unet-2d-config.ts';
import { quantizePostTraining } from '../../src/pipelines/post-training-quantization.ts';
import { stepGraph } from '../../src/pipelines/quantized-unet.ts';
import { weightsOf } from '../../src/pipelines/weights.ts';
import { DEFAULT_QUANTIZATION } from '../../src/quantization/config.ts';
import { parseQuantizedUNet } from '../../src/quantization/quantized-model.ts';
import { checkQuantizedUNet } from '../../src/quantization/quantized-weights.ts';
import { writeTinyModel } from '../golden/pipelines/tiny-models.ts';
import { type FuzzReport, fuzz, runFromCommandLine } from './fuzz.ts';
import { inFolder } from './in-folder.ts';
import { type FuzzRandom, mutate } from './mutate.ts';

/** Mutates one of the two files of a quantized model, or a value of its JSON, and reads both. */
export async function fuzzQuantization(iterations: number, seed: number): Promise<FuzzReport> {
  let report: FuzzReport | undefined;
  await inFolder(async (folder) => {
    const model = await writeTinyModel('ddpm', join(folder, 'ddpm'));
    const quantized = join(folder, 'int8');
    const config = { ...DEFAULT_QUANTIZATION, buckets: 1 };
    await quantizePostTraining(model, quantized, { config, samples: 1, steps: 2 });
    const unet = parseUNet2DConfig(await readJsonObject(join(model, 'unet/config.json')));
    const graph = stepGraph(buildUNet2DModel(unet, { batch: 1, height: 8, width: 8 }));
    const jsonPath = join(quantized, 'unet/quantization.json');
    const tensorsPath = join(quantized, 'unet/quantized.safetensors');
    const [json, tensors] = [await readFile(jsonPath), await readFile(tensorsPath)];
    report = await fuzz(iterations, seed, async (random) => {
      const inTensors = random.below(3) === 0;
      await writeFile(tensorsPath, inTensors ? mutateHeader(tensors, random) : tensors);
      await writeFile(jsonPath, inTensors ? json : mutateJson(json, random));
      const parsed = parseQuantizedUNet(await readJsonObject(jsonPath), jsonPath);
      const source = await openCheckpoint(tensorsPath);
      try {
        await checkQuantizedUNet(parsed, graph, weightsOf(source), tensorsPath);
      } finally {
        await source.close();
      }
    });
  });
  return report!;
}

/** Where the names, types and shapes are; the codes behind them may be any bytes. */
function mutateHeader(file: Buffer, random: FuzzRandom): Buffer {
  const end = 8 + Number(file.readBigUInt64LE(0));
  if (random.below(4) === 0) return mutate(file, random);
  const header = mutate(file.subarray(8, end), random);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, file.subarray(end)]);
}

const VALUES = [null, -1, 0, 1, 1e308, 2 ** 53, 0.5, '', 'x', [], {}, true, '__proto__', 1e-320];

/** Half of the inputs stay JSON, with one value of it replaced, so that the checks are reached. */
function mutateJson(json: Buffer, random: FuzzRandom): Buffer {
  if (random.below(2)) return mutate(json, random);
  const root = JSON.parse(json.toString('utf8'));
  let at = root;
  for (;;) {
    const key = random.pick(Object.keys(at));
    const value = at[key];
    const inner = typeof value === 'object' && value !== null && Object.keys(value).length > 0;
    if (inner && random.below(5) > 0) {
      at = value;
    } else {
      at[key] = random.pick(VALUES);
      return Buffer.from(JSON.stringify(root));
    }
  }
}

if (import.meta.main) await runFromCommandLine(fuzzQuantization);
