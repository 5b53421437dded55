import { cpSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DType } from '../../../src/core/dtype.ts';
import { castTensor, type Tensor } from '../../../src/core/tensor.ts';
import type { WeightedComponent } from '../../../src/io/key-aliases.ts';
import { writeSafetensors } from '../../../src/io/safetensors.ts';
import { parseAutoencoderKLConfig } from '../../../src/models/autoencoder-kl-config.ts';
import { parseCLIPTextConfig } from '../../../src/models/clip-text-model-config.ts';
import {
  autoencoderKLParameters,
  clipTextModelParameters,
  type ParameterShapes,
  unet2DConditionParameters,
  unet2DParameters,
} from '../../../src/models/parameters.ts';
import { hashedParameter } from '../../../src/models/random-weights.ts';
import { parseUNet2DConditionConfig } from '../../../src/models/unet-2d-condition-config.ts';
import { parseUNet2DConfig } from '../../../src/models/unet-2d-config.ts';

/**
 * `sd` is whole; `sd-inpaint` has a U-Net of nine input channels, `sd-distilled` one that is told
 * the guidance scale, and `sd-zero-snr` another scheduler; `ddpm` and `ddim` are unconditional.
 */
export type TinyModel = 'sd' | 'sd-inpaint' | 'sd-distilled' | 'sd-zero-snr' | 'ddpm' | 'ddim';

/** Changes a component's tensors before they are stored, to make a damaged checkpoint. */
export type Tamper = (component: WeightedComponent, tensors: Map<string, Tensor>) => void;

interface Component {
  readonly file: string;
  /** make.py rounds to the same. */
  readonly dtype: DType;
  readonly parameters: (config: { readonly _class_name?: string }) => ParameterShapes;
}

const COMPONENTS: Readonly<Record<WeightedComponent, Component>> = {
  text_encoder: {
    file: 'model.safetensors',
    dtype: 'f16',
    parameters: (config) => clipTextModelParameters(parseCLIPTextConfig(config)),
  },
  unet: {
    file: 'diffusion_pytorch_model.safetensors',
    dtype: 'bf16',
    parameters: (config) =>
      config._class_name === 'UNet2DModel'
        ? unet2DParameters(parseUNet2DConfig(config))
        : unet2DConditionParameters(parseUNet2DConditionConfig(config)),
  },
  vae: {
    file: 'diffusion_pytorch_model.safetensors',
    dtype: 'f32',
    parameters: (config) => autoencoderKLParameters(parseAutoencoderKLConfig(config)),
  },
};

/** Writes a model folder with the weights that make.py used. */
export async function writeTinyModel(
  name: TinyModel,
  folder: string,
  tamper: Tamper = () => {},
): Promise<string> {
  const models = join(import.meta.dirname, 'models');
  for (const part of name.startsWith('sd') ? ['sd', name] : [name]) {
    cpSync(join(models, part), folder, { recursive: true });
  }
  for (const component of ['text_encoder', 'unet', 'vae'] as const) {
    if (!existsSync(join(folder, component))) continue;
    const { file, dtype, parameters } = COMPONENTS[component];
    const config = JSON.parse(readFileSync(join(folder, component, 'config.json'), 'utf8'));
    const tensors = new Map<string, Tensor>();
    for (const [path, shape] of parameters(config)) {
      tensors.set(path, castTensor(hashedParameter(path, shape), dtype));
    }
    tamper(component, tensors);
    await writeSafetensors(join(folder, component, file), tensors);
  }
  return folder;
}
