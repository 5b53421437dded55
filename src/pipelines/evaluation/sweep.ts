import { join } from 'node:path';
import { BookendError } from '../../core/errors.ts';
import { median } from '../../evaluation/benchmark.ts';
import { precisions } from '../../quantization/precision-schedule.ts';
import { bestPrecision } from '../cpu-precision.ts';
import type { ImageTimings } from '../image-timings.ts';
import type { LayerRanking } from '../layer-sensitivity.ts';
import { type LoadedModel, unetOf } from '../load.ts';
import { requireNumber, requireWhole } from '../request.ts';
import type { StepSensitivity } from '../sensitivity.ts';
import { type DrawnImage, drawImageSet } from './image-set.ts';
import { imageSeconds } from './sweep-measures.ts';
import { SweepModels, surroundingPrecision } from './sweep-models.ts';
import {
  runLevels,
  type SweepPoint,
  scheduledPoint,
  sweepPoints,
  usesInt8,
} from './sweep-points.ts';
import {
  keptLayerSensitivity,
  keptStepSensitivity,
  keptTimings,
  type ProbeContext,
} from './sweep-probes.ts';
import {
  defaultTarget,
  type ForetoldSchedule,
  foretellSchedule,
  recommend,
  type SweepRecommendation,
} from './sweep-recommendation.ts';
import type { Sweep, SweepProgress, SweepRequest } from './sweep-request.ts';
import { markOptimal, measureRow, type SweepRow, settingOf } from './sweep-rows.ts';

/** Steps of a run whose parts are tried in INT8, where no fewer are drawn with. */
const SENSITIVITY_STEPS = 20;

/**
 * Draws the same images with every setting of a grid, measures what each costs and gives, where in a
 * run and in which layers INT8 hurts, and recommends a schedule for each number of steps, whose images
 * are drawn and measured as well.
 *
 * All long work is kept in `out`, image by image, prompt by prompt and layer by layer: `images/`, a
 * folder of each setting, as `drawImageSet` makes them; `probes/`, timings and sensitivities;
 * `features/`. Killed at any point, the same call goes on from there.
 *
 * @param reference a folder, a single file or a hub id
 * @throws BookendError `invalid-argument` for INT8 settings of a model without; as loading, drawing and
 *   measuring do; `aborted`
 */
export async function sweep(reference: string, out: string, request: SweepRequest): Promise<Sweep> {
  const models = new SweepModels(reference, request.model ?? {});
  try {
    return await new Sweeper(models, out, request).run();
  } finally {
    await models.dispose();
  }
}

function requireSensible({ entries, minPsnr }: SweepRequest): void {
  if (minPsnr !== undefined) requireNumber('minPsnr', minPsnr, 0, 1e6);
  if (entries.length > 0) return;
  throw new BookendError(
    'invalid-argument',
    'The sweep has no image to draw; give one entry at least.',
  );
}

class Sweeper {
  readonly #models: SweepModels;
  readonly #out: string;
  readonly #request: SweepRequest;
  readonly #high = bestPrecision();
  readonly #drawn = new Map<SweepPoint, readonly DrawnImage[]>();

  constructor(models: SweepModels, out: string, request: SweepRequest) {
    this.#models = models;
    this.#out = out;
    this.#request = request;
  }

  async run(): Promise<Sweep> {
    const request = this.#request;
    requireSensible(request);
    const { model } = await this.#models.load(this.#high);
    const { points, notes } = sweepPoints(model, request, request.sampling);
    const timings = await this.#timings(model, points);
    this.#forecast(model, points, timings);
    // One precision of text encoder and autoencoder after the other.
    const isFirst = ({ name }: SweepPoint) => name === 'fp32';
    const rest = points.filter((point) => !isFirst(point));
    for (const point of [...points.filter(isFirst), ...rest]) await this.#draw(point);
    const probes = usesInt8(request.precisions) ? await this.#probe() : {};
    const rows: SweepRow[] = [];
    const recommendations: SweepRecommendation[] = [];
    for (const steps of new Set(points.map((point) => point.steps))) {
      const own = points.filter((point) => point.steps === steps);
      const found = await this.#measureSteps(steps, own, timings, probes.stepSensitivity);
      rows.push(...found.rows);
      recommendations.push(found.recommendation);
    }
    return {
      rows: markOptimal(rows, recommendations),
      timings,
      high: this.#high,
      ...probes,
      recommendations,
      notes: [...new Set([...notes, ...rows.flatMap((row) => row.evaluation.set?.notes ?? [])])],
    };
  }

  async #timings(
    model: LoadedModel['model'],
    points: readonly SweepPoint[],
  ): Promise<ImageTimings> {
    const used = new Set(points.flatMap(({ schedule }) => schedule));
    // A schedule may be foretold from both, though no setting has the one.
    if (used.has('int8')) used.add(this.#high);
    const around = new Set(points.map(({ options }) => surroundingPrecision(options)));
    if (used.has('int8')) around.add(this.#high);
    const parts = {
      precisions: precisions.filter((precision) => used.has(precision)),
      surroundings: precisions.filter((name) => name !== 'int8').filter((name) => around.has(name)),
      rounds: requireWhole('rounds', this.#request.rounds ?? 7, 1, 1000),
    };
    const others: LoadedModel[] = [];
    try {
      return await keptTimings(model, await this.#context('timing'), parts, async (precision) => {
        if (precision === this.#high) return model;
        const other = await this.#models.loadBeside(precision);
        others.push(other);
        return other.model;
      });
    } finally {
      for (const other of others) await other.dispose();
    }
  }

  /** Tells how long it will take before it does. */
  #forecast(
    model: LoadedModel['model'],
    points: readonly SweepPoint[],
    timings: ImageTimings,
  ): void {
    const { entries, precisions: swept, layers = true, onPlanned } = this.#request;
    const drawing = points.reduce(
      (sum, { schedule, options }) =>
        sum + imageSeconds(schedule, timings, surroundingPrecision(options)).median,
      0,
    );
    const isQuantized = usesInt8(swept);
    const evaluations = isQuantized ? 6 * this.#prompts().length * this.#sensitivitySteps() : 0;
    const ranked = isQuantized && layers ? 3 * unetOf(model).requireInt8().layers.length : 0;
    const each = isQuantized ? median(timings.evaluations[this.#high]!) : 0;
    onPlanned?.({
      images: entries.length * points.length,
      drawing: entries.length * drawing,
      steps: evaluations * each,
      layers: ranked * each,
    });
  }

  async #draw(point: SweepPoint): Promise<void> {
    const { entries, seed, sampling, batchSize, onProgress, signal } = this.#request;
    const plan = { entries, seed, sampling: { ...sampling, numInferenceSteps: point.steps } };
    const source = this.#models.source(point.options);
    const drawn = await drawImageSet(source, this.#folderOf(point), plan, {
      batchSize,
      onImage: (event) => onProgress?.({ phase: 'drawing', point, ...event }),
      signal,
    });
    this.#drawn.set(point, drawn);
  }

  /** Where in a run and in which layers INT8 hurts. */
  async #probe(): Promise<Pick<Sweep, 'stepSensitivity' | 'layerRanking'>> {
    const { blocks = 8, layers = true, entries } = this.#request;
    const prompts = this.#prompts();
    const steps = this.#sensitivitySteps();
    const found: { stepSensitivity?: StepSensitivity; layerRanking?: LayerRanking } = {};
    const loaded = () => this.#models.load(this.#high);
    if (prompts.length > 0) {
      const { model } = await loaded();
      const run = { steps, blocks: Math.min(blocks, steps) };
      const context = await this.#context('steps');
      found.stepSensitivity = await keptStepSensitivity(model, context, prompts, run);
    }
    if (layers) {
      const { model } = await loaded();
      const context = await this.#context('layers');
      const { prompt = '' } = entries[0];
      found.layerRanking = await keptLayerSensitivity(model, context, prompt, steps);
    }
    return found;
  }

  /** All settings of a number of steps, and the one that is recommended. */
  async #measureSteps(
    steps: number,
    points: readonly SweepPoint[],
    timings: ImageTimings,
    sensitivity: StepSensitivity | undefined,
  ): Promise<{ rows: SweepRow[]; recommendation: SweepRecommendation }> {
    const rows: SweepRow[] = [];
    for (const point of points) rows.push(await this.#row(point, timings));
    const settings = rows.map(settingOf);
    const target = this.#request.minPsnr ?? defaultTarget(settings);
    let foretold: ForetoldSchedule | undefined;
    if (sensitivity && target !== undefined) {
      const { model } = await this.#models.load(this.#high);
      foretold = foretellSchedule({
        sensitivity: sensitivity.sensitivity,
        sigmas: runLevels(model, this.#request.sampling, steps),
        evaluations: timings.evaluations,
        high: this.#high,
        target,
        highQuality: settings.find(({ name }) => name === this.#high)?.quality,
      });
      const point = scheduledPoint(steps, 'auto', foretold.schedule);
      const isKnown = points.some(({ schedule }) => String(schedule) === String(point.schedule));
      if (!isKnown) {
        await this.#draw(point);
        rows.push(await this.#row(point, timings));
      }
    }
    return { rows, recommendation: recommend(steps, rows.map(settingOf), target, foretold) };
  }

  async #row(point: SweepPoint, timings: ImageTimings): Promise<SweepRow> {
    const { onProgress, signal, extractor, reference, imagesPerPrompt, model } = this.#request;
    const exact = [...this.#drawn.keys()].filter(({ name }) => name === 'fp32');
    const most = exact.reduce((a, b) => (b.steps > a.steps ? b : a));
    const same = exact.find(({ steps }) => steps === point.steps)!;
    const total = this.#request.entries.length;
    return measureRow(point, this.#drawn.get(point)!, {
      timings,
      pairs: { same: this.#folderOf(same), most: this.#folderOf(most) },
      ...(extractor && {
        judge: { extractor, reference, cache: this.#cacheOf(point), imagesPerPrompt },
      }),
      threads: model?.threads,
      onImage: (phase, done, seconds) => onProgress?.({ phase, point, done, total, seconds }),
      signal,
    });
  }

  /** Texts to probe with, empty ones for models without prompts. */
  #prompts(): string[] {
    const { entries, sensitivityPrompts = 2 } = this.#request;
    requireWhole('sensitivityPrompts', sensitivityPrompts, 0, 1000);
    return entries.slice(0, sensitivityPrompts).map(({ prompt = '' }) => prompt);
  }

  #sensitivitySteps(): number {
    return Math.max(2, Math.min(SENSITIVITY_STEPS, ...this.#request.steps));
  }

  #folderOf({ folder }: SweepPoint): string {
    return join(this.#out, 'images', folder);
  }

  #cacheOf({ folder }: SweepPoint): string {
    return join(this.#out, 'features', `${folder}.safetensors`);
  }

  async #context(phase: SweepProgress['phase']): Promise<ProbeContext> {
    const { sampling, seed, model, onProgress, signal } = this.#request;
    return {
      folder: join(this.#out, 'probes'),
      identity: await this.#models.identity(),
      ...{ sampling, seed, threads: model?.threads, signal },
      onProgress: (done, total, seconds) => onProgress?.({ phase, done, total, seconds }),
    };
  }
}
