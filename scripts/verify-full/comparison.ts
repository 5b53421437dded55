import type { Tensor } from '../../src/core/tensor.ts';

/** Relative L2 distance to PyTorch in float32. */
const FP32_LIMIT = 1e-5;
/** Our BF16 error over PyTorch's own, both against PyTorch in float32. */
const BF16_LIMIT = 1.1;

/** What reference.py is asked to evaluate. */
export interface Request {
  readonly name: string;
  readonly config: Record<string, unknown>;
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  readonly tokens: number;
}

export interface Comparison {
  readonly request: Request;
  readonly fp32Error: number;
  readonly bf16Error: number;
  readonly torchBf16Error: number;
  /** Of the first run, after compilation. */
  readonly fp32Seconds: number;
  readonly bf16Seconds: number;
}

/** ‖actual - expected‖ / ‖expected‖; NaN counts as infinitely wrong. */
export function relativeL2(actual: Tensor, expected: Tensor): number {
  let error = 0;
  let norm = 0;
  for (const [i, value] of expected.data.entries()) {
    error += (actual.data[i] - value) ** 2;
    norm += value ** 2;
  }
  const relative = Math.sqrt(error / norm);
  return Number.isNaN(relative) ? Number.POSITIVE_INFINITY : relative;
}

export function withinLimits({ fp32Error, bf16Error, torchBf16Error }: Comparison): boolean {
  return fp32Error <= FP32_LIMIT && bf16Error <= BF16_LIMIT * torchBf16Error;
}

/** A Markdown table, one row a model. */
export function table(comparisons: readonly Comparison[]): string {
  const header = `| model | latents | FP32 error (≤ ${FP32_LIMIT}) | BF16 error | PyTorch's BF16 error | ratio (≤ ${BF16_LIMIT}) | FP32, BF16 run, s | |`;
  const rows = comparisons.map((comparison) => {
    const { request, fp32Error, bf16Error, torchBf16Error, fp32Seconds, bf16Seconds } = comparison;
    const cells = [
      request.name,
      `${request.batch}×${request.height}×${request.width}`,
      fp32Error.toExponential(2),
      bf16Error.toExponential(3),
      torchBf16Error.toExponential(3),
      (bf16Error / torchBf16Error).toFixed(3),
      `${fp32Seconds.toFixed(1)}, ${bf16Seconds.toFixed(1)}`,
      withinLimits(comparison) ? 'ok' : 'FAILED',
    ];
    return `| ${cells.join(' | ')} |`;
  });
  return [header, `|${' --- |'.repeat(8)}`, ...rows].join('\n');
}
