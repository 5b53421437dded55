import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { BookendError } from '../../core/errors.ts';
import type { Shape } from '../../core/shape.ts';
import { floats, type Tensor, tensor } from '../../core/tensor.ts';
import { readTfjsModel, type TfjsModel } from '../../io/tfjs-model.ts';
import { checkParameters } from '../../models/check-parameters.ts';
import {
  type BatchNormOptions,
  foldBatchNorm,
  unfoldedParameters,
} from '../../models/fold-batch-norm.ts';
import { buildInceptionV3 } from '../../models/inception-v3.ts';
import { graphParameters, type ParameterShapes } from '../../models/parameters.ts';
import type { WeightSource } from '../../runtime/backend.ts';
import { InceptionExtractor, type InceptionOptions } from './inception-extractor.ts';

const CONFIG = { lastPool: 'average' } as const;
/** Those of Keras's Inception-V3, whose norms have no scale. */
const NORM: BatchNormOptions = { epsilon: 1e-3, scale: false };

/** Where the model lies below a folder in which the package was installed, or unpacked. */
const PLACES = [
  join('node_modules', 'nsfwjs', 'dist', 'models', 'inception_v3'),
  join('dist', 'models', 'inception_v3'),
  '',
];

/**
 * An extractor that needs no download but a registry's: the Inception-V3 of npm's `nsfwjs` (MIT; run
 * `npm install nsfwjs` in any folder), trained on ImageNet and then on another task, with weights in 8
 * bits. Its distances rank models as the standard FID's do, roughly, but their numbers are others,
 * which is why its name says what it is.
 *
 * @param folder where the package was installed, the package, or the folder of its model
 * @throws BookendError `not-found`, `io`, `invalid-checkpoint`, `missing-tensor`
 */
export async function loadNsfwjsInception(
  folder: string,
  options?: InceptionOptions,
): Promise<InceptionExtractor> {
  const model = await readTfjsModel(await findModel(folder));
  const folded = graphParameters(buildInceptionV3(CONFIG, 1));
  const weights = kerasWeights(model, folded);
  checkParameters(unfoldedParameters(folded, NORM), weights, {
    origin: model.origin,
    model: "Keras's Inception-V3",
  });
  const network = { name: 'inception-v3-nsfwjs', config: CONFIG, black: 0 } as const;
  const close = async () => undefined;
  const read = foldBatchNorm(weights, NORM);
  return new InceptionExtractor({ ...network, weights: read, close }, options);
}

async function findModel(folder: string): Promise<string> {
  for (const place of PLACES) {
    const candidate = join(folder, place);
    for (const file of ['model.json', 'model.min.js']) {
      const found = await stat(join(candidate, file)).catch(() => undefined);
      if (found?.isFile()) return candidate;
    }
  }
  throw new BookendError(
    'not-found',
    `${folder} holds no Inception-V3 of nsfwjs; run: npm install nsfwjs, and name the folder in which you did.`,
  );
}

/**
 * Keras numbers convolutions and norms as they were made, in torchvision's order: the first unit is
 * `conv2d_1` and `batch_normalization_1`. Kernels [height, width, in, out] become [out, in, height,
 * width]. What the package was trained to on top is not named.
 */
function kerasWeights(model: TfjsModel, folded: ParameterShapes): WeightSource {
  const units = [...folded.keys()].filter((name) => name.endsWith('.conv.weight'));
  const kerasNames = new Map<string, string>();
  for (const [i, name] of units.entries()) {
    const norm = name.replace(/conv\.weight$/, 'bn');
    kerasNames.set(name, `conv2d_${i + 1}/kernel`);
    kerasNames.set(`${norm}.bias`, `batch_normalization_${i + 1}/beta`);
    kerasNames.set(`${norm}.running_mean`, `batch_normalization_${i + 1}/moving_mean`);
    kerasNames.set(`${norm}.running_var`, `batch_normalization_${i + 1}/moving_variance`);
  }
  const shapeOf = (name: string) => model.shapes.get(kerasNames.get(name) ?? '');
  return {
    names: () => [...kerasNames.keys()].filter((name) => shapeOf(name) !== undefined),
    info: (name) => {
      const shape = shapeOf(name);
      return shape && { dtype: 'f32', shape: shape.length === 4 ? turnedShape(shape) : shape };
    },
    read: async (name) => {
      const stored = model.read(kerasNames.get(name) ?? name);
      return stored.shape.length === 4 ? turnedKernel(stored) : stored;
    },
  };
}

function turnedShape([height, width, inner, outer]: Shape): Shape {
  return [outer, inner, height, width];
}

function turnedKernel(stored: Tensor): Tensor {
  const [height, width, inner, outer] = stored.shape;
  const values = floats(stored);
  const taps = height * width;
  const turned = new Float32Array(values.length);
  for (let tap = 0, from = 0; tap < taps; tap++) {
    for (let i = 0; i < inner; i++) {
      for (let o = 0; o < outer; o++, from++) turned[(o * inner + i) * taps + tap] = values[from];
    }
  }
  return tensor('f32', turnedShape(stored.shape), turned);
}
