import {
  floorOf,
  isSteady,
  mapCeilings,
  median,
  type ProbedCeilings,
  type ProductFlops,
} from '../../src/evaluation/benchmark.ts';
import type { Precision } from '../../src/quantization/precision-schedule.ts';
import { type Contender, contenderName, type Introduction } from './contender.ts';
import type { StepRequest } from './request.ts';

/** One step of one contender, and the ceilings at its precision, the means of before and after. */
export interface Round {
  readonly ceilings: ProbedCeilings;
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
  /** Of one step, as Bookend's programs have them, at each precision that was asked for. */
  readonly products: Partial<Readonly<Record<Precision, ProductFlops>>>;
  readonly outcomes: readonly Outcome[];
}

export interface Summary {
  /** Medians over the rounds that count. */
  readonly seconds: number;
  readonly ceilings: ProbedCeilings;
  /** Median of floor ÷ seconds, the floor from that round's ceilings: 1 is as fast as can be. */
  readonly fractionOfCeiling: number;
  readonly roundsDropped: number;
}

export function summarize(rounds: readonly Round[], products: ProductFlops): Summary {
  const steady = rounds.filter((round) => isSteady(round, rounds));
  return {
    seconds: median(steady.map(({ seconds }) => seconds)),
    ceilings: mapCeilings(rounds[0].ceilings, (type) =>
      median(steady.map(({ ceilings }) => ceilings[type]!)),
    ),
    fractionOfCeiling: median(
      steady.map(({ ceilings, seconds }) => floorOf(products, ceilings) / seconds),
    ),
    roundsDropped: rounds.length - steady.length,
  };
}

/** Adds the summaries; what `--json` prints. */
export function asJson({ outcomes, ...rest }: Comparison) {
  const contenders = outcomes.map((one) =>
    one.outcome === 'measured'
      ? { ...one, ...summarize(one.rounds, rest.products[one.precision]!) }
      : one,
  );
  return { ...rest, contenders };
}

/** Markdown: the machine, a table, and below it who is missing and why. */
export function asText(comparison: Comparison): string {
  const { cpu, isa, request, products, outcomes, interleaved } = comparison;
  const { batch, height, width, threads } = request;
  const kinds = Object.entries(products).map(
    ([precision, flops]) => `${precision} ${gigaText(flops)}`,
  );
  const title = [
    `${cpu}, ${threads} threads, ${isa}`,
    `${request.model}, batch ${batch}, latents ${height}×${width}`,
    `GFLOP a step: ${kinds.join(', ')}`,
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
  const products = comparison.products[one.precision]!;
  const { seconds, ceilings, fractionOfCeiling, roundsDropped } = summarize(rounds, products);
  const times = rounds.map((round) => round.seconds);
  const versions = Object.entries(introduction.versions).map(([name, text]) => `${name} ${text}`);
  const cells = [
    contenderName(one),
    seconds.toFixed(3),
    `${Math.min(...times).toFixed(3)}–${Math.max(...times).toFixed(3)}`,
    gigaText(ceilings),
    fractionOfCeiling.toFixed(3),
    speedUp(one, fractionOfCeiling, comparison),
    `${rounds.length - roundsDropped} of ${rounds.length}`,
    introduction.error?.toExponential(1) ?? '',
    `${versions.join(', ')}; ${introduction.details}`,
  ];
  return [`| ${cells.join(' | ')} |`];
}

/** How many times faster Bookend is at that precision, by floor ÷ time. */
function speedUp(one: Contender, fraction: number, { outcomes, products }: Comparison): string {
  if (one.peer === 'bookend') return '';
  const own = outcomes.find(
    ({ peer, precision }) => peer === 'bookend' && precision === one.precision,
  );
  if (own?.outcome !== 'measured') return '';
  const { fractionOfCeiling } = summarize(own.rounds, products[one.precision]!);
  return `${(fractionOfCeiling / fraction).toFixed(2)}× as fast`;
}

/** Billions, by what is multiplied; the type goes without saying where it is the only one. */
export function gigaText(values: ProductFlops): string {
  const entries = Object.entries(values);
  return entries
    .map(([type, value]) => `${entries.length > 1 ? `${type} ` : ''}${(value / 1e9).toFixed(0)}`)
    .join(' + ');
}
