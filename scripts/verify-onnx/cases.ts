import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openCheckpoint } from '../../src/io/checkpoint.ts';
import type { Graph } from '../../src/ir/graph.ts';
import { graphParameters } from '../../src/models/parameters.ts';
import { hashedWeights } from '../../src/models/random-weights.ts';
import { buildUNet2DModel } from '../../src/models/unet-2d.ts';
import { buildUNet2DConditionModel } from '../../src/models/unet-2d-condition.ts';
import { parseUNet2DConditionConfig } from '../../src/models/unet-2d-condition-config.ts';
import { parseUNet2DConfig } from '../../src/models/unet-2d-config.ts';
import { inferencePasses, runPasses } from '../../src/passes/index.ts';
import { weightsOf } from '../../src/pipelines/weights.ts';
import type { WeightSource } from '../../src/runtime/backend.ts';
import { allOps, inputsFor } from './all-ops.ts';
import { nodesApart } from './apart.ts';
import { quantizedForm, type RunnableGraph } from './quantize.ts';

/** A graph to export and run. */
export interface Case extends RunnableGraph {
  readonly name: string;
  /** 'apart': INT8, node by node. */
  readonly kind: 'float' | 'int8' | 'apart';
  /** What an INT8 graph was made from. */
  readonly float?: RunnableGraph;
}

const REPOSITORY = join(import.meta.dirname, '../..');
const TINY = join(REPOSITORY, 'test/golden/pipelines/models');

/** Small U-Nets with random weights, and the one of the model folder `model`, float and INT8. */
export async function casesFor(model: string): Promise<Case[]> {
  const { graph, ...rest } = allOps();
  const cases: Case[] = [{ name: 'all-ops', graph, ...rest, kind: 'float' }];
  const tiny = await conditional(join(TINY, 'sd'), { batch: 2, height: 8, width: 6 });
  // The odd height makes an upsampling by no whole factor.
  const odd = await conditional(join(TINY, 'sd'), { batch: 1, height: 7, width: 8 });
  const distilled = await conditional(join(TINY, 'sd-distilled'), {
    batch: 1,
    height: 8,
    width: 8,
  });
  cases.push(...(await allForms('tiny', tiny)), ...(await allForms('tiny-odd', odd)));
  cases.push(...(await allForms('tiny-distilled', distilled)));
  cases.push(...(await allForms('tiny-unconditional', await unconditional(join(TINY, 'ddpm')))));
  const source = await openCheckpoint(join(model, 'unet'));
  const size = { batch: 1, height: 16, width: 16, tokens: 77 };
  cases.push(...(await allForms('model', await conditional(model, size, weightsOf(source)))));
  return cases;
}

async function allForms(name: string, runnable: RunnableGraph): Promise<Case[]> {
  const quantized = await quantizedForm(runnable);
  return [
    { name, ...runnable, kind: 'float' },
    { name: `${name}-int8`, ...quantized, kind: 'int8', float: runnable },
    { name: `${name}-int8-apart`, ...(await nodesApart(quantized)), kind: 'apart' },
  ];
}

interface Size {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  readonly tokens?: number;
}

async function conditional(
  folder: string,
  size: Size,
  weights?: WeightSource,
): Promise<RunnableGraph> {
  const config = parseUNet2DConditionConfig(await unetConfig(folder));
  return ready(buildUNet2DConditionModel(config, { tokens: 9, ...size }), weights);
}

async function unconditional(folder: string): Promise<RunnableGraph> {
  const config = parseUNet2DConfig(await unetConfig(folder));
  return ready(buildUNet2DModel(config, { batch: 2, height: 8, width: 8 }));
}

function ready(
  model: Graph,
  weights: WeightSource = hashedWeights(graphParameters(model)),
): RunnableGraph {
  return { graph: runPasses(model, inferencePasses('f32')), weights, inputs: inputsFor(model) };
}

async function unetConfig(folder: string): Promise<unknown> {
  return JSON.parse(await readFile(join(folder, 'unet/config.json'), 'utf8'));
}
