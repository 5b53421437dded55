import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Tensor, tensor } from '../../../src/core/tensor.ts';
import { publishedConfiguration } from '../../../src/models/configurations.ts';
import { RandomStream } from '../../../src/training/random-stream.ts';

/** What is trained, as both sides read it from a file. */
export interface TrainingBenchmarkRequest {
  readonly name: string;
  /** config.json of the U-Net, as diffusers and Bookend both read it. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Its safetensors. */
  readonly weights: string;
  readonly batch: number;
  /** Height and width of the latents. */
  readonly size: number;
  readonly tokens: number;
  readonly threads: number;
  readonly learningRate: number;
  readonly clipNorm: number;
  readonly weightDecay: number;
}

export const BATCHES_FILE = 'batches.safetensors';
/** Different ones, taken in turn. */
export const BATCHES = 8;

export const NETWORKS = ['emoji', 'sd-half'] as const;
export type NetworkName = (typeof NETWORKS)[number];

const EMOJI = join(import.meta.dirname, '../../../models/emoji/unet');

/**
 * `emoji`: the embedded model's U-Net, 15 M parameters. `sd-half`: that of Stable Diffusion 1.x with
 * half of the channels and without its innermost level, random weights, 114 M parameters.
 */
export function network(
  name: NetworkName,
  folder: string,
): Pick<TrainingBenchmarkRequest, 'name' | 'config' | 'weights' | 'size' | 'tokens'> {
  if (name === 'emoji') {
    const config = JSON.parse(readFileSync(join(EMOJI, 'config.json'), 'utf8'));
    const weights = join(EMOJI, 'diffusion_pytorch_model.safetensors');
    return { name, config, weights, size: 16, tokens: 32 };
  }
  const config = {
    in_channels: 4,
    ...publishedConfiguration('sd-1.5').unet,
    block_out_channels: [160, 320, 640],
    down_block_types: ['CrossAttnDownBlock2D', 'CrossAttnDownBlock2D', 'DownBlock2D'],
    up_block_types: ['UpBlock2D', 'CrossAttnUpBlock2D', 'CrossAttnUpBlock2D'],
  };
  return { name, config, weights: join(folder, 'unet.safetensors'), size: 32, tokens: 77 };
}

/** Random samples, noise, timesteps and texts, the same from run to run. */
export function randomBatches(request: TrainingBenchmarkRequest): Map<string, Tensor> {
  const { batch, size, tokens, config } = request;
  const noise = RandomStream.start(1, 'noise');
  const draws = RandomStream.start(1, 'timesteps');
  const normals = (shape: readonly number[]) =>
    tensor('f32', shape, noise.normals(shape.reduce((product, extent) => product * extent)));
  const image = [BATCHES, batch, size, size, config.in_channels as number];
  const timesteps = Float32Array.from({ length: BATCHES * batch }, () => draws.below(1000));
  return new Map([
    ['noisy', normals(image)],
    ['noise', normals(image)],
    ['timesteps', tensor('f32', [BATCHES, batch], timesteps)],
    ['text', normals([BATCHES, batch, tokens, config.cross_attention_dim as number])],
  ]);
}
