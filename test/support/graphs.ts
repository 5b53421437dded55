import assert from 'node:assert/strict';
import { elementCount } from '../../src/core/shape.ts';
import type { Graph, Value } from '../../src/ir/graph.ts';
import { GraphBuilder } from '../../src/ir/graph-builder.ts';
import type { NumericArray } from '../../src/ir/op.ts';
import type { OpName } from '../../src/ir/op-table.ts';
import { type InterpretOptions, interpret } from '../../src/runtime/reference/interpret.ts';

/** A graph from a function that builds it and names its outputs. */
export function graphOf(build: (b: GraphBuilder) => Readonly<Record<string, Value>>): Graph {
  const b = new GraphBuilder('test');
  for (const [name, value] of Object.entries(build(b))) b.output(name, value);
  return b.finish();
}

/** Numbers in [-1, 1) that depend on `name` alone (mulberry32 over an FNV-1a hash). */
export function randomArray(name: string, { shape }: Pick<Value, 'shape'>): NumericArray {
  let state = 0x811c9dc5;
  for (const char of name) state = Math.imul(state ^ (char.codePointAt(0) ?? 0), 0x01000193);
  const data = Float64Array.from({ length: elementCount(shape) }, () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1;
  });
  return { shape, data };
}

/** Random numbers for every input and parameter, by name, so that rewritten graphs get the same. */
export function randomSources(
  graph: Graph,
  overrides: Readonly<Record<string, NumericArray>> = {},
): (value: Value) => NumericArray {
  const sources = new Map<Value, NumericArray>();
  for (const [name, value] of [...Object.entries(graph.inputs), ...graph.parameters]) {
    sources.set(value, overrides[name] ?? randomArray(name, value));
  }
  return (value) => sources.get(value)!;
}

/** The outputs of `graph` on random inputs and parameters. */
export function evaluateRandomly(
  graph: Graph,
  options?: InterpretOptions,
): Promise<Record<string, NumericArray>> {
  return interpret(graph, randomSources(graph), options);
}

/** ‖actual − expected‖ / ‖expected‖. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  assert.equal(actual.length, expected.length);
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i] - expected[i]) ** 2;
    norm += expected[i] ** 2;
  }
  return Math.sqrt(difference / Math.max(norm, Number.MIN_VALUE));
}

/** Asserts that both graphs have the same interface and compute the same numbers. */
export async function assertEquivalent(
  actual: Graph,
  expected: Graph,
  tolerance = 1e-12,
): Promise<void> {
  const typesOf = (values: Readonly<Record<string, Value>>) =>
    Object.entries(values).map(([name, { dtype, shape }]) => [name, dtype, shape]);
  assert.deepEqual(typesOf(actual.inputs), typesOf(expected.inputs));
  assert.deepEqual(typesOf(actual.outputs), typesOf(expected.outputs));
  const [after, before] = [await evaluateRandomly(actual), await evaluateRandomly(expected)];
  for (const [name, { data }] of Object.entries(before)) {
    const error = relativeError(after[name].data, data);
    assert.ok(error <= tolerance, `output ${name} differs by ${error}`);
  }
}

/** The ops of the nodes, in order. */
export function opsOf(graph: Graph): OpName[] {
  return graph.nodes.map((node) => node.op);
}
