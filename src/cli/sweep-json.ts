import { writeAtomically } from '../io/atomic-write.ts';
import type { Sweep } from '../pipelines/evaluation/sweep-request.ts';
import type { SweepRow } from '../pipelines/evaluation/sweep-rows.ts';
import { formatSchedule } from '../quantization/precision-schedule.ts';
import { resolveIsa, resolveThreads } from '../runtime/native/cpu.ts';
import type { DrawingPlan } from './evaluate-options.ts';
import type { SweepOptions } from './sweep-options.ts';

/** What a sweep was asked for. */
export interface SweepContext {
  readonly reference: string;
  readonly options: SweepOptions;
  readonly drawing: DrawingPlan;
}

/** What a sweep found, without the single images. */
export function sweepJson(found: Sweep): object {
  const { rows, high, timings, stepSensitivity, layerRanking, recommendations, notes } = found;
  return {
    settings: rows.map(rowJson),
    recommendations,
    high,
    timings,
    stepSensitivity,
    layerRanking,
    notes,
  };
}

function rowJson(row: SweepRow): object {
  const { steps, name, schedule, folder, seconds, recordedSeconds, evaluation } = row;
  const { summaries, set, images } = evaluation;
  const { toSame, toMost, optimal, recommended } = row;
  return {
    ...{ steps, name, schedule: formatSchedule(schedule), folder, images: images.length },
    ...{ seconds, recordedSeconds, toSame, toMost, ssim: summaries.ssim, set },
    ...{ optimal, recommended },
  };
}

/** Writes `sweep.json`: all of it, image by image. @throws BookendError `io` */
export async function writeSweepJson(
  path: string,
  found: Sweep,
  { reference, options, drawing }: SweepContext,
): Promise<void> {
  const { prompts, threads } = options;
  const { seed, sampling } = drawing;
  const images = found.rows.map(({ folder, evaluation }) => ({
    folder,
    images: evaluation.images.map(({ path: file, prompt, seed: own, psnr, ssim, record }) => ({
      ...{ file, prompt, seed: own, ssim, seconds: record.seconds },
      // Infinity, which JSON has not, becomes null: equal to the image of FP32.
      psnr,
    })),
  }));
  const content = {
    model: reference,
    prompts,
    ...{ seed, sampling, isa: resolveIsa(), threads: resolveThreads(threads) },
    ...sweepJson(found),
    images,
  };
  await writeAtomically(path, (handle) => handle.writeFile(`${JSON.stringify(content)}\n`));
}
