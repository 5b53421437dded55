import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NativeOp } from '../../src/compiler/instructions.ts';
import type { DType } from '../../src/core/dtype.ts';
import { floats, type Tensor } from '../../src/core/tensor.ts';
import type { Graph } from '../../src/ir/graph.ts';
import { memoryWeights } from '../../src/runtime/memory-weights.ts';
import type { IsaName } from '../../src/runtime/native/addon.ts';
import { type NativeOptions, nativeBackend } from '../../src/runtime/native/native-backend.ts';
import { cannotTest, expectedIsa, ISAS, isEmulated } from './kernel-sets.ts';
import { findViolation } from './tolerance.ts';

/** A graph of one op with its data. */
export interface Trial {
  readonly graph: Graph;
  readonly inputs: Readonly<Record<string, Tensor>>;
  readonly parameters: ReadonlyMap<string, Tensor>;
  readonly expectation: Expectation;
}

/** True numbers and how far off a kernel may be, at all output positions or at `positions`. */
export interface Expectation {
  readonly positions?: readonly number[];
  readonly expected: ArrayLike<number>;
  readonly allowed: ArrayLike<number>;
}

export interface Problem {
  readonly name: string;
  /** What the op becomes. */
  readonly op: NativeOp;
  readonly dtypes: readonly DType[];
  /** Rough cost of one run, to leave the slowest kernels out of the largest problems. */
  readonly flops: number;
  /** Other ways to run it, which must give the same bits. */
  readonly ways?: readonly NativeOptions[];
  make(dtype: DType): Trial | Promise<Trial>;
}

// About a second each.
const MOST_FLOPS: Record<IsaName, number> = {
  scalar: 3e8,
  avx2: 1e11,
  avx2_vnni: 1e11,
  avx512: 1e11,
  avx512_vnni: 1e11,
  avx512_vnni_bf16: 1e11,
  amx: 1e11,
};
const MOST_EMULATED_FLOPS = 5e7;
// Small enough to run again on other numbers of threads, where results must be the same.
const FLOPS_FOR_THREADS = 5e7;
const OTHER_THREADS: readonly NativeOptions[] = [
  { threads: 1 },
  { threads: 3 },
  { threads: 64, simulateThreads: true },
];

/** The sets that can run `flops` in a bearable time, by emulation or for real. */
export function testableSets(flops: number): readonly IsaName[] {
  return ISAS.filter((isa) => {
    if (cannotTest(isa) !== undefined) return false;
    return flops <= (isEmulated(isa) ? MOST_EMULATED_FLOPS : MOST_FLOPS[isa]);
  });
}

/** Runs `problem` in every dtype on every instruction set there is, and compares. */
export function testProblem(problem: Problem): void {
  for (const dtype of problem.dtypes) {
    test(`${problem.op} ${dtype} ${problem.name}`, async () => {
      const trial = await problem.make(dtype);
      const weights = memoryWeights(trial.parameters);
      const ran = new Set<string>();
      for (const isa of testableSets(problem.flops)) {
        let names = '';
        let first: Tensor | undefined;
        const others = problem.flops <= FLOPS_FOR_THREADS ? OTHER_THREADS : [];
        for (const way of [{}, ...others, ...(problem.ways ?? [])]) {
          const options = { isa, threads: 2, passes: [], ...way };
          const executable = await nativeBackend.compile(trial.graph, weights, options);
          try {
            const kernels = executable.info.instructions.filter(({ op }) => op === problem.op);
            assert.ok(kernels.length > 0, `no instruction is a ${problem.op}`);
            for (const { kernel } of kernels) {
              assert.equal(kernel.isa, expectedIsa(problem.op, dtype, isa), kernel.name);
            }
            names = kernels.map(({ kernel }) => kernel.name).join();
            if (ran.has(names)) break; // the same on a lower set
            const { out } = await executable.run(trial.inputs);
            if (!first) check(trial.expectation, out, `${isa} (${names})`);
            first ??= out;
            assert.deepEqual(out, first, `${names}, ${JSON.stringify(way)}`);
          } finally {
            executable.dispose();
          }
        }
        ran.add(names);
      }
    });
  }
}

/** Asserts that `out` is as expected. */
export function check(
  { positions, expected, allowed }: Expectation,
  out: Tensor,
  what: string,
): void {
  const all = floats(out);
  const got = positions ? positions.map((position) => all[position]) : all;
  assert.equal(got.length, expected.length);
  const worst = findViolation(got, expected, allowed);
  if (!worst) return;
  const at = positions ? positions[worst.index] : worst.index;
  assert.fail(
    `${what}: element ${at} is ${worst.got}, not ${worst.expected}; ${Math.abs(worst.got - worst.expected).toExponential(2)} off, allowed ${worst.allowed.toExponential(2)}`,
  );
}
