import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DType } from '../../src/core/dtype.ts';
import type { Tensor } from '../../src/core/tensor.ts';
import { memoryWeights } from '../../src/runtime/memory-weights.ts';
import { nativeBackend } from '../../src/runtime/native/native-backend.ts';
import type { NativeExecutable } from '../../src/runtime/native/native-executable.ts';
import { expectedIsa } from './kernel-sets.ts';
import {
  exactSums,
  expectCodes,
  expectFloats,
  type Int8Layer,
  int8Layer,
  int8Results,
  largestProducts,
  sumsOnly,
  withFloatType,
} from './layer-int8.ts';
import { layerData, layerFlops, layerGraph, samplePositions } from './layer-problems.ts';
import { type Bounded, type LayerData, layerResults } from './layer-reference.ts';
import { FULL_LAYERS, type LayerShape, ODD_LAYERS, REAL_LAYERS } from './layer-shapes.ts';
import { check, type Expectation, type Trial, testableSets } from './problem.ts';

const RESULT = { scale: 0.02, zeroPoint: 101 };
const QUANTIZE = [RESULT.scale, RESULT.zeroPoint];

// Small enough to run again on other numbers of threads.
const FLOPS_FOR_THREADS = 5e7;

interface Case {
  readonly trial: Omit<Trial, 'expectation'>;
  readonly expected: { readonly out?: Expectation; readonly quantized?: Expectation };
}

/** Runs on every set and compares; on several numbers of threads, whose results are the same. */
async function runEverywhere(input: DType, flops: number, cases: readonly Case[]): Promise<void> {
  const weights = memoryWeights(new Map(cases.flatMap(({ trial }) => [...trial.parameters])));
  const ran = new Set<string>();
  for (const isa of testableSets(flops)) {
    const executables: NativeExecutable[] = []; // while one lives, the others share its weights
    try {
      for (const { trial, expected } of cases) {
        let first: Record<string, Tensor> | undefined;
        for (const threads of flops <= FLOPS_FOR_THREADS ? [1, 2, 3] : [2]) {
          const options = { isa, threads, passes: [] };
          const executable = await nativeBackend.compile(trial.graph, weights, options);
          executables.push(executable);
          const [{ op, kernel }, ...others] = executable.info.instructions;
          assert.deepEqual([op, others.length], ['conv2d', 0]);
          assert.equal(kernel.isa, expectedIsa('conv2d', input, isa), kernel.name);
          if (ran.has(kernel.name)) continue; // the same on a lower set
          const results = await executable.run(trial.inputs);
          assert.deepEqual(Object.keys(results), Object.keys(expected));
          for (const [name, expectation] of Object.entries(expected)) {
            check(expectation, results[name], `${name} on ${kernel.name}, ${threads} threads`);
          }
          first ??= results;
          assert.deepEqual(results, first, `${kernel.name} on ${threads} threads`);
        }
      }
      ran.add(executables[0].info.instructions[0].kernel.name);
    } finally {
      for (const executable of executables) executable.dispose();
    }
  }
}

function positionsOf({ outShape }: LayerData): number[] {
  return samplePositions(outShape.reduce((total, extent) => total * extent, 1));
}

function exactCase(shape: LayerShape, layer: Int8Layer): Case {
  const types = { ...layer.types, attributes: { floatType: 'f32' } as const };
  return {
    trial: layerGraph(shape, layer.data, types),
    expected: { out: exactSums(layer, positionsOf(layer.data)) },
  };
}

interface Attributes {
  readonly floatType: 'f32' | 'bf16';
  readonly quantize?: readonly number[];
  readonly keepFloat?: true;
}

const BOTH = { floatType: 'bf16', quantize: QUANTIZE, keepFloat: true } as const;
const ALL: readonly Attributes[] = [
  BOTH,
  { floatType: 'f32', quantize: QUANTIZE, keepFloat: true },
  { floatType: 'bf16', quantize: QUANTIZE },
  { floatType: 'bf16' },
];

function storedCase(shape: LayerShape, layer: Int8Layer, attributes: Attributes): Case {
  const typed = withFloatType(layer, attributes.floatType);
  return {
    trial: layerGraph(shape, typed.data, { ...typed.types, attributes }),
    expected: stored(int8Results(typed), positionsOf(typed.data), attributes),
  };
}

/** What a layer whose results are `results` must store. */
function stored(
  results: (position: number) => Bounded,
  positions: readonly number[],
  { floatType, quantize, keepFloat }: Attributes,
): Case['expected'] {
  const out = expectFloats(results, positions, floatType);
  if (!quantize) return { out };
  const quantized = expectCodes(results, positions, RESULT);
  return keepFloat ? { out, quantized } : { quantized };
}

function testInt8(shape: LayerShape, stores: readonly Attributes[]): void {
  test(`conv2d u8 ${shape.name}`, async () => {
    const layer = int8Layer(shape);
    await runEverywhere('u8', layerFlops(shape), [
      exactCase(shape, sumsOnly(layer)),
      ...stores.map((attributes) => storedCase(shape, layer, attributes)),
    ]);
  });
}

for (const shape of ODD_LAYERS) testInt8(shape, ALL);
for (const shape of [...REAL_LAYERS, ...FULL_LAYERS]) testInt8(shape, [BOTH]);

const LARGEST = ['resnet 1280', 'conv_in', 'feed-forward 2560 → 640 + residual'];

for (const shape of REAL_LAYERS.filter(({ name }) => LARGEST.includes(name))) {
  test(`conv2d u8, the largest products: ${shape.name}`, async () => {
    await runEverywhere('u8', layerFlops(shape), [exactCase(shape, largestProducts(shape))]);
  });
}

for (const shape of [...ODD_LAYERS, REAL_LAYERS[0]]) {
  for (const floatType of ['f32', 'bf16'] as const) {
    test(`conv2d ${floatType} stored as u8: ${shape.name}`, async () => {
      const data = layerData(shape, floatType);
      const results = layerResults(data);
      const cases = ([{}, { keepFloat: true }] as const).map((kept) => {
        const attributes = { quantize: QUANTIZE, ...kept };
        return {
          trial: layerGraph(shape, data, { attributes }),
          expected: stored(results, positionsOf(data), { floatType, ...attributes }),
        };
      });
      await runEverywhere(floatType, layerFlops(shape), cases);
    });
  }
}
