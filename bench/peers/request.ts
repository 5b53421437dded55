import { compile } from '../../src/compiler/compile.ts';
import { type ProductFlops, productFlops } from '../../src/evaluation/benchmark.ts';
import type { Graph } from '../../src/ir/graph.ts';
import {
  type BuiltInConfigurationName,
  publishedConfiguration,
} from '../../src/models/configurations.ts';
import { buildUNet2DConditionModel } from '../../src/models/unet-2d-condition.ts';
import { parseUNet2DConditionConfig } from '../../src/models/unet-2d-condition-config.ts';
import { benchmarkPasses } from '../../src/pipelines/benchmark-passes.ts';
import type { Precision } from '../../src/quantization/precision-schedule.ts';

/** Pixels to a latent, along each side. */
export const LATENT_STRIDE = 8;

/** One U-Net step, as all contenders read it from a file. */
export interface StepRequest {
  readonly model: string;
  /** config.json of the U-Net, as diffusers and Bookend both read it. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly batch: number;
  /** Of the latents. */
  readonly height: number;
  readonly width: number;
  readonly tokens: number;
  readonly threads: number;
}

export interface StepOptions {
  readonly model: BuiltInConfigurationName;
  /** In pixels. */
  readonly size: { readonly height: number; readonly width: number };
  readonly batch: number;
  readonly threads: number;
  /** A tenth of the channels: for trying the benchmark itself. */
  readonly reduced: boolean;
}

export function stepRequest({ model, size, batch, threads, reduced }: StepOptions): StepRequest {
  const published = publishedConfiguration(model).unet;
  const heads = published.attention_head_dim;
  const config = {
    in_channels: 4,
    ...published,
    ...(reduced && {
      block_out_channels: [32, 64, 128, 128],
      cross_attention_dim: 64,
      attention_head_dim: Array.isArray(heads) ? [2, 4, 8, 8] : heads,
    }),
  };
  return {
    model: reduced ? `${model}-reduced` : model,
    config,
    batch,
    height: size.height / LATENT_STRIDE,
    width: size.width / LATENT_STRIDE,
    tokens: 77,
    threads,
  };
}

export function stepGraph(request: StepRequest): Graph {
  return buildUNet2DConditionModel(parseUNet2DConditionConfig(request.config), request);
}

/** What the products of a step take, as Bookend's program has them. */
export function stepProducts(request: StepRequest, precision: Precision): ProductFlops {
  const passes = benchmarkPasses(precision);
  return productFlops(compile(stepGraph(request), { passes }).instructions);
}
