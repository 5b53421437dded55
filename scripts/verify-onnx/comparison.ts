import type { Tensor } from '../../src/core/tensor.ts';
import { relativeL2 } from '../verify-full/comparison.ts';

/** How a case's results may differ from the reference interpreter's. */
export interface Limits {
  /** Relative L2 distance of the floating-point outputs. */
  readonly error: number;
  /** Share of the codes that are off, by one step at most. */
  readonly codes: number;
}

/** How far outputs are from expected ones. */
export interface Distance {
  /** The largest relative L2 distance of a floating-point output. */
  readonly error: number;
  /** Codes that differ, as a share of all; 0 where outputs are floating-point. */
  readonly codes: number;
  /** The largest difference of codes. */
  readonly steps: number;
}

export interface Comparison {
  readonly name: string;
  readonly nodes: number;
  readonly limits: Limits;
  readonly plain: Distance;
  readonly optimized: Distance;
  /** Relative L2 distance of the quantized graph to the float one, by the interpreter. */
  readonly quantizationError?: number;
}

export function distance(pairs: readonly (readonly [actual: Tensor, expected: Tensor])[]) {
  let [error, codes, off, steps] = [0, 0, 0, 0];
  for (const [actual, expected] of pairs) {
    if (expected.dtype !== 'u8') {
      error = Math.max(error, relativeL2(actual, expected));
      continue;
    }
    codes += expected.data.length;
    for (const [i, code] of expected.data.entries()) {
      const difference = Math.abs(actual.data[i] - code);
      if (difference > 0) off++;
      steps = Math.max(steps, difference);
    }
  }
  return { error, codes: codes === 0 ? 0 : off / codes, steps };
}

export function withinLimits({ plain, optimized, limits }: Comparison): boolean {
  return [plain, optimized].every(
    ({ error, codes, steps }) => error <= limits.error && codes <= limits.codes && steps <= 1,
  );
}

/** A Markdown table, one row a case. */
export function table(comparisons: readonly Comparison[]): string {
  const rows = comparisons.map((comparison) => {
    const { name, nodes, limits, plain, optimized, quantizationError } = comparison;
    const cells = [
      name,
      `${nodes}`,
      limits.error.toExponential(1),
      show(plain),
      show(optimized),
      quantizationError?.toExponential(2) ?? '',
      withinLimits(comparison) ? 'ok' : 'FAILED',
    ];
    return `| ${cells.join(' | ')} |`;
  });
  const header = '| graph | ONNX nodes | limit | plain | optimized | INT8 − float | |';
  return [header, `|${' --- |'.repeat(7)}`, ...rows].join('\n');
}

function show({ error, codes, steps }: Distance): string {
  const off = steps === 0 ? '' : `, ${(100 * codes).toFixed(4)}% of codes off by ${steps}`;
  return `${error.toExponential(2)}${off}`;
}
