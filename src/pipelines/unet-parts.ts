import type { Graph } from '../ir/graph.ts';
import { inferencePasses, runPasses } from '../passes/index.ts';
import { splitOff } from '../passes/split-off.ts';
import { type HighPrecision, inferencePrecision } from './request.ts';

/** Inputs of U-Nets that are the same for a whole schedule, and for a whole prompt. */
const TIME_INPUTS = ['timestep', 'timestepCondition'];
const TEXT_INPUTS = ['encoderHiddenStates'];

/** A U-Net after the inference passes, cut by how often its results change. */
export interface UNetParts {
  /** The time embedding, projected for every residual block; its batch may be a whole schedule. */
  readonly time: Graph | undefined;
  /** The keys and values of cross-attention. */
  readonly text: Graph | undefined;
  /** The rest, once a step: it reads what the others gave, and `sample`. */
  readonly rest: Graph;
}

/** Passes, then cuts: a fused layer reads its time embedding as one row for each image. */
export function cutUNet(graph: Graph, precision: HighPrecision): UNetParts {
  const ready = runPasses(graph, inferencePasses(inferencePrecision(precision)));
  const present = (names: readonly string[]) =>
    names.filter((name) => Object.hasOwn(graph.inputs, name));
  const time = splitOff(ready, present(TIME_INPUTS));
  const text = splitOff(time.rest, present(TEXT_INPUTS));
  return { time: time.prefix, text: text.prefix, rest: text.rest };
}
