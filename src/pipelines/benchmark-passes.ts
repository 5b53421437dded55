import { inferencePasses, type Pass } from '../passes/index.ts';
import { int8Scores } from '../passes/int8-scores.ts';
import { type LayerParams, quantizeLayers } from '../passes/quantize-layers.ts';
import {
  DEFAULT_QUANTIZATION,
  type QuantizationConfig,
  selectLayers,
} from '../quantization/config.ts';
import type { Precision } from '../quantization/precision-schedule.ts';
import { bestPrecision } from './cpu-precision.ts';
import { inferencePrecision } from './request.ts';

/** Scales for nothing in particular: what a step costs does not depend on them. */
const ANY_SCALES: LayerParams = {
  x: { scale: 0.05, zeroPoint: 128 },
  skip: { scale: 0.05, zeroPoint: 128 },
};

/** Quantizes the layers that are quantized by default, without calibration. */
const quantizeByDefault: Pass = {
  name: 'quantize-by-default',
  run: (graph) => {
    const layers = selectLayers(graph, DEFAULT_QUANTIZATION);
    return quantizeLayers(new Map(layers.map(({ path }) => [path, ANY_SCALES]))).run(graph);
  },
};

/**
 * What a graph goes through before its speed is measured. INT8 leaves what it does not quantize in
 * the CPU's best precision, as a run does; its results mean nothing.
 */
export function benchmarkPasses(
  precision: Precision,
  attentionScores: QuantizationConfig['attentionScores'] = 'float',
): readonly Pass[] {
  if (precision !== 'int8') return inferencePasses(inferencePrecision(precision));
  return [
    ...inferencePasses(inferencePrecision(bestPrecision())),
    quantizeByDefault,
    ...(attentionScores === 'int8' ? [int8Scores] : []),
  ];
}
