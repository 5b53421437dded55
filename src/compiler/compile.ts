import { byteSize } from '../core/dtype.ts';
import { elementCount } from '../core/shape.ts';
import type { Graph, Value } from '../ir/graph.ts';
import { isOp } from '../ir/op-table.ts';
import { verify } from '../ir/verify.ts';
import { type InferencePrecision, inferencePasses, type Pass, runPasses } from '../passes/index.ts';
import type { GroupNormSplit, Instruction, Place, Storage } from './instructions.ts';
import { type Lowered, lower } from './lower.ts';
import type { InPlaceNames } from './lowering.ts';
import { type Lifetime, planMemory } from './memory-plan.ts';
import { arenaOffset, type Port, type Program } from './program.ts';

export interface CompileOptions {
  /** What the whole graph computes in. Default: f32. */
  readonly precision?: InferencePrecision;
  /** Instead of the passes that `precision` stands for. */
  readonly passes?: readonly Pass[];
  /** Parameters and outputs that lie in arrays of their own, which runs read and write in place. */
  readonly inPlace?: InPlaceNames;
  /** Default: 'rows', the fastest. */
  readonly groupNormSplit?: GroupNormSplit;
}

/**
 * From a model's Graph to a Program: passes, then instructions, then a place in memory for each
 * result.
 *
 * @throws BookendError `invalid-graph`, or `unsupported` for an op without a native kernel
 */
export function compile(graph: Graph, options: CompileOptions = {}): Program {
  const passes = options.passes ?? inferencePasses(options.precision ?? 'f32');
  const ready = runPasses(graph, passes);
  verify(ready);
  const lowered = lower(ready, options);
  const memory = planMemory(lifetimes(lowered));
  const port = (name: string, value: Value, place: Place): Port => ({
    name,
    dtype: value.dtype,
    shape: value.shape,
    offset: arenaOffset(memory, place)!,
    bytes: elementCount(value.shape) * byteSize(value.dtype),
    ...idLimit(ready, value),
  });
  return {
    name: graph.name,
    graph: ready,
    instructions: lowered.lowering.instructions,
    memory,
    inputs: [...lowered.inputs].map(([name, place]) => port(name, ready.inputs[name], place)),
    outputs: [...lowered.outputs].map(([name, place]) => port(name, ready.outputs[name], place)),
  };
}

/** Inputs are there before the first instruction and outputs until after the last. */
function lifetimes({ lowering, inputs, outputs }: Lowered): Lifetime[] {
  const { instructions, storages } = lowering;
  const spans = new Map<Storage, { first: number; last: number }>();
  const touch = (place: Place, at: number) => {
    if (!('storage' in place)) return;
    const span = spans.get(place.storage) ?? { first: at, last: at };
    span.first = Math.min(span.first, at);
    span.last = Math.max(span.last, at);
    spans.set(place.storage, span);
  };
  for (const place of inputs.values()) touch(place, -1);
  for (const [i, { operands }] of instructions.entries()) {
    for (const place of Object.values(operands as Instruction['operands'])) touch(place, i);
  }
  for (const place of outputs.values()) touch(place, instructions.length);
  return storages
    .filter(({ array }) => !array)
    .map((storage) => ({ storage, ...spans.get(storage)! }));
}

/** Rows of the smallest table that `value` picks from, directly or reshaped. */
function idLimit(graph: Graph, value: Value): { idLimit?: number } {
  const limits: number[] = [];
  const names = new Set([value]);
  for (const node of graph.nodes) {
    if (isOp(node, 'reshape') && names.has(node.inputs.x)) names.add(node.outputs[0]);
    if (isOp(node, 'embedding') && names.has(node.inputs.ids)) {
      limits.push(node.inputs.table.shape[0]);
    }
  }
  return limits.length > 0 ? { idLimit: Math.min(...limits) } : {};
}
