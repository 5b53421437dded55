import { join } from 'node:path';
import type { Command } from 'commander';
import { writeAtomically } from '../io/atomic-write.ts';
import type { Evaluation } from '../pipelines/evaluation/evaluation.ts';
import {
  type DrawnImage,
  type DrawOptions,
  drawImageSet,
  type ImageSetPlan,
} from '../pipelines/evaluation/image-set.ts';
import { requirePairs } from '../pipelines/evaluation/measure-images.ts';
import { ModelSource } from '../pipelines/evaluation/model-source.ts';
import { prepareResultFolder } from '../pipelines/output-folder.ts';
import { resolveIsa } from '../runtime/native/cpu.ts';
import { addEvaluateOptions, drawingPlan, type EvaluateOptions } from './evaluate-options.ts';
import { formatMetrics, metricTiles } from './evaluation-metrics.ts';
import { writeEvaluationReport } from './evaluation-report.ts';
import { type Judges, measure, openJudges, openReference } from './evaluation-run.ts';
import { loadOptions } from './generate-options.ts';
import { interruptSignal } from './interrupt.ts';
import { resolveModel } from './models.ts';
import { note, print, printJson } from './output.ts';
import { createProgress, type Progress } from './progress.ts';

/** `bookend evaluate MODEL --prompts FILE --out DIR`: how good the images of a model are. */
export function addEvaluateCommand(program: Command): void {
  const command = program
    .command('evaluate')
    .summary('draw images of many prompts and measure them')
    .description(
      'Draw an image of each prompt, measure the images, and write a table, JSON and an HTML report.',
    )
    .argument('<model>', 'a folder, a .safetensors file, a hub id, or "emoji"')
    .addHelpText('after', EXAMPLES);
  addEvaluateOptions(command);
  command.action(async (reference: string, options: EvaluateOptions) => {
    const { entries, seed, sampling } = await drawingPlan(command, options);
    const plan = { entries, seed, sampling: { ...sampling, numInferenceSteps: options.steps } };
    await evaluate(reference, plan, options);
  });
}

const EXAMPLES = `
Examples:
  bookend evaluate ./sd-1.5 --prompts captions.json --count 1000 --precision fp32 --out ./fp32
  bookend evaluate ./sd-1.5-int8 --prompts captions.json --count 1000 --precision mixed \\
    --paired ./fp32/images --clip openai/clip-vit-large-patch14 --out ./mixed
  bookend evaluate ./sd-1.5 --prompts captions.json --extractor pt_inception-2015-12-05.safetensors \\
    --reference ./val2017 --out ./fid

The same command again goes on where it was stopped or killed; no image is drawn twice.`;

async function evaluate(
  reference: string,
  plan: ImageSetPlan,
  options: EvaluateOptions,
): Promise<void> {
  const { out, paired } = options;
  const interrupt = interruptSignal();
  const source = new ModelSource(await resolveModel(reference), loadOptions(options));
  let judges: Judges | undefined;
  try {
    // Before the long work, which would be in vain without them.
    if (paired !== undefined) await requirePairs(plan, paired);
    judges = await openJudges(options);
    await prepareResultFolder(out);
    const compared = await openReference(judges, options, interrupt.signal);
    const { batchSize } = options;
    const { signal } = interrupt;
    const drawn = await draw(source, join(out, 'images'), plan, { batchSize, signal });
    const evaluation = await measure(drawn, judges, compared, options, interrupt.signal);
    const title = `${source.name}: ${schedulesOf(drawn).join(' or ')}`;
    const settings = settingsOf(reference, plan, options, evaluation);
    const metrics = metricTiles(evaluation);
    const page = join(out, 'report.html');
    await writeEvaluationReport(page, { title, settings, metrics, evaluation, paired });
    await writeJson(join(out, 'evaluation.json'), settings, evaluation);
    show(out, page, evaluation, options);
  } finally {
    interrupt.dispose();
    await judges?.clip?.dispose();
    await judges?.extractor?.dispose();
    await source.dispose();
  }
}

async function draw(
  source: ModelSource,
  folder: string,
  plan: ImageSetPlan,
  options: DrawOptions,
): Promise<DrawnImage[]> {
  let progress: Progress | undefined;
  const onImage = ({ done, total, seconds }: { done: number; total: number; seconds: number }) => {
    if (!progress && done > 1) note(`Going on after ${done - 1} of ${total} images`);
    progress ??= createProgress('Drawing', total, 'image');
    progress.update(done, seconds);
  };
  try {
    return await drawImageSet(source, folder, plan, { ...options, onImage });
  } finally {
    progress?.finish();
  }
}

/** One, unless `auto` has chosen another after an interruption. */
function schedulesOf(drawn: readonly DrawnImage[]): string[] {
  return [...new Set(drawn.map(({ record }) => record.schedule))];
}

function settingsOf(
  reference: string,
  { entries, seed, sampling }: ImageSetPlan,
  { prompts, paired, clip, reference: compared }: EvaluateOptions,
  { images: drawn, set }: Evaluation,
): [string, string][] {
  const own = entries.filter((entry) => entry.seed !== undefined).length;
  const seeds = own === 0 ? `${seed} + number of the image` : `${own} from the file`;
  const given: [string, string | undefined][] = [
    ['Model', reference],
    ['Prompts', prompts],
    ['Images', String(entries.length)],
    ['Seeds', own > 0 && own < entries.length ? `${seeds}, else ${seed} + number` : seeds],
    ['Steps', String(sampling.numInferenceSteps)],
    ['Scheduler', sampling.scheduler ?? "the model's own"],
    ['Guidance', String(sampling.guidanceScale)],
    ['Negative prompt', sampling.negativePrompt],
    ['Precision by step', schedulesOf(drawn).join(' or ')],
    ['Kernels', resolveIsa()],
    ['Paired with', paired],
    ['CLIP', clip],
    ['Features', set?.extractor],
    ['Reference', compared && [compared, ...referenceSize(set)].join(', ')],
    ...(set?.notes ?? []).map((text): [string, string] => ['Note', text]),
  ];
  return given.filter((row): row is [string, string] => row[1] !== undefined);
}

function referenceSize(set: Evaluation['set']): string[] {
  const images = set?.reference?.images;
  return images === undefined ? [] : [`${images} images`];
}

/** All of it, image by image, for programs. */
async function writeJson(
  path: string,
  settings: readonly (readonly [string, string])[],
  { images, summaries, equal, set }: Evaluation,
): Promise<void> {
  const rows = images.map(({ path: file, record, ...image }) => ({
    file,
    ...image,
    ...{ schedule: record.schedule, seconds: record.seconds },
  }));
  const metrics = { ...summaries, ...(set && { set }) };
  const content = { settings: Object.fromEntries(settings), metrics, equal, images: rows };
  await writeAtomically(path, (handle) => handle.writeFile(`${JSON.stringify(content)}\n`));
}

function show(out: string, page: string, evaluation: Evaluation, { json }: EvaluateOptions): void {
  const { images, summaries, equal, set } = evaluation;
  for (const text of set?.notes ?? []) note(`Note: ${text}`);
  if (json) {
    const metrics = { ...summaries, ...(set && { set }) };
    printJson({ out, report: page, images: images.length, equal, metrics });
    return;
  }
  print(formatMetrics(evaluation));
  if (equal > 0) note(`${equal} of ${images.length} images equal their pair and count in no PSNR`);
  note(`Report: ${page}`);
}
