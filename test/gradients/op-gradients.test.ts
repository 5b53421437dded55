import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Graph } from '../../src/ir/graph.ts';
import type { NumericArray } from '../../src/ir/op.ts';
import { type OpName, opTable } from '../../src/ir/op-table.ts';
import { mul, sum } from '../../src/ir/ops/index.ts';
import { differentiate, gradientName } from '../../src/passes/differentiate.ts';
import { interpret } from '../../src/runtime/reference/interpret.ts';
import { graphOf, opsOf, randomSources } from '../support/graphs.ts';
import { finiteDifferences, TOLERANCE } from './finite-differences.ts';
import { type BuildCase, OP_CASES, WITHOUT_GRADIENT } from './op-cases.ts';

/** A loss that weighs every element of the result differently; `wanted` collects the parameters. */
function lossGraph(build: BuildCase, wanted: string[]): Graph {
  return graphOf((b) => {
    const result = build(b, (name, shape) => {
      wanted.push(name);
      return b.parameter(name, shape);
    });
    const weighted = mul(b, result, b.parameter('lossWeights', result.shape));
    return { loss: sum(b, weighted, { axes: result.shape.map((_, i) => i) }) };
  });
}

/** Ids of a table of 5 rows: 1 is there three times, 0 and 4 are not. */
const IDS: NumericArray = { shape: [2, 3], data: Float64Array.of(1, 3, 1, 2, 2, 1) };

for (const [op, cases] of Object.entries(OP_CASES)) {
  for (const [name, build] of Object.entries(cases)) {
    test(`the gradient of ${op} agrees with finite differences: ${name}`, async () => {
      const wanted: string[] = [];
      const graph = lossGraph(build, wanted);
      assert.ok(opsOf(graph).includes(op as OpName));
      const fixed: Record<string, NumericArray> = 'ids' in graph.inputs ? { ids: IDS } : {};
      const gradients = differentiate(graph, { loss: 'loss', withRespectTo: wanted });
      const results = await interpret(gradients, randomSources(gradients, fixed));
      for (const key of wanted) {
        const expected = await finiteDifferences(graph, key, fixed);
        const actual = results[gradientName(key)];
        assert.deepEqual(actual.shape, graph.parameters.get(key)?.shape);
        // Without influence, as q and k over a single key, both are nothing but rounding.
        const norm = Math.max(Math.hypot(...expected), 1e-2);
        const error = Math.hypot(...expected.map((value, i) => value - actual.data[i])) / norm;
        assert.ok(error <= TOLERANCE, `${key} is off by ${error}: ${actual.data} ≠ ${expected}`);
      }
    });
  }
}

test('every op has a case of finite differences, or a reason to have no gradient', () => {
  const covered = [...Object.keys(OP_CASES), ...Object.keys(WITHOUT_GRADIENT)];
  assert.deepEqual(covered.sort(), Object.keys(opTable).sort());
  for (const [op, { vjp }] of Object.entries(opTable)) {
    assert.equal(vjp === 'not-differentiable', op in WITHOUT_GRADIENT, op);
  }
});
