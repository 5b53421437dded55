import { join } from 'node:path';
import type { Command } from 'commander';
import { sweep } from '../pipelines/evaluation/sweep.ts';
import type { Sweep, SweepForecast, SweepProgress } from '../pipelines/evaluation/sweep-request.ts';
import { prepareResultFolder } from '../pipelines/output-folder.ts';
import { type DrawingPlan, drawingPlan } from './evaluate-options.ts';
import { type Judges, openJudges, openReference } from './evaluation-run.ts';
import { interruptSignal } from './interrupt.ts';
import { resolveModel } from './models.ts';
import { note, print, printJson } from './output.ts';
import { createProgress, formatDuration, type Progress } from './progress.ts';
import { sweepJson, writeSweepJson } from './sweep-json.ts';
import { addSweepOptions, defaultPrecisions, type SweepOptions } from './sweep-options.ts';
import { writeSweepReport } from './sweep-report.ts';
import { formatSweep } from './sweep-table.ts';

/** `bookend sweep MODEL --prompts FILE --out DIR`: which steps and precisions are worth their time. */
export function addSweepCommand(program: Command): void {
  const command = program
    .command('sweep')
    .summary('compare numbers of steps and precisions of a model')
    .description(
      'Draw the same images with many numbers of steps and precisions, measure what each costs and gives, find the steps and layers that INT8 hurts, and recommend a schedule.',
    )
    .argument('<model>', 'a folder, a .safetensors file, a hub id, or "emoji"')
    .addHelpText('after', EXAMPLES);
  addSweepOptions(command);
  command.action(async (reference: string, options: SweepOptions) => {
    await run(reference, await drawingPlan(command, options), options);
  });
}

const EXAMPLES = `
Examples:
  bookend sweep ./sd-1.5-int8 --prompts captions.json --count 20 --out ./sweep
  bookend sweep ./sd-1.5-int8 --prompts captions.json --count 20 --steps 20 --k 1,3,5 --min-psnr 30 \\
    --layers none --out ./sweep
  bookend sweep ./ddpm --count 50 --precision fp32,bf16 --out ./sweep

Times are of this machine, an image at a time, from evaluations of all precisions in turn. Ranking the
layers takes three evaluations for each of them. The same command again goes on where it was stopped or
killed; nothing is drawn or measured twice.`;

async function run(reference: string, drawing: DrawingPlan, options: SweepOptions): Promise<void> {
  const { out } = options;
  const interrupt = interruptSignal();
  const { signal } = interrupt;
  const bars = new SweepBars();
  let judges: Judges | undefined;
  try {
    judges = await openJudges(options);
    await prepareResultFolder(out);
    const compared = await openReference(judges, options, signal);
    const found = await sweep(await resolveModel(reference), out, {
      ...drawing,
      steps: options.steps,
      precisions: options.precision ?? defaultPrecisions(),
      highPrecisionSteps: options.k,
      imagesPerPrompt: options.imagesPerPrompt,
      batchSize: options.batchSize,
      model: modelOptions(options),
      extractor: judges.extractor,
      reference: compared,
      rounds: options.rounds,
      sensitivityPrompts: options.sensitivityPrompts,
      blocks: options.blocks,
      layers: options.layers === 'all',
      minPsnr: options.minPsnr,
      onPlanned: (forecast) => note(describeForecast(forecast)),
      onProgress: (event) => bars.update(event),
      signal,
    });
    const context = { reference, options, drawing };
    await writeSweepJson(join(out, 'sweep.json'), found, context);
    const page = join(out, 'report.html');
    await writeSweepReport(page, found, context);
    show(found, page, options);
  } finally {
    bars.finish();
    interrupt.dispose();
    await judges?.extractor?.dispose();
  }
}

function modelOptions({ variant, tokenizer, prediction, download, threads }: SweepOptions) {
  return { variant, tokenizer, predictionType: prediction, download, threads };
}

function describeForecast({ images, drawing, steps, layers }: SweepForecast): string {
  const parts = [`${formatDuration(drawing)} for ${images} images`];
  if (steps > 0) parts.push(`${formatDuration(steps)} for the steps`);
  if (layers > 0) parts.push(`${formatDuration(layers)} for the layers (--layers none skips them)`);
  return `From scratch this takes about ${parts.join(', ')}`;
}

function show(found: Sweep, page: string, { out, json }: SweepOptions): void {
  for (const text of found.notes) note(`Note: ${text}`);
  if (json) {
    printJson({ out, report: page, ...sweepJson(found) });
    return;
  }
  print(formatSweep(found));
  for (const { why } of found.recommendations) print(`\n${why}`);
  note(`Report: ${page}`);
}

const PHASES: Readonly<Record<SweepProgress['phase'], { label: string; unit: string }>> = {
  timing: { label: 'Timing', unit: 'round' },
  drawing: { label: 'Drawing', unit: 'image' },
  steps: { label: 'Steps in INT8', unit: 'evaluation' },
  layers: { label: 'Layers in INT8', unit: 'layer' },
  measuring: { label: 'Measuring', unit: 'image' },
  features: { label: 'Features', unit: 'image' },
};

/** Measuring is mostly over before it need be told of. */
const QUIET_SECONDS = 3;

/** A bar for each phase and setting, one after the other. */
class SweepBars {
  #current: { readonly key: string; readonly bar: Progress } | undefined;
  #measured = 0;

  update({ phase, point, done, total, seconds }: SweepProgress): void {
    const { label, unit } = PHASES[phase];
    const key = point ? `${label} ${point.steps}-${point.name}` : label;
    this.#measured = phase === 'measuring' ? this.#measured + seconds : 0;
    if (phase === 'measuring' && this.#measured < QUIET_SECONDS) return;
    if (this.#current?.key !== key) {
      this.finish();
      if (phase === 'drawing' && done > 1) note(`Going on after ${done - 1} of ${total} images`);
      this.#current = { key, bar: createProgress(key, total, unit) };
    }
    this.#current.bar.update(done, seconds);
    if (done === total) this.finish();
  }

  finish(): void {
    this.#current?.bar.finish();
    this.#current = undefined;
    this.#measured = 0;
  }
}
