import { z } from 'zod';
import { BookendError, type ErrorCode } from '../core/errors.ts';
import type { Graph } from '../ir/graph.ts';
import { isFloating } from '../ir/ops/rules.ts';
import { type Layer, layersOf } from '../passes/layer-inputs.ts';
import { matchesAny, requirePattern } from './layer-patterns.ts';

/** The version of `QuantizationConfig` and of the files that hold it. */
export const QUANTIZATION_VERSION = 1;

/** How one kind of tensor is quantized. */
export interface QuantizationSpec {
  readonly dtype: 's8' | 'u8';
  /**
   * What shares a scale: the whole tensor, an output channel (axis 0), or `groupSize` neighbouring
   * input channels of an output channel.
   */
  readonly granularity: 'per-tensor' | 'per-channel' | 'per-group';
  /** Input channels that share a scale; there for `per-group` alone. */
  readonly groupSize?: number;
  /** Symmetric: real 0 is the middle code (0 of s8, 128 of u8). Affine: any code is. */
  readonly scheme: 'symmetric' | 'affine';
}

/** How a clipping range is chosen from what calibration saw. */
export interface ObserverSettings {
  /** Extremes averaged over runs, a share of the mass, or the least expected squared error. */
  readonly method: 'minmax' | 'percentile' | 'mse';
  /** `minmax`: how far each run moves the average. */
  readonly momentum: number;
  /** `percentile`: percent of the values that lie inside. */
  readonly percentile: number;
}

/** What to quantize, and how. Pure data: it is stored with the quantized model. */
export interface QuantizationConfig {
  readonly version: typeof QUANTIZATION_VERSION;
  readonly weights: QuantizationSpec;
  /** null: weights only. They are stored in 8 bits and computed with in floating point. */
  readonly activations: QuantizationSpec | null;
  /** Patterns of layer paths (`layer-patterns.ts`); a layer is quantized that one of them means … */
  readonly include: readonly string[];
  /** … and none of these. */
  readonly exclude: readonly string[];
  /** Equal ranges of the training timesteps with activation scales of their own. */
  readonly buckets: number;
  readonly observer: ObserverSettings;
  readonly rounding: 'nearest' | 'error-feedback';
  readonly biasCorrection: 'none' | 'analytic';
  /**
   * What self-attention over many tokens multiplies q and k in. `int8` needs a CPU with AVX-512 VNNI
   * and BF16, and is quantized on the fly, without calibration.
   */
  readonly attentionScores: 'float' | 'int8';
}

/**
 * Weights s8 per output channel, activations u8 per tensor and timestep bucket. Left in floating
 * point: the first and last convolution, which touch the image itself; the time embedding and the
 * keys and values of cross-attention, which are computed once per run and so cost nothing.
 */
export const DEFAULT_QUANTIZATION: QuantizationConfig = {
  version: QUANTIZATION_VERSION,
  weights: { dtype: 's8', granularity: 'per-channel', scheme: 'symmetric' },
  activations: { dtype: 'u8', granularity: 'per-tensor', scheme: 'affine' },
  include: ['*'],
  exclude: [
    'conv_in',
    'conv_out',
    'time_embedding.*',
    '*.time_emb_proj',
    '*.attn2.to_k',
    '*.attn2.to_v',
  ],
  buckets: 5,
  observer: { method: 'mse', momentum: 0.1, percentile: 99.99 },
  rounding: 'nearest',
  biasCorrection: 'analytic',
  attentionScores: 'float',
};

const spec = z.strictObject({
  dtype: z.enum(['s8', 'u8']),
  granularity: z.enum(['per-tensor', 'per-channel', 'per-group']),
  groupSize: z.int().min(1).max(65536).optional(),
  scheme: z.enum(['symmetric', 'affine']),
});

const patterns = z.array(z.string()).max(1000);

const schema = z.strictObject({
  version: z.literal(QUANTIZATION_VERSION),
  weights: spec,
  activations: spec.nullable(),
  include: patterns,
  exclude: patterns,
  buckets: z.int().min(1).max(64),
  observer: z.strictObject({
    method: z.enum(['minmax', 'percentile', 'mse']),
    momentum: z.number().gt(0).max(1),
    percentile: z.number().min(50).max(100),
  }),
  rounding: z.enum(['nearest', 'error-feedback']),
  biasCorrection: z.enum(['none', 'analytic']),
  attentionScores: z.enum(['float', 'int8']),
});

/** The fields of a config that is written by hand: those left out are the default's. */
export type PartialQuantizationConfig = Partial<Omit<QuantizationConfig, 'observer'>> & {
  readonly observer?: Partial<ObserverSettings>;
};

/**
 * Fills in what `json` leaves out and checks the whole.
 *
 * @param origin of the JSON, for messages
 * @param code of the errors: `invalid-checkpoint` for a file of a model
 * @throws BookendError `code`; `unsupported` for a combination that Bookend does not compute
 */
export function parseQuantizationConfig(
  json: unknown,
  origin: string,
  code: ErrorCode = 'invalid-argument',
): QuantizationConfig {
  const fail = (found: string) => {
    throw new BookendError(
      code,
      `The quantization config of ${origin} ${found}; correct it or make the quantized model again.`,
    );
  };
  const result = schema.safeParse(withDefaults(json));
  if (!result.success) {
    const { path, message } = result.error.issues[0];
    const where = path.length > 0 ? path.join('.').slice(0, 100) : 'the whole';
    return fail(`is not valid at ${where} (${message.replace(/\.$/, '').slice(0, 200)})`);
  }
  const config = result.data;
  for (const pattern of [...config.include, ...config.exclude]) requirePattern(pattern, code);
  for (const part of [config.weights, config.activations]) {
    if (part && (part.granularity === 'per-group') !== (part.groupSize !== undefined)) {
      fail('needs a groupSize for per-group and for nothing else');
    }
  }
  requireComputable(config, origin);
  return config;
}

function withDefaults(json: unknown): unknown {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return json;
  const { observer } = json as { observer?: unknown };
  const isObject = typeof observer === 'object' && observer !== null;
  return {
    ...DEFAULT_QUANTIZATION,
    ...json,
    observer: isObject
      ? { ...DEFAULT_QUANTIZATION.observer, ...observer }
      : (observer ?? DEFAULT_QUANTIZATION.observer),
  };
}

/** Refuses what neither the INT8 kernels nor the loader can do. */
function requireComputable({ weights, activations }: QuantizationConfig, origin: string): void {
  const refuse = (found: string, expected: string) => {
    throw new BookendError(
      'unsupported',
      `The quantization config of ${origin} asks for ${found}, where Bookend computes with ${expected}; change it.`,
    );
  };
  if (weights.dtype !== 's8') refuse(`weights in ${weights.dtype}`, 'weights in s8');
  if (activations === null) return;
  const simple = weights.granularity !== 'per-group' && weights.scheme === 'symmetric';
  if (!simple) {
    refuse(
      `${weights.scheme} weights ${weights.granularity} beside quantized activations`,
      'symmetric weights per-channel or per-tensor, or with "activations": null',
    );
  }
  if (activations.dtype !== 'u8' || activations.granularity !== 'per-tensor') {
    refuse(
      `activations in ${activations.dtype} ${activations.granularity}`,
      'activations in u8 per-tensor, affine or symmetric',
    );
  }
}

/** Whether only the weights are quantized, and all arithmetic is in floating point. */
export function isWeightOnly({ activations }: QuantizationConfig): boolean {
  return activations === null;
}

/** A layer to quantize: `path` is the part of its parameters' names before `.weight`. */
export interface SelectedLayer {
  readonly path: string;
  readonly node: Layer;
}

/**
 * The layers of `graph` that `config` means, in the graph's order; before or after the inference
 * passes.
 *
 * @throws BookendError `invalid-argument` when there is none
 */
export function selectLayers(
  graph: Graph,
  { include, exclude }: Pick<QuantizationConfig, 'include' | 'exclude'>,
): readonly SelectedLayer[] {
  const layers = quantizableLayers(graph);
  const selected = layers.filter(
    ({ path }) => matchesAny(include, path) && !matchesAny(exclude, path),
  );
  if (selected.length > 0) return selected;
  throw new BookendError(
    'invalid-argument',
    `None of the ${layers.length} layers of ${graph.name} is included and not excluded; they have names such as ${layers[0]?.path ?? 'none'}.`,
  );
}

/** Every convolution and linear layer with weights of its own. */
export function quantizableLayers(graph: Graph): readonly SelectedLayer[] {
  return [...layersOf(graph)]
    .filter(([, node]) => isFloating(node.inputs.weight.dtype))
    .map(([path, node]) => ({ path, node }));
}
