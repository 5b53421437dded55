import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openUNet, quantizeUNet } from '../../src/cli/exported-unet.ts';
import type { Graph } from '../../src/ir/graph.ts';
import { graphParameters } from '../../src/models/parameters.ts';
import { hashedWeights } from '../../src/models/random-weights.ts';
import { buildUNet2DModel } from '../../src/models/unet-2d.ts';
import { buildUNet2DConditionModel } from '../../src/models/unet-2d-condition.ts';
import { parseUNet2DConditionConfig } from '../../src/models/unet-2d-condition-config.ts';
import { parseUNet2DConfig } from '../../src/models/unet-2d-config.ts';
import { inferencePasses, runPasses } from '../../src/passes/index.ts';
import { type ModelParts, openModelParts } from '../../src/pipelines/model-parts.ts';
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
  /** It holds ops of gradients, for which there are no kernels. */
  readonly referenceOnly?: true;
}

export interface Cases {
  readonly cases: readonly Case[];
  close(): Promise<void>;
}

const REPOSITORY = join(import.meta.dirname, '../..');
const TINY = join(REPOSITORY, 'test/golden/pipelines/models');

/** Small U-Nets with random weights, and the one of the model folder `model`, float and INT8. */
export async function casesFor(model: string): Promise<Cases> {
  const { graph, ...rest } = allOps();
  const cases: Case[] = [{ name: 'all-ops', graph, ...rest, kind: 'float', referenceOnly: true }];
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
  const parts = await openModelParts(model);
  cases.push(...(await modelCases(parts)));
  return { cases, close: () => parts.close() };
}

/** Of a quantized model, INT8 is its own; of another, made here. */
async function modelCases(parts: ModelParts): Promise<Case[]> {
  const unet = await openUNet(parts, { batch: 1 });
  const runnable = { ...unet, inputs: inputsFor(unet.graph) };
  if (!unet.quantization) return allForms('model', runnable);
  const quantized = quantizeUNet(unet);
  return allForms('model', runnable, { ...quantized, inputs: runnable.inputs });
}

async function allForms(
  name: string,
  runnable: RunnableGraph,
  given?: RunnableGraph,
): Promise<Case[]> {
  const quantized = given ?? (await quantizedForm(runnable));
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
}

async function conditional(folder: string, size: Size): Promise<RunnableGraph> {
  const config = parseUNet2DConditionConfig(await unetConfig(folder));
  return ready(buildUNet2DConditionModel(config, { tokens: 9, ...size }));
}

async function unconditional(folder: string): Promise<RunnableGraph> {
  const config = parseUNet2DConfig(await unetConfig(folder));
  return ready(buildUNet2DModel(config, { batch: 2, height: 8, width: 8 }));
}

function ready(model: Graph): RunnableGraph {
  const weights = hashedWeights(graphParameters(model));
  return { graph: runPasses(model, inferencePasses('f32')), weights, inputs: inputsFor(model) };
}

async function unetConfig(folder: string): Promise<unknown> {
  return JSON.parse(await readFile(join(folder, 'unet/config.json'), 'utf8'));
}
