import type { GroupNormSplit } from '../compiler/instructions.ts';
import type { Graph, Value } from '../ir/graph.ts';
import { GraphBuilder } from '../ir/graph-builder.ts';
import { isOp, type NodeOf } from '../ir/op-table.ts';
import { totalUsage, type Usage } from './core-usage.ts';
import { type CoreUsageOptions, measureCoreUsage } from './measure-core-usage.ts';
import { syntheticWeights } from './synthetic-weights.ts';

export const GROUP_NORM_SPLITS: readonly GroupNormSplit[] = ['rows', 'channels', 'groups'];

/** What a way to split came to, in the order of the numbers of threads that were asked for. */
export interface SplitUsage {
  /** Of all its loops. */
  readonly tasks: number;
  readonly measured: readonly Usage[];
  readonly simulated: readonly Usage[];
}

type BySplit = Readonly<Record<GroupNormSplit, SplitUsage>>;

/** One GroupNorm of a network, as often as it has one of this shape. */
export interface GroupNormUsage {
  /** [batch, ..., channels], of both sources together. */
  readonly shape: readonly number[];
  readonly groups: number;
  readonly count: number;
  readonly splits: BySplit;
}

export interface GroupNormComparison {
  /** Costliest first. */
  readonly norms: readonly GroupNormUsage[];
  /** Every GroupNorm of one run. */
  readonly all: BySplit;
}

type GroupNormNode = NodeOf<'groupNorm'>;

/**
 * Every GroupNorm of `graph`, which must have been through its passes, split into tasks by rows, by
 * channels and by groups (experiment 3 of arXiv 2311.16133), each run by itself over and over again:
 * they are short, so each of `rounds` is four runs.
 */
export async function compareGroupNormSplits(
  graph: Graph,
  options: Omit<CoreUsageOptions, 'passes' | 'groupNormSplit'>,
): Promise<GroupNormComparison> {
  const norms: GroupNormUsage[] = [];
  for (const nodes of distinctNorms(graph)) {
    const alone = aloneIn(nodes[0]);
    const weights = syntheticWeights(alone.parameters);
    const measure = (groupNormSplit: GroupNormSplit): Promise<SplitUsage> =>
      measureCoreUsage(alone, weights, {
        ...options,
        groupNormSplit,
        passes: [],
        rounds: 4 * options.rounds,
      });
    const splits = {
      rows: await measure('rows'),
      channels: await measure('channels'),
      groups: await measure('groups'),
    };
    const { shape } = nodes[0].outputs[0];
    norms.push({ shape, groups: nodes[0].attributes.groups, count: nodes.length, splits });
  }
  const cost = ({ count, splits }: GroupNormUsage) => count * splits.rows.simulated[0].seconds;
  norms.sort((a, b) => cost(b) - cost(a));
  const all = {
    rows: addUp(norms, 'rows', options),
    channels: addUp(norms, 'channels', options),
    groups: addUp(norms, 'groups', options),
  };
  return { norms, all };
}

/** Nodes of the same work together. */
function distinctNorms(graph: Graph): GroupNormNode[][] {
  const groups = new Map<string, GroupNormNode[]>();
  for (const node of graph.nodes) {
    if (!isOp(node, 'groupNorm')) continue;
    const { x, skip } = node.inputs;
    const key = JSON.stringify([x.dtype, x.shape, skip?.shape, node.attributes]);
    groups.set(key, [...(groups.get(key) ?? []), node]);
  }
  return [...groups.values()];
}

/** A graph of the node alone. */
function aloneIn({ inputs: { x, skip, gamma, beta }, attributes }: GroupNormNode): Graph {
  const b = new GraphBuilder('group-norm');
  const input = (name: string, { dtype, shape }: Value) => b.input(name, dtype, shape);
  const operands = {
    x: input('x', x),
    ...(skip && { skip: input('skip', skip) }),
    gamma: b.parameter('weight', gamma.shape),
    beta: b.parameter('bias', beta.shape),
  };
  b.output('out', b.apply('groupNorm', operands, attributes)[0]);
  return b.finish();
}

/** The work of all norms of a run, one after the other. */
function addUp(
  norms: readonly GroupNormUsage[],
  split: GroupNormSplit,
  { measured, simulated }: Pick<CoreUsageOptions, 'measured' | 'simulated'>,
): SplitUsage {
  const total = (threads: number, pick: (usage: SplitUsage) => Usage) => {
    const each = norms.map(({ count, splits }) => repeated(pick(splits[split]), count));
    return totalUsage(threads, each);
  };
  return {
    tasks: norms.reduce((sum, { count, splits }) => sum + count * splits[split].tasks, 0),
    measured: measured.map((threads, i) => total(threads, (usage) => usage.measured[i])),
    simulated: simulated.map((threads, i) => total(threads, (usage) => usage.simulated[i])),
  };
}

function repeated({ threads, seconds, busySeconds }: Usage, count: number): Usage {
  return { threads, seconds: count * seconds, busySeconds: count * busySeconds };
}
