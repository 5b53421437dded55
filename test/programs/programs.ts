import type { Graph } from '../../src/ir/graph.ts';
import { print } from '../../src/ir/print.ts';
import { buildAutoencoderKLDecoder } from '../../src/models/autoencoder-kl.ts';
import { buildCLIPTextModel } from '../../src/models/clip-text-model.ts';
import { builtInConfiguration } from '../../src/models/configurations.ts';
import { buildInceptionV3 } from '../../src/models/inception-v3.ts';
import { buildUNet2DConditionModel } from '../../src/models/unet-2d-condition.ts';
import { inferencePasses, runPasses } from '../../src/passes/index.ts';
import { quantizeLayers } from '../../src/passes/quantize-layers.ts';
import { DEFAULT_QUANTIZATION, selectLayers } from '../../src/quantization/config.ts';

function sd15UNet(): Graph {
  const { unet } = builtInConfiguration('sd-1.5');
  return buildUNet2DConditionModel(unet, { batch: 2, height: 64, width: 64, tokens: 77 });
}

/** Made-up scales: which layers are quantized, and who stores the codes, is what the text shows. */
function sd15UNetInt8(): Graph {
  const graph = runPasses(sd15UNet(), inferencePasses('bf16'));
  const params = { scale: 0.05, zeroPoint: 128 };
  const layers = selectLayers(graph, DEFAULT_QUANTIZATION).map(
    ({ path }) => [path, { x: params, skip: params }] as const,
  );
  return quantizeLayers(new Map(layers)).run(graph);
}

/** The graphs under version control, so that a change to a model or a pass shows as a diff. */
const GRAPHS: Readonly<Record<string, () => Graph>> = {
  'sd-1.5-unet': sd15UNet,
  'sd-1.5-unet-bf16': () => runPasses(sd15UNet(), inferencePasses('bf16')),
  'sd-1.5-unet-int8': sd15UNetInt8,
  'sd-2.1-unet': () =>
    buildUNet2DConditionModel(builtInConfiguration('sd-2.1').unet, {
      batch: 2,
      height: 96,
      width: 96,
      tokens: 77,
    }),
  'sd-1.5-vae-decoder': () =>
    buildAutoencoderKLDecoder(builtInConfiguration('sd-1.5').vae, {
      batch: 1,
      height: 64,
      width: 64,
    }),
  'sd-1.5-text-encoder': () =>
    buildCLIPTextModel(builtInConfiguration('sd-1.5').textEncoder, { batch: 2, tokens: 77 }),
  'inception-v3-fid': () => {
    const graph = buildInceptionV3({ lastPool: 'max', classes: 1008 }, 1);
    return runPasses(graph, inferencePasses('f32'));
  },
};

/** File name in this folder to what it must hold. */
export function printedPrograms(): Map<string, string> {
  return new Map(
    Object.entries(GRAPHS).map(([name, build]) => [`${name}.txt`, print(build())] as const),
  );
}
