import { compile } from '../../compiler/compile.ts';
import { byteSize } from '../../core/dtype.ts';
import { elementCount } from '../../core/shape.ts';
import type { Graph } from '../../ir/graph.ts';
import { gradientName } from '../../passes/differentiate.ts';
import { memoryLimit } from '../../runtime/native/memory.ts';
import { type TrainingGraphOptions, trainingGraph } from '../../training/training-graph.ts';

/** The rest is for the system, and for what no plan knows of. */
const SHARE_OF_MEMORY = 0.8;

/**
 * The training graph of a network that computes as little twice as memory allows: training holds
 * parameters, gradients, two moments and a moving average of them in float32, the original network in
 * bf16, and what the graph keeps.
 *
 * @param trainable parameters of `network`
 * @param limit bytes to fit in
 */
export function fittingGraph(
  network: Graph,
  trainable: readonly string[],
  options: Omit<TrainingGraphOptions, 'recomputation'>,
  limit = SHARE_OF_MEMORY * memoryLimit(),
): Graph {
  const count = (paths: Iterable<string>) =>
    [...paths].reduce((sum, path) => sum + elementCount(network.parameters.get(path)!.shape), 0);
  const trained = 5 * count(trainable) * byteSize('f32');
  const fixed = trained + count(network.parameters.keys()) * byteSize('bf16');
  const inPlace = { parameters: new Set(trainable), outputs: new Set(trainable.map(gradientName)) };
  for (const recomputation of ['nothing', 'cheap'] as const) {
    const graph = trainingGraph(network, { ...options, recomputation });
    const { memory } = compile(graph, { passes: [], inPlace });
    if (fixed + memory.arenaBytes <= limit) return graph;
  }
  return trainingGraph(network, { ...options, recomputation: 'blocks' });
}
