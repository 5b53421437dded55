import { z } from 'zod';
import { BookendError } from '../core/errors.ts';
import type { LayerParams } from '../passes/quantize-layers.ts';
import {
  isWeightOnly,
  parseQuantizationConfig,
  QUANTIZATION_VERSION,
  type QuantizationConfig,
} from './config.ts';
import { type PrecisionSensitivity, precisionSensitivitySchema } from './sensitivity.ts';

/** Activation scales for a range of timesteps, both ends included. */
export interface TimestepBucket {
  readonly minTimestep: number;
  readonly maxTimestep: number;
  /** By layer path. */
  readonly layers: ReadonlyMap<string, LayerParams>;
}

/** How a quantized model was made, for people and for making it again. */
export interface QuantizationOrigin {
  readonly method: 'ptq' | 'qat';
  /** Denoising runs that calibration learned from. */
  readonly samples: number;
  readonly steps: number;
  readonly guidanceScale: number;
  readonly seed: number;
  readonly scheduler: string;
  /** The instruction set it computed with: others round differently. */
  readonly isa: string;
  /** Of `qat`. */
  readonly training?: QuantizationTraining;
}

/** How a quantized model was trained, beginning with one that was not. */
export interface QuantizationTraining {
  /** Of the optimizer, each over `batchSize` samples. */
  readonly steps: number;
  readonly batchSize: number;
  readonly learningRate: number;
  /** λ of MSE(student, target) + λ·MSE(student, teacher); null: the teacher alone. */
  readonly distillation: number | null;
  readonly data: 'images' | 'data-free';
  readonly timesteps: 'int8' | 'all';
  readonly scales: 'held' | 'moving' | 'learned';
  readonly seed: number;
}

/** Signal to quantization noise of a layer in dB; null: no noise. */
export interface LayerReport {
  readonly path: string;
  readonly weightSqnr: number | null;
  /** Of the worse of its inputs, in the worst bucket. */
  readonly inputSqnr: number | null;
}

/** What `unet/quantization.json` says: everything but the tensors. */
export interface QuantizedUNet {
  readonly config: QuantizationConfig;
  readonly origin: QuantizationOrigin;
  /** Timesteps of the training, which the buckets share out among them. */
  readonly trainTimesteps: number;
  /** By rising timestep; none when only the weights are quantized. */
  readonly buckets: readonly TimestepBucket[];
  /** What quantization did to each layer, for people. */
  readonly reports: readonly LayerReport[];
  readonly sensitivity?: PrecisionSensitivity;
  /** The index of the bucket for a timestep, which need not be whole (Euler). */
  layersAt(timestep: number): number;
}

export const QUANTIZATION_JSON = 'quantization.json';
export const QUANTIZED_TENSORS = 'quantized.safetensors';

const params = z.strictObject({
  scale: z
    .number()
    .positive()
    .refine((scale) => Number.isFinite(1 / scale), 'no finite inverse'),
  zeroPoint: z.int().min(0).max(255),
});

const layer = z.strictObject({ path: z.string().max(500), x: params, skip: params.optional() });

const report = z.strictObject({
  path: z.string().max(500),
  weightSqnr: z.number().nullable(),
  inputSqnr: z.number().nullable(),
});

const bucket = z.strictObject({
  minTimestep: z.int().min(0),
  maxTimestep: z.int().min(0),
  layers: z.array(layer).max(100_000),
});

const training = z.strictObject({
  steps: z.int().min(1),
  batchSize: z.int().min(1),
  learningRate: z.number().positive(),
  distillation: z.number().min(0).nullable(),
  data: z.enum(['images', 'data-free']),
  timesteps: z.enum(['int8', 'all']),
  scales: z.enum(['held', 'moving', 'learned']),
  seed: z.int().min(0),
});

const schema = z.strictObject({
  version: z.literal(QUANTIZATION_VERSION),
  config: z.unknown(),
  origin: z.strictObject({
    method: z.enum(['ptq', 'qat']),
    samples: z.int().min(0),
    steps: z.int().min(0),
    guidanceScale: z.number(),
    seed: z.int().min(0),
    scheduler: z.string().max(100),
    isa: z.string().max(100),
    training: training.optional(),
  }),
  trainTimesteps: z.int().min(1).max(1_000_000),
  buckets: z.array(bucket).max(64),
  reports: z.array(report).max(100_000),
  sensitivity: precisionSensitivitySchema.optional(),
});

/**
 * Reads what `formatQuantizedUNet` wrote, trusting nothing in it.
 *
 * @param origin the file, for messages
 * @throws BookendError `invalid-checkpoint`; `unsupported` for a version or a config of a later day
 */
export function parseQuantizedUNet(json: unknown, origin: string): QuantizedUNet {
  refuseOtherVersions(json, origin);
  const result = schema.safeParse(json);
  if (!result.success) {
    const { path, message } = result.error.issues[0];
    const where = path.length > 0 ? path.join('.').slice(0, 200) : 'the whole';
    throw invalid(origin, `is not valid at ${where} (${message.slice(0, 200)})`);
  }
  const { buckets, reports, sensitivity, trainTimesteps } = result.data;
  const config = parseQuantizationConfig(result.data.config, origin, 'invalid-checkpoint');
  const expected = isWeightOnly(config) ? 0 : config.buckets;
  if (buckets.length !== expected) {
    throw invalid(origin, `has ${buckets.length} buckets where its config says ${expected}`);
  }
  requireCoverage(buckets, trainTimesteps, origin);
  return quantizedUNet({
    config,
    origin: result.data.origin,
    trainTimesteps,
    buckets: buckets.map((entry) => ({ ...entry, layers: byPath(entry.layers, origin) })),
    reports,
    ...(sensitivity && { sensitivity }),
  });
}

/** Adds to the data what can be asked of it. */
export function quantizedUNet(data: Omit<QuantizedUNet, 'layersAt'>): QuantizedUNet {
  const { buckets } = data;
  return {
    ...data,
    layersAt(timestep) {
      const after = buckets.findIndex(({ minTimestep }) => timestep < minTimestep);
      return after < 0 ? buckets.length - 1 : Math.max(after - 1, 0);
    },
  };
}

/** The text of `quantization.json`: the same model gives the same bytes. */
export function formatQuantizedUNet(model: QuantizedUNet): string {
  const { config, origin, trainTimesteps, reports, sensitivity } = model;
  const buckets = model.buckets.map(({ minTimestep, maxTimestep, layers }) => ({
    minTimestep,
    maxTimestep,
    layers: [...layers].map(([path, { x, skip }]) => ({ path, x, ...(skip && { skip }) })),
  }));
  const version = QUANTIZATION_VERSION;
  const data = { version, config, origin, trainTimesteps, buckets, reports, sensitivity };
  return `${JSON.stringify(data, null, 1)}\n`;
}

/** Equal ranges of the training timesteps, as whole numbers, both ends included. */
export function equalRanges(
  trainTimesteps: number,
  count: number,
): { readonly minTimestep: number; readonly maxTimestep: number }[] {
  const start = (i: number) => Math.round((i * trainTimesteps) / count);
  return Array.from({ length: count }, (_, i) => ({
    minTimestep: start(i),
    maxTimestep: start(i + 1) - 1,
  }));
}

function refuseOtherVersions(json: unknown, origin: string): void {
  const version = (json as { version?: unknown } | null)?.version;
  if (typeof version !== 'number' || version === QUANTIZATION_VERSION) return;
  throw new BookendError(
    'unsupported',
    `${origin} is of version ${version}, and this Bookend reads ${QUANTIZATION_VERSION}; quantize the model again or use the Bookend that made it.`,
  );
}

function requireCoverage(
  buckets: readonly { readonly minTimestep: number; readonly maxTimestep: number }[],
  trainTimesteps: number,
  origin: string,
): void {
  if (buckets.length === 0) return;
  let next = 0;
  for (const [i, { minTimestep, maxTimestep }] of buckets.entries()) {
    if (minTimestep !== next || maxTimestep < minTimestep) {
      throw invalid(
        origin,
        `has the timesteps ${minTimestep} to ${maxTimestep} in bucket ${i}, which should start at ${next}`,
      );
    }
    next = maxTimestep + 1;
  }
  if (next !== trainTimesteps) {
    throw invalid(origin, `has buckets for ${next} timesteps out of ${trainTimesteps}`);
  }
}

function byPath(
  layers: readonly z.infer<typeof layer>[],
  origin: string,
): ReadonlyMap<string, LayerParams> {
  const result = new Map<string, LayerParams>();
  for (const { path, x, skip } of layers) {
    if (result.has(path)) throw invalid(origin, `names the layer ${quote(path)} twice`);
    result.set(path, { x, ...(skip && { skip }) });
  }
  return result;
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 100));
}

function invalid(origin: string, fault: string): BookendError {
  return new BookendError(
    'invalid-checkpoint',
    `${origin} ${fault.replace(/\.$/, '')}; fetch it or quantize the model again.`,
  );
}
