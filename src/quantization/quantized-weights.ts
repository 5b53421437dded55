import { BookendError } from '../core/errors.ts';
import { formatShape, sameShape } from '../core/shape.ts';
import { floats, type Tensor } from '../core/tensor.ts';
import type { Graph } from '../ir/graph.ts';
import { quantizedNames } from '../passes/quantize-layers.ts';
import type { WeightInfo, WeightSource } from '../runtime/backend.ts';
import {
  isWeightOnly,
  type QuantizationConfig,
  type SelectedLayer,
  selectLayers,
} from './config.ts';
import type { QuantizedUNet } from './quantized-model.ts';
import { dequantizeWeight, scaleShape } from './weight-codes.ts';

/** Zero points of affine weights, s8, in the shape of the scales. */
export const zeroName = (layer: string) => `${layer}.weight.zero`;

/** The tensors that quantizing a layer makes: name to type. */
export function quantizedTensorsOf(
  { path, node }: SelectedLayer,
  config: QuantizationConfig,
): ReadonlyMap<string, WeightInfo> {
  const { shape } = node.inputs.weight;
  const names = quantizedNames(path);
  const scales = scaleShape(shape, config.weights);
  const tensors = new Map<string, WeightInfo>([
    [names.weight, { dtype: 's8', shape }],
    [names.scale, { dtype: 'f32', shape: scales }],
  ]);
  if (config.weights.scheme === 'affine')
    tensors.set(zeroName(path), { dtype: 's8', shape: scales });
  if (!isWeightOnly(config)) tensors.set(names.bias, { dtype: 'f32', shape: shape.slice(0, 1) });
  return tensors;
}

/**
 * Checks that the tensors of a quantized model are those that its config makes of `graph` (after the
 * inference passes, so that skip connections are the layers' own), that its buckets speak of the
 * same layers, and that every scale and bias can be computed with.
 *
 * @param origin the file of the tensors, for messages
 * @throws BookendError `invalid-checkpoint` or `missing-tensor`
 */
export async function checkQuantizedUNet(
  model: QuantizedUNet,
  graph: Graph,
  tensors: WeightSource,
  origin: string,
): Promise<readonly SelectedLayer[]> {
  const layers = selectLayers(graph, model.config);
  checkBuckets(model, layers, origin);
  const expected = new Map(layers.flatMap((layer) => [...quantizedTensorsOf(layer, model.config)]));
  for (const [name, info] of expected) checkType(name, info, tensors.info(name), origin);
  for (const name of tensors.names()) {
    if (!expected.has(name)) {
      throw invalid(origin, `has the unexpected tensor ${quote(name)}`);
    }
  }
  for (const [name, { dtype }] of expected) {
    if (dtype === 'f32') checkValues(name, floats(await tensors.read(name)), origin);
  }
  return layers;
}

function checkBuckets(
  { buckets }: QuantizedUNet,
  layers: readonly SelectedLayer[],
  origin: string,
): void {
  for (const [i, { layers: params }] of buckets.entries()) {
    for (const { path, node } of layers) {
      const found = params.get(path);
      if (!found) throw invalid(origin, `has no scale for the layer ${path} in bucket ${i}`);
      if ((found.skip !== undefined) !== (node.inputs.skip !== undefined)) {
        const expected = node.inputs.skip ? 'one scale for two inputs' : 'two scales for one input';
        throw invalid(origin, `has ${expected} of the layer ${path} in bucket ${i}`);
      }
    }
    if (params.size === layers.length) continue;
    const known = new Set(layers.map(({ path }) => path));
    const unknown = [...params.keys()].find((path) => !known.has(path)) ?? '';
    throw invalid(origin, `has a scale for ${quote(unknown)}, which its config does not quantize`);
  }
}

function checkType(
  name: string,
  expected: WeightInfo,
  found: WeightInfo | undefined,
  origin: string,
): void {
  if (!found) {
    throw new BookendError(
      'missing-tensor',
      `${origin} has no tensor ${name}; fetch it or quantize the model again.`,
    );
  }
  if (found.dtype === expected.dtype && sameShape(found.shape, expected.shape)) return;
  throw invalid(
    origin,
    `has ${name} as ${found.dtype}${formatShape(found.shape).slice(0, 100)} instead of ${expected.dtype}${formatShape(expected.shape)}`,
  );
}

function checkValues(name: string, values: Float32Array, origin: string): void {
  const isScale = name.endsWith('.scale');
  const fault = values.find(
    (value) => !Number.isFinite(value) || (isScale && !(value > 0 && Number.isFinite(1 / value))),
  );
  if (fault === undefined) return;
  const expected = isScale ? 'a positive number with a finite inverse' : 'a finite number';
  throw invalid(origin, `holds ${fault} in ${name}, which must be ${expected}`);
}

/**
 * One source of the original tensors and of the quantized ones. Where only the weights are
 * quantized, each replaces its original: read, it is a float again.
 */
export function quantizedWeights(
  original: WeightSource,
  quantized: WeightSource,
  config: QuantizationConfig,
  layers: readonly SelectedLayer[],
): WeightSource {
  if (!isWeightOnly(config)) return joined(original, quantized);
  const replaced = new Map(layers.map(({ path }) => [`${path}.weight`, path]));
  const read = async (name: string): Promise<Tensor> => {
    const path = replaced.get(name);
    return path === undefined ? original.read(name) : readQuantizedWeight(path, quantized, config);
  };
  return {
    names: () => original.names(),
    info: (name) => {
      const info = original.info(name);
      return info && replaced.has(name) ? { dtype: 'f32', shape: info.shape } : info;
    },
    read,
    locate: (name) => (replaced.has(name) ? undefined : original.locate?.(name)),
  };
}

/** A layer's quantized weight as f32. */
export async function readQuantizedWeight(
  path: string,
  quantized: WeightSource,
  { weights: spec }: QuantizationConfig,
): Promise<Tensor> {
  const names = quantizedNames(path);
  return dequantizeWeight({
    codes: await quantized.read(names.weight),
    scales: await quantized.read(names.scale),
    ...(spec.scheme === 'affine' && { zeros: await quantized.read(zeroName(path)) }),
    spec,
  });
}

function joined(original: WeightSource, quantized: WeightSource): WeightSource {
  const of = (name: string) => (quantized.info(name) ? quantized : original);
  return {
    names: () => [...original.names(), ...quantized.names()],
    info: (name) => of(name).info(name),
    read: (name) => of(name).read(name),
    locate: (name) => of(name).locate?.(name),
  };
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 100));
}

function invalid(origin: string, fault: string): BookendError {
  return new BookendError(
    'invalid-checkpoint',
    `${origin} ${fault}; fetch it or quantize the model again.`,
  );
}
