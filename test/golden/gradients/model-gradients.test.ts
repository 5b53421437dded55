import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Tensor } from '../../../src/core/tensor.ts';
import type { Graph, Value } from '../../../src/ir/graph.ts';
import { isFloating } from '../../../src/ir/ops/rules.ts';
import { graphParameters } from '../../../src/models/parameters.ts';
import { hashedInput, hashedWeights } from '../../../src/models/random-weights.ts';
import {
  differentiate,
  gradientName,
  outputGradientName,
} from '../../../src/passes/differentiate.ts';
import type { Backend } from '../../../src/runtime/backend.ts';
import { nativeBackend } from '../../../src/runtime/native/native-backend.ts';
import { referenceBackend } from '../../../src/runtime/reference/reference-backend.ts';
import {
  fixtureGraphs,
  fixtureInputs,
  type ModelProblem,
  readFixtures,
} from '../models/model-fixtures.ts';

/** A problem, and of each gradient its norm and its inner products with hashed arrays, f32. */
interface GradientFixture extends ModelProblem {
  readonly gradients: Readonly<Record<string, string>>;
}

/**
 * Relative L2. The reference computes in float64, like PyTorch here, and stores float32; native
 * kernels compute in float32. Gradients smaller than `least` of the largest count as that.
 */
const BACKENDS: readonly { backend: Backend; tolerance: number; least: number }[] = [
  { backend: referenceBackend, tolerance: 1e-6, least: 1e-6 },
  { backend: nativeBackend, tolerance: 1e-4, least: 1e-2 },
];

for (const fixture of readFixtures(import.meta.dirname) as GradientFixture[]) {
  describe(`gradients of ${fixture.name}`, () => {
    const graphs = fixtureGraphs(fixture);

    it('are there for every parameter and every input but timesteps and ids', () => {
      const names = graphs.flatMap(sourcesOf);
      assert.deepEqual(names.sort(), Object.keys(fixture.gradients).sort());
    });

    const trials = graphs.flatMap((graph) => BACKENDS.map((trial) => ({ graph, ...trial })));
    for (const { graph, backend, tolerance, least } of trials) {
      // Tables of embeddings are not trained, so their gradient has no native kernel.
      if (backend === nativeBackend && graph.nodes.some(({ op }) => op === 'embedding')) continue;
      it(`are those of PyTorch: ${graph.name}, ${backend.name} backend`, async () => {
        const results = await gradientsOf(fixture, graph, backend);
        const expected = sourcesOf(graph).map((name) => decode(name, fixture.gradients[name]));
        // Keys take the same bias in every score of a softmax: its gradient is zero but for rounding.
        const floor = least * Math.max(...expected.map(({ norm }) => norm));
        for (const { name, norm, products } of expected) {
          const error = distance(name, results[gradientName(name)], products);
          const limit = tolerance * Math.max(norm, floor);
          assert.ok(error <= limit, `${name} is off by ${error / norm} of its norm`);
        }
      });
    }
  });
}

/** Everything that has a gradient: parameters, and inputs that are not the timestep or ids. */
function sourcesOf(graph: Graph): string[] {
  const hasGradient = ([name, { dtype }]: [string, Value]) =>
    name !== 'timestep' && isFloating(dtype);
  const inputs = Object.entries(graph.inputs).filter(hasGradient);
  return [...graph.parameters.keys(), ...inputs.map(([name]) => name)];
}

async function gradientsOf(
  fixture: ModelProblem,
  graph: Graph,
  backend: Backend,
): Promise<Record<string, Tensor>> {
  const outputs = Object.keys(graph.outputs);
  const differentiated = differentiate(graph, { outputs, withRespectTo: sourcesOf(graph) });
  const weights = hashedWeights(graphParameters(differentiated));
  const executable = await backend.compile(differentiated, weights);
  const incoming = Object.entries(graph.outputs).map(([name, { shape }]) => {
    return [outputGradientName(name), hashedInput(outputGradientName(name), shape)];
  });
  const inputs = { ...fixtureInputs(fixture, graph), ...Object.fromEntries(incoming) };
  const results = await executable.run(inputs);
  executable.dispose();
  return results;
}

function decode(name: string, summary: string) {
  const bytes = Uint8Array.from(Buffer.from(summary, 'base64'));
  const [norm, ...products] = new Float32Array(bytes.buffer);
  return { name, norm, products };
}

/**
 * ‖gradient − expected‖, estimated: an error's inner product with independent numbers of unit
 * variance has its norm as standard deviation.
 */
function distance(name: string, gradient: Tensor, products: readonly number[]): number {
  let squares = 0;
  for (const [i, expected] of products.entries()) {
    const { data } = hashedInput(`${name}:${i}`, gradient.shape);
    let product = 0;
    for (let n = 0; n < data.length; n++) product += data[n] * gradient.data[n];
    squares += (product - expected) ** 2;
  }
  return Math.sqrt(squares / products.length);
}
