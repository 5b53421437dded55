import { median } from '../../src/evaluation/benchmark.ts';
import { type Contender, contenderName, type Introduction } from './contender.ts';
import type { StepRequest } from './request.ts';

/** One step of one contender, and the ceiling at its precision, the mean of before and after. */
export interface Round {
  /** FLOP/s. */
  readonly ceiling: number;
  readonly seconds: number;
}

/** What happened to a contender; `failed` and `skipped` say why. */
export type Outcome = Contender &
  (
    | {
        readonly outcome: 'measured';
        readonly introduction: Introduction;
        readonly rounds: readonly Round[];
        readonly peakMemory: number;
      }
    | { readonly outcome: 'failed' | 'skipped'; readonly reason: string }
  );

export interface Comparison {
  readonly cpu: string;
  readonly isa: string;
  readonly request: StepRequest;
  readonly interleaved: boolean;
  /** Of one step, as Bookend's program counts them. */
  readonly flops: number;
  readonly outcomes: readonly Outcome[];
}

export interface Summary {
  /** Medians over the rounds that count. */
  readonly seconds: number;
  readonly ceiling: number;
  /** Median of (FLOPs ÷ that round's ceiling) ÷ that round's seconds: 1 is as fast as can be. */
  readonly fractionOfCeiling: number;
  readonly roundsDropped: number;
}

/** A round whose ceiling is below this share of its contender's best met a busy machine. */
const STEADY = 0.93;

export function summarize(rounds: readonly Round[], flops: number): Summary {
  const best = Math.max(...rounds.map(({ ceiling }) => ceiling));
  const steady = rounds.filter(({ ceiling }) => ceiling >= STEADY * best);
  return {
    seconds: median(steady.map(({ seconds }) => seconds)),
    ceiling: median(steady.map(({ ceiling }) => ceiling)),
    fractionOfCeiling: median(steady.map((round) => flops / round.ceiling / round.seconds)),
    roundsDropped: rounds.length - steady.length,
  };
}

/** Adds the summaries; what `--json` prints. */
export function asJson({ outcomes, ...rest }: Comparison) {
  const { flops } = rest;
  const contenders = outcomes.map((one) =>
    one.outcome === 'measured' ? { ...one, ...summarize(one.rounds, flops) } : one,
  );
  return { ...rest, contenders };
}

/** Markdown: the machine, a table, and below it who is missing and why. */
export function asText(comparison: Comparison): string {
  const { cpu, isa, request, flops, outcomes, interleaved } = comparison;
  const { batch, height, width, threads } = request;
  const title = [
    `${cpu}, ${threads} threads, ${isa}`,
    `${request.model}, batch ${batch}, latents ${height}×${width}, ${(flops / 1e12).toFixed(3)} TFLOP a step`,
    interleaved ? 'rounds interleaved' : 'one contender after the other',
  ].join('; ');
  const header =
    '| contender | s (median) | s (range) | ceiling, GFLOP/s | floor ÷ time | Bookend is | rounds | error to PyTorch fp32 | how |';
  const rows = outcomes.flatMap((one) => row(one, comparison));
  const missing = outcomes.flatMap((one) =>
    one.outcome === 'measured' ? [] : [`${contenderName(one)} ${one.outcome}: ${one.reason}`],
  );
  const rule = `| --- |${' ---: |'.repeat(7)} --- |`;
  return [title, '', header, rule, ...rows, ...(missing.length > 0 ? ['', ...missing] : [])].join(
    '\n',
  );
}

function row(one: Outcome, comparison: Comparison): string[] {
  if (one.outcome !== 'measured') return [];
  const { rounds, introduction } = one;
  const { seconds, ceiling, fractionOfCeiling, roundsDropped } = summarize(
    rounds,
    comparison.flops,
  );
  const times = rounds.map((round) => round.seconds);
  const versions = Object.entries(introduction.versions).map(([name, text]) => `${name} ${text}`);
  const cells = [
    contenderName(one),
    seconds.toFixed(3),
    `${Math.min(...times).toFixed(3)}–${Math.max(...times).toFixed(3)}`,
    (ceiling / 1e9).toFixed(0),
    fractionOfCeiling.toFixed(3),
    speedUp(one, fractionOfCeiling, comparison),
    `${rounds.length - roundsDropped} of ${rounds.length}`,
    introduction.error?.toExponential(1) ?? '',
    `${versions.join(', ')}; ${introduction.details}`,
  ];
  return [`| ${cells.join(' | ')} |`];
}

/** How many times faster Bookend is at that precision, by floor ÷ time. */
function speedUp(one: Contender, fraction: number, { outcomes, flops }: Comparison): string {
  if (one.peer === 'bookend') return '';
  const own = outcomes.find(
    ({ peer, precision }) => peer === 'bookend' && precision === one.precision,
  );
  if (own?.outcome !== 'measured') return '';
  return `${(summarize(own.rounds, flops).fractionOfCeiling / fraction).toFixed(2)}× as fast`;
}
