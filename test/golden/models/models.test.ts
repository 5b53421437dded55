import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Graph } from '../../../src/ir/graph.ts';
import { graphParameters } from '../../../src/models/parameters.ts';
import { hashedWeights } from '../../../src/models/random-weights.ts';
import { inferencePasses, runPasses } from '../../../src/passes/index.ts';
import { referenceBackend } from '../../../src/runtime/reference/reference-backend.ts';
import {
  fixtureCases,
  fixtureParameters,
  type ModelCase,
  modelFixtures,
  parseFixtureConfig,
  relativeL2,
} from './model-fixtures.ts';

/** Outputs are stored as float32, whose rounding alone is 2.5e-8. */
const TOLERANCE = 1e-6;

for (const fixture of modelFixtures()) {
  describe(`model fixture ${fixture.name}`, () => {
    it('has the same parameters as the library', () => {
      const expected = new Map(Object.entries(fixture.parameters));
      const actual = fixtureParameters(fixture);
      assert.deepEqual(new Map([...actual].sort()), new Map([...expected].sort()));
    });

    it('takes the same defaults as the library', () => {
      const explicit = parseFixtureConfig(fixture, fixture.saved_config);
      assert.deepEqual(parseFixtureConfig(fixture, fixture.config), explicit);
    });

    for (const modelCase of fixtureCases(fixture)) {
      it(`computes what the library computes: ${modelCase.name}`, async () => {
        await checkCase(modelCase, modelCase.graph);
      });

      it(`computes the same after the inference passes: ${modelCase.name}`, async () => {
        await checkCase(modelCase, runPasses(modelCase.graph, inferencePasses('f32')));
      });
    }
  });
}

async function checkCase({ inputs, outputs }: ModelCase, graph: Graph): Promise<void> {
  const executable = await referenceBackend.compile(graph, hashedWeights(graphParameters(graph)));
  const actual = await executable.run(inputs);
  executable.dispose();
  assert.deepEqual(Object.keys(actual).sort(), Object.keys(outputs).sort());
  for (const [key, expected] of Object.entries(outputs)) {
    assert.deepEqual(actual[key].shape, expected.shape);
    const error = relativeL2(actual[key], expected);
    assert.ok(error <= TOLERANCE, `${key} is off by ${error}, more than ${TOLERANCE}`);
  }
}
