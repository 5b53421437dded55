import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { floats, type Tensor, tensor } from '../../../src/core/tensor.ts';
import { openCheckpoint } from '../../../src/io/checkpoint.ts';
import { writeSafetensors } from '../../../src/io/safetensors.ts';
import { buildUNet2DConditionModel } from '../../../src/models/unet-2d-condition.ts';
import { parseUNet2DConditionConfig } from '../../../src/models/unet-2d-condition-config.ts';
import { quantizedNames } from '../../../src/passes/quantize-layers.ts';
import { stepGraph } from '../../../src/pipelines/quantized-unet.ts';
import { DEFAULT_QUANTIZATION, selectLayers } from '../../../src/quantization/config.ts';
import {
  equalRanges,
  formatQuantizedUNet,
  QUANTIZATION_JSON,
  QUANTIZED_TENSORS,
  quantizedUNet,
} from '../../../src/quantization/quantized-model.ts';
import type { PrecisionSensitivity } from '../../../src/quantization/sensitivity.ts';
import { writeTinyModel } from './tiny-models.ts';

/** Ranges of activations by bucket: crude, but for these models good enough to tell steps apart. */
const RANGES = [6, 8];

/** The tiny model `sd` quantized without calibration: nearest weights, one range for all layers. */
export async function writeTinyQuantizedModel(
  folder: string,
  sensitivity?: PrecisionSensitivity,
): Promise<string> {
  await writeTinyModel('sd', folder);
  const unet = join(folder, 'unet');
  const json = JSON.parse(readFileSync(join(unet, 'config.json'), 'utf8'));
  const size = { batch: 2, height: 8, width: 8, tokens: 77 };
  const graph = stepGraph(buildUNet2DConditionModel(parseUNet2DConditionConfig(json), size));
  const config = { ...DEFAULT_QUANTIZATION, buckets: RANGES.length };
  const layers = selectLayers(graph, config);
  const buckets = equalRanges(1000, RANGES.length).map((range, i) => {
    const x = { scale: (2 * RANGES[i]) / 255, zeroPoint: 128 };
    const params = layers.map(
      ({ path, node }) => [path, node.inputs.skip ? { x, skip: x } : { x }] as const,
    );
    return { ...range, layers: new Map(params) };
  });
  const origin = {
    method: 'ptq',
    samples: 0,
    steps: 0,
    guidanceScale: 1,
    seed: 0,
    scheduler: 'ddim',
    isa: 'scalar',
  } as const;
  const model = quantizedUNet({
    config,
    origin,
    reports: [],
    trainTimesteps: 1000,
    buckets,
    ...(sensitivity && { sensitivity }),
  });
  await writeFile(join(unet, QUANTIZATION_JSON), formatQuantizedUNet(model));

  const source = await openCheckpoint(join(unet, 'diffusion_pytorch_model.safetensors'));
  const tensors = new Map<string, Tensor>();
  for (const { path } of layers) {
    const weight = await source.read(`${path}.weight`);
    const bias = source.has(`${path}.bias`) ? await source.read(`${path}.bias`) : undefined;
    for (const [name, value] of quantized(path, weight, bias)) tensors.set(name, value);
  }
  await source.close();
  await writeSafetensors(join(unet, QUANTIZED_TENSORS), tensors);
  return folder;
}

function quantized(path: string, weight: Tensor, bias: Tensor | undefined): [string, Tensor][] {
  const [outputs] = weight.shape;
  const values = floats(weight);
  const each = values.length / outputs;
  const scales = Float32Array.from({ length: outputs }, (_, o) => {
    const row = values.subarray(o * each, (o + 1) * each);
    return Math.max(...row.map(Math.abs), 1e-6) / 127;
  });
  const codes = Int8Array.from(values, (value, i) =>
    Math.round(value / scales[Math.floor(i / each)]),
  );
  const biases = bias ? floats(bias) : new Float32Array(outputs);
  const names = quantizedNames(path);
  return [
    [names.weight, tensor('s8', weight.shape, codes)],
    [names.scale, tensor('f32', [outputs], scales)],
    [names.bias, tensor('f32', [outputs], biases)],
  ];
}
