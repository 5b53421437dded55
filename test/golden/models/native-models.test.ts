import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Tensor } from '../../../src/core/tensor.ts';
import { graphParameters } from '../../../src/models/parameters.ts';
import { hashedWeights } from '../../../src/models/random-weights.ts';
import { inferencePasses, runPasses } from '../../../src/passes/index.ts';
import { instructionSets } from '../../../src/runtime/native/cpu.ts';
import { nativeBackend } from '../../../src/runtime/native/native-backend.ts';
import { referenceBackend } from '../../../src/runtime/reference/reference-backend.ts';
import { fixtureCases, type ModelCase, modelFixtures, relativeL2 } from './model-fixtures.ts';

/** A network adds up rounding of 6e-8 an operation to about 1e-6. */
const FP32_LIMIT = 5e-6;

/**
 * Native BF16 may be this much worse than exact arithmetic that rounds every result to BF16: errors
 * of a thousand outputs vary by some 10% between equally good orders of summation.
 */
const BF16_RATIO = 1.3;

const isas = instructionSets().filter(({ missing }) => missing === null);

describe('models on the native backend', () => {
  for (const modelCase of modelFixtures().flatMap(fixtureCases)) {
    for (const { name: isa } of isas) {
      it(`${modelCase.name} on ${isa}`, async () => {
        const weights = hashedWeights(graphParameters(modelCase.graph));
        const run = async (precision: 'f32' | 'bf16') => {
          const compiled = nativeBackend.compile(modelCase.graph, weights, { precision, isa });
          const executable = await compiled;
          const outputs = await executable.run(modelCase.inputs);
          executable.dispose();
          return errors(modelCase, outputs);
        };
        const fp32 = await run('f32');
        const bf16 = await run('bf16');
        const rounded = await roundedErrors(modelCase);
        for (const key of Object.keys(modelCase.outputs)) {
          assert.ok(fp32[key] <= FP32_LIMIT, `FP32 ${key} is off by ${fp32[key]}`);
          const limit = BF16_RATIO * rounded[key];
          assert.ok(bf16[key] <= limit, `BF16 ${key} is off by ${bf16[key]}, more than ${limit}`);
        }
      });
    }
  }
});

function errors(
  { outputs }: ModelCase,
  actual: Readonly<Record<string, Tensor>>,
): Record<string, number> {
  const entries = Object.entries(outputs).map(([key, expected]) => [
    key,
    relativeL2(actual[key], expected),
  ]);
  return Object.fromEntries(entries);
}

const roundedCache = new Map<string, Promise<Record<string, number>>>();

/** Errors of exact arithmetic whose every stored value is rounded to BF16. */
function roundedErrors(modelCase: ModelCase): Promise<Record<string, number>> {
  const { name, graph, inputs } = modelCase;
  const known = roundedCache.get(name);
  if (known) return known;
  const evaluate = async () => {
    const weights = hashedWeights(graphParameters(graph));
    const lowered = runPasses(graph, inferencePasses('bf16'));
    const executable = await referenceBackend.compile(lowered, weights, { roundToDType: true });
    return errors(modelCase, await executable.run(inputs));
  };
  const result = evaluate();
  roundedCache.set(name, result);
  return result;
}
