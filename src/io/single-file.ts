import { BookendError } from '../core/errors.ts';
import { openCheckpoint } from './checkpoint.ts';
import { type WeightedComponent, withCanonicalKeys } from './key-aliases.ts';
import { openClipKeys, unetKey, vaeKey } from './ldm-keys.ts';
import { type SingleFileConfigs, singleFileConfigs } from './single-file-configs.ts';
import {
  reshapeView,
  sliceRows,
  sourceOfViews,
  type TensorSource,
  type TensorView,
} from './tensor-source.ts';

export type SingleFilePrediction = 'epsilon' | 'v_prediction';

export interface SingleFileOptions {
  /**
   * What the U-Net predicts. The tensors of SD 2.x do not tell (2.1-base and 2.1-v have the same
   * keys and shapes), so it comes from here, else from what the file says of itself
   * (`modelspec.prediction_type` in its metadata, or a marker tensor `v_pred`), else it is epsilon.
   */
  readonly predictionType?: SingleFilePrediction;
}

/** A single-file checkpoint, seen as the components of a diffusers folder. It has no tokenizer. */
export interface SingleFileModel {
  readonly family: 'sd-1' | 'sd-2';
  /** The U-Net has nine input channels: latents, mask, masked latents. */
  readonly inpainting: boolean;
  readonly predictionType: SingleFilePrediction;
  readonly configs: SingleFileConfigs;
  readonly sources: Readonly<Record<WeightedComponent, TensorSource>>;
  close(): Promise<void>;
}

const UNET = 'model.diffusion_model.';
const VAE = 'first_stage_model.';
const CLIP = 'cond_stage_model.transformer.';
const OPEN_CLIP = 'cond_stage_model.model.';

/**
 * Opens an LDM/A1111 `.safetensors` of Stable Diffusion 1.x or 2.x. Tensors are renamed and sliced
 * in place: nothing is copied, and every one still is a run of bytes of the file.
 *
 * @throws BookendError `unsupported` for other model families, `invalid-checkpoint` or
 * `missing-tensor` for broken files, and whatever `openCheckpoint` throws
 */
export async function openSingleFile(
  path: string,
  options: SingleFileOptions = {},
): Promise<SingleFileModel> {
  const file = await openCheckpoint(path);
  try {
    return asSingleFileModel(file, options);
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** The same for tensors that are already open; closing the model closes them. */
export function asSingleFileModel(
  file: TensorSource,
  options: SingleFileOptions = {},
): SingleFileModel {
  const openClip = refuseOtherFamilies(file);
  const predictionType = options.predictionType ?? declaredPrediction(file) ?? 'epsilon';
  const unet = under(file, UNET);
  const vae = under(file, VAE);
  const configs = singleFileConfigs({ unet, vae, text: textViews(file, openClip) }, file.origin, {
    openClip,
    predictionType,
  });
  const source = (component: WeightedComponent, views: ReadonlyMap<string, TensorView>) =>
    sourceOfViews(`${component} of ${file.origin}`, withCanonicalKeys(component, views), []);
  const inputChannels = configs.unet.in_channels;
  return {
    family: openClip ? 'sd-2' : 'sd-1',
    inpainting: inputChannels === 9,
    predictionType,
    configs,
    sources: {
      unet: source('unet', unetViews(unet, configs.unet.layers_per_block)),
      vae: source('vae', vaeViews(vae, configs.vae.block_out_channels.length)),
      text_encoder: source('text_encoder', textViews(file, openClip)),
    },
    close: () => file.close(),
  };
}

/** @returns whether the text encoder is OpenCLIP's, which tells 2.x from 1.x */
function refuseOtherFamilies(file: TensorSource): boolean {
  const holds = (prefix: string) => file.names().some((name) => name.startsWith(prefix));
  const missing = [UNET, VAE].filter((prefix) => !holds(prefix));
  if (holds('conditioner.embedders.')) {
    throw unsupported(file, 'is a Stable Diffusion XL checkpoint');
  }
  if (missing.length > 0) {
    throw unsupported(file, `has no tensors under ${missing.join(' and ')}`);
  }
  const openClip = holds(OPEN_CLIP);
  if (openClip === holds(CLIP)) {
    const found = openClip ? 'both kinds of' : 'no';
    throw unsupported(file, `holds ${found} text encoder (${CLIP}* of 1.x, ${OPEN_CLIP}* of 2.x)`);
  }
  return openClip;
}

function unsupported(file: TensorSource, found: string): BookendError {
  return new BookendError(
    'unsupported',
    `${file.origin} ${found}; a single file must hold U-Net, VAE and text encoder of Stable Diffusion 1.x or 2.x, anything else load from a folder in the Hugging Face layout.`,
  );
}

function declaredPrediction(file: TensorSource): SingleFilePrediction | undefined {
  const declared = file.metadata['modelspec.prediction_type'];
  if (declared === undefined) return file.has('v_pred') ? 'v_prediction' : undefined;
  if (declared === 'epsilon') return 'epsilon';
  if (declared === 'v' || declared === 'v_prediction') return 'v_prediction';
  throw new BookendError(
    'unsupported',
    `${file.origin} declares the prediction type ${JSON.stringify(declared.slice(0, 40))}, where epsilon or v is supported; pass predictionType if you know better.`,
  );
}

/** The tensors whose names start with `prefix`, without it. */
function under(file: TensorSource, prefix: string): Map<string, TensorView> {
  const views = new Map<string, TensorView>();
  for (const [name, view] of file.views) {
    if (name.startsWith(prefix)) views.set(name.slice(prefix.length), view);
  }
  return views;
}

function unetViews(views: ReadonlyMap<string, TensorView>, layersPerBlock: number) {
  const renamed = new Map<string, TensorView>();
  for (const [name, view] of views) {
    const key = unetKey(name, layersPerBlock);
    if (key !== undefined) renamed.set(key, view);
  }
  return renamed;
}

function vaeViews(views: ReadonlyMap<string, TensorView>, levels: number) {
  const renamed = new Map<string, TensorView>();
  for (const [name, view] of views) {
    if (/^(encoder|decoder|quant_conv|post_quant_conv)\./.test(name)) {
      const key = vaeKey(name, levels);
      renamed.set(key, /\.attentions\./.test(key) ? linearOfConvolution(view) : view);
    }
  }
  return renamed;
}

/** LDM's attention projects with 1×1 convolutions, [C, C, 1, 1] or [C, C, 1]; ours is linear. */
function linearOfConvolution(view: TensorView): TensorView {
  const { shape } = view.location;
  const convolution = shape.length > 2 && shape.slice(2).every((extent) => extent === 1);
  return convolution ? reshapeView(view, shape.slice(0, 2)) : view;
}

function textViews(file: TensorSource, openClip: boolean): Map<string, TensorView> {
  if (!openClip) return withCanonicalKeys('text_encoder', under(file, CLIP));
  const renamed = new Map<string, TensorView>();
  for (const [name, view] of under(file, OPEN_CLIP)) {
    const keys = openClipKeys(name);
    const rows = view.location.shape[0] / keys.length;
    if (keys.length === 3 && !(Number.isInteger(rows) && rows > 0)) {
      throw new BookendError(
        'invalid-checkpoint',
        `${file.origin} has ${OPEN_CLIP}${name} of shape [${view.location.shape.join(', ')}], whose rows cannot be split into q, k and v; fetch it again.`,
      );
    }
    keys.forEach((key, i) => {
      renamed.set(key, keys.length === 1 ? view : sliceRows(view, i * rows, (i + 1) * rows));
    });
  }
  return renamed;
}
