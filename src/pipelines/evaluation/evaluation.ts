import { type Summary, summarize } from '../../evaluation/statistics.ts';
import type { DrawnImage } from './image-set.ts';
import type { ImageMeasures } from './measure-images.ts';
import type { SetMetrics } from './set-metrics.ts';

/** An image with all that is known of it. */
export interface EvaluatedImage extends DrawnImage, ImageMeasures {}

/** A measure of every image of a set. */
export interface Measure {
  readonly name: string;
  readonly unit: string;
  /** Which end is bad; undefined where it is neither. */
  readonly worst?: 'lowest' | 'highest';
  /** Whether it compares an image with its pair. */
  readonly ofPairs?: true;
  /** By image; undefined for those that have none. */
  readonly of: (image: EvaluatedImage) => number | undefined;
}

/** Of PSNR, images that equal their pair are left out: they have no finite one. */
export const MEASURES = {
  psnr: { name: 'PSNR', unit: 'dB', worst: 'lowest', ofPairs: true, of: ({ psnr }) => psnr },
  ssim: { name: 'SSIM', unit: '', worst: 'lowest', ofPairs: true, of: ({ ssim }) => ssim },
  featureDistance: {
    name: 'feature distance',
    unit: '',
    worst: 'highest',
    ofPairs: true,
    of: ({ featureDistance }) => featureDistance,
  },
  clipScore: { name: 'CLIP score', unit: '', worst: 'lowest', of: ({ clipScore }) => clipScore },
  seconds: { name: 'time', unit: 's', of: ({ record }) => record.seconds.total },
} as const satisfies Record<string, Measure>;

export type MeasureName = keyof typeof MEASURES;

/** A set, drawn and measured. */
export interface Evaluation {
  readonly images: readonly EvaluatedImage[];
  /** Of the measures that were taken. */
  readonly summaries: Readonly<Partial<Record<MeasureName, Summary>>>;
  /** Images that equal their pair. */
  readonly equal: number;
  /** Of the set as a whole, where there was an extractor. */
  readonly set?: SetMetrics;
}

export function evaluationOf(
  drawn: readonly DrawnImage[],
  measures: readonly ImageMeasures[],
  set?: SetMetrics,
): Evaluation {
  const images = drawn.map((image, i) => ({ ...image, ...measures[i] }));
  const summaries: Partial<Record<MeasureName, Summary>> = {};
  for (const name of Object.keys(MEASURES) as MeasureName[]) {
    const values = finiteValues(images, name);
    if (values.length > 0) summaries[name] = summarize(values);
  }
  const equal = images.filter(({ psnr }) => psnr === Number.POSITIVE_INFINITY).length;
  return { images, summaries, equal, ...(set && { set }) };
}

export function finiteValues(images: readonly EvaluatedImage[], name: MeasureName): number[] {
  const measure: Measure = MEASURES[name];
  const values = images.map((image) => measure.of(image));
  return values.filter((value) => value !== undefined && Number.isFinite(value)) as number[];
}

/** The `count` images that a measure says the worst of, the worst first. */
export function worstImages(
  images: readonly EvaluatedImage[],
  name: MeasureName,
  count: number,
): EvaluatedImage[] {
  const measure: Measure = MEASURES[name];
  const sign = measure.worst === 'highest' ? -1 : 1;
  const measured = images.filter((image) => Number.isFinite(measure.of(image)));
  return measured.toSorted((a, b) => sign * (measure.of(a)! - measure.of(b)!)).slice(0, count);
}
