import type { Graph } from '../../src/ir/graph.ts';
import type { NumericArray } from '../../src/ir/op.ts';
import { interpret } from '../../src/runtime/reference/interpret.ts';
import { randomArray, randomSources } from '../support/graphs.ts';

/**
 * With h = 1e-5 the truncation, h² f‴ / 6, and the rounding of float64, 1e-16 f / h, are both about
 * 1e-11 of values near one. A rule that is wrong is off by far more.
 */
const STEP = 1e-5;
export const TOLERANCE = 1e-8;

/** Central differences of the output `loss` with respect to every element of `name`. */
export async function finiteDifferences(
  graph: Graph,
  name: string,
  fixed: Readonly<Record<string, NumericArray>> = {},
): Promise<Float64Array> {
  const base = randomArray(name, graph.parameters.get(name) ?? graph.inputs[name]);
  const lossAt = async (i: number, change: number) => {
    const data = base.data.slice();
    data[i] += change;
    const sources = randomSources(graph, { ...fixed, [name]: { shape: base.shape, data } });
    return (await interpret(graph, sources)).loss.data[0];
  };
  const result = new Float64Array(base.data.length);
  for (let i = 0; i < result.length; i++) {
    result[i] = ((await lossAt(i, STEP)) - (await lossAt(i, -STEP))) / (2 * STEP);
  }
  return result;
}
