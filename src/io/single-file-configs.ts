import { BookendError } from '../core/errors.ts';
import type { Shape } from '../core/shape.ts';
import type { TensorView } from './tensor-source.ts';

type Views = ReadonlyMap<string, TensorView>;

/** Component configurations in the form of a diffusers folder's JSON files. */
export type SingleFileConfigs = ReturnType<typeof singleFileConfigs>;

/**
 * Derives the configurations from shapes. What no shape shows is that of the published models:
 * SD 1.x has 8 heads everywhere and quick GELU, 2.x has heads of 64 channels and GELU.
 *
 * @param parts U-Net and VAE under LDM names without prefix, text encoder under Hugging Face names
 * @throws BookendError `missing-tensor` or `invalid-checkpoint`
 */
export function singleFileConfigs(
  parts: { unet: Views; vae: Views; text: Views },
  origin: string,
  facts: { openClip: boolean; predictionType: 'epsilon' | 'v_prediction' },
) {
  const large = facts.predictionType === 'v_prediction';
  return {
    unet: unetConfig(parts.unet, origin, facts.openClip, large ? 96 : 64),
    vae: vaeConfig(parts.vae, origin, large ? 768 : 512),
    text_encoder: textConfig(parts.text, origin, facts.openClip),
    scheduler: schedulerConfig(facts.predictionType),
  };
}

function unetConfig(views: Views, origin: string, openClip: boolean, sampleSize: number) {
  const shape = shapes(views, origin);
  const levels = downLevels(views, shape, origin);
  const channels = levels.map((level) => level.channels);
  const attention = levels.map((level) => level.crossAttention !== undefined);
  const crossAttention = levels.find((level) => level.crossAttention)?.crossAttention;
  if (crossAttention === undefined) throw malformed(origin, 'no cross-attention');
  return {
    _class_name: 'UNet2DConditionModel',
    act_fn: 'silu',
    attention_head_dim: openClip ? channels.map((count) => count / 64) : 8,
    block_out_channels: channels,
    center_input_sample: false,
    cross_attention_dim: shape(crossAttention)[1],
    down_block_types: attention.map((has) => (has ? 'CrossAttnDownBlock2D' : 'DownBlock2D')),
    downsample_padding: 1,
    flip_sin_to_cos: true,
    freq_shift: 0,
    in_channels: shape('input_blocks.0.0.weight')[1],
    layers_per_block: levels[0].layers,
    mid_block_scale_factor: 1,
    norm_eps: 1e-5,
    norm_num_groups: 32,
    out_channels: shape('out.2.weight')[0],
    sample_size: sampleSize,
    up_block_types: attention.toReversed().map((has) => (has ? 'CrossAttnUpBlock2D' : 'UpBlock2D')),
    use_linear_projection: levels.some((level) => level.linearProjection),
  };
}

interface Level {
  channels: number;
  layers: number;
  crossAttention: string | undefined;
  linearProjection: boolean;
}

/** Walks the input blocks; each downsampler starts the next level. */
function downLevels(views: Views, shape: (name: string) => Shape, origin: string): Level[] {
  const fresh = (): Level => ({
    channels: 0,
    layers: 0,
    crossAttention: undefined,
    linearProjection: false,
  });
  const levels = [fresh()];
  for (let i = 1; hasBlock(views, `input_blocks.${i}.`); i++) {
    const block = `input_blocks.${i}`;
    if (views.has(`${block}.0.op.weight`)) {
      levels.push(fresh());
      continue;
    }
    const level = levels[levels.length - 1];
    level.channels = shape(`${block}.0.out_layers.3.weight`)[0];
    level.layers++;
    if (views.has(`${block}.1.proj_in.weight`)) {
      level.crossAttention = `${block}.1.transformer_blocks.0.attn2.to_k.weight`;
      level.linearProjection = shape(`${block}.1.proj_in.weight`).length === 2;
    }
  }
  if (levels.some((level) => level.layers === 0 || level.layers !== levels[0].layers)) {
    throw malformed(origin, 'levels of unequal depth');
  }
  return levels;
}

function vaeConfig(views: Views, origin: string, sampleSize: number) {
  const shape = shapes(views, origin);
  const channels: number[] = [];
  for (let i = 0; hasBlock(views, `encoder.down.${i}.block.`); i++) {
    channels.push(shape(`encoder.down.${i}.block.0.conv2.weight`)[0]);
  }
  if (channels.length === 0) throw malformed(origin, 'a VAE without levels');
  let layers = 0;
  while (hasBlock(views, `encoder.down.0.block.${layers}.`)) layers++;
  return {
    _class_name: 'AutoencoderKL',
    act_fn: 'silu',
    block_out_channels: channels,
    down_block_types: channels.map(() => 'DownEncoderBlock2D'),
    in_channels: shape('encoder.conv_in.weight')[1],
    latent_channels: shape('post_quant_conv.weight')[0],
    layers_per_block: layers,
    norm_num_groups: 32,
    out_channels: shape('decoder.conv_out.weight')[0],
    sample_size: sampleSize,
    scaling_factor: 0.18215,
    up_block_types: channels.map(() => 'UpDecoderBlock2D'),
  };
}

function textConfig(views: Views, origin: string, openClip: boolean) {
  const shape = shapes(views, origin);
  const [vocabulary, width] = shape('text_model.embeddings.token_embedding.weight');
  let layers = 0;
  while (hasBlock(views, `text_model.encoder.layers.${layers}.`)) layers++;
  return {
    architectures: ['CLIPTextModel'],
    bos_token_id: 0,
    eos_token_id: 2,
    hidden_act: openClip ? 'gelu' : 'quick_gelu',
    hidden_size: width,
    intermediate_size: shape('text_model.encoder.layers.0.mlp.fc1.weight')[0],
    layer_norm_eps: 1e-5,
    max_position_embeddings: shape('text_model.embeddings.position_embedding.weight')[0],
    model_type: 'clip_text_model',
    num_attention_heads: width / 64,
    num_hidden_layers: layers,
    pad_token_id: 1,
    vocab_size: vocabulary,
  };
}

/** As published with SD 1.5 and 2.1: PNDM without Runge–Kutta steps. */
function schedulerConfig(predictionType: 'epsilon' | 'v_prediction') {
  return {
    _class_name: 'PNDMScheduler',
    beta_end: 0.012,
    beta_schedule: 'scaled_linear',
    beta_start: 0.00085,
    clip_sample: false,
    num_train_timesteps: 1000,
    prediction_type: predictionType,
    set_alpha_to_one: false,
    skip_prk_steps: true,
    steps_offset: 1,
  };
}

function hasBlock(views: Views, prefix: string): boolean {
  for (const name of views.keys()) if (name.startsWith(prefix)) return true;
  return false;
}

/** Looks up shapes; every tensor asked for has at least two axes in a sound file. */
function shapes(views: Views, origin: string): (name: string) => Shape {
  return (name) => {
    const shape = views.get(name)?.location.shape;
    if (!shape) {
      throw new BookendError(
        'missing-tensor',
        `${origin} has no tensor ${name}, which every Stable Diffusion checkpoint has; fetch it again.`,
      );
    }
    if (shape.length < 2) throw malformed(origin, `${name} of shape [${shape.join(', ')}]`);
    return shape;
  };
}

function malformed(origin: string, found: string): BookendError {
  return new BookendError(
    'invalid-checkpoint',
    `${origin} has ${found}, which no Stable Diffusion has; check that it is a whole checkpoint.`,
  );
}
