import { deviation, mean, standardError } from '../../src/evaluation/statistics.ts';
import type { Arm } from './arms.ts';

/** PSNRs to FP32 of one setting of one arm: [seed][prompt], dB. */
export type Psnrs = readonly (readonly number[])[];

export interface ArmResult {
  readonly arm: Pick<Arm, 'name' | 'title'>;
  /** By the setting's name. */
  readonly psnrs: Readonly<Record<string, Psnrs>>;
  /** Of all training steps, for each seed; 0 where a model was there from before. */
  readonly trainingSeconds: readonly number[];
}

/** Two-sided 95% of a normal distribution; with 200 prompts, Student's t is within 1% of it. */
const QUANTILE = 1.96;

/** What one row of the table says. */
export interface Row {
  readonly arm: string;
  readonly setting: string;
  readonly seeds: readonly number[];
  readonly mean: number;
  /** Standard deviation of the seeds' means. */
  readonly spread: number;
  /** Of the mean over prompts, each prompt's seeds averaged. */
  readonly standardError: number;
  /** To PTQ's image of the same prompt, with half the width of its 95% interval. */
  readonly gain: { readonly mean: number; readonly halfWidth: number };
}

/** Images equal to the reference would have no finite PSNR; there should be none. */
export function rowsOf(results: readonly ArmResult[], baseline: string): Row[] {
  const ptq = results.find(({ arm }) => arm.name === baseline)!;
  return results.flatMap(({ arm, psnrs }) =>
    Object.entries(psnrs).map(([setting, bySeed]) => {
      const means = bySeed.map(mean);
      const byPrompt = averaged(bySeed);
      const gains = averaged(
        bySeed.map((values) => values.map((value, i) => value - ptq.psnrs[setting][0][i])),
      );
      return {
        ...{ arm: arm.title, setting, seeds: means, mean: mean(means), spread: deviation(means) },
        standardError: standardError(byPrompt),
        gain: { mean: mean(gains), halfWidth: QUANTILE * standardError(gains) },
      };
    }),
  );
}

/** Over the seeds, prompt by prompt: seeds of one prompt are no independent draws. */
function averaged(bySeed: Psnrs): number[] {
  return bySeed[0].map((_, i) => mean(bySeed.map((values) => values[i])));
}

export function markdownOf(rows: readonly Row[]): string {
  const decibels = (value: number) => value.toFixed(2);
  const lines = rows.map(({ arm, setting, seeds, mean: value, spread, standardError: se, gain }) =>
    [
      ...[arm, setting, decibels(value), Number.isFinite(spread) ? decibels(spread) : ''],
      ...[decibels(se), `${gain.mean < 0 ? '−' : '+'}${decibels(Math.abs(gain.mean))}`],
      ...[`± ${decibels(gain.halfWidth)}`, seeds.map(decibels).join(', ')],
    ].join(' | '),
  );
  return [
    'arm | steps in INT8 | mean, dB | deviation over seeds | standard error over prompts | to PTQ | 95% | seeds',
    '--- | --- | --- | --- | --- | --- | --- | ---',
    ...lines,
  ]
    .map((line) => `| ${line} |`)
    .join('\n');
}
