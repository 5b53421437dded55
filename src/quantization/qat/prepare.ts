import { BookendError } from '../../core/errors.ts';
import { elementCount } from '../../core/shape.ts';
import type { Graph, Node, Value } from '../../ir/graph.ts';
import type { GraphBuilder } from '../../ir/graph-builder.ts';
import { isOp } from '../../ir/op-table.ts';
import { concat } from '../../ir/ops/concat.ts';
import { fakeQuantize } from '../../ir/ops/fake-quantize.ts';
import type { CodeRange } from '../../ir/ops/fake-quantize-operands.ts';
import { observe } from '../../ir/ops/observe.ts';
import { reshape } from '../../ir/ops/reshape.ts';
import { slice } from '../../ir/ops/slice.ts';
import { inferencePasses, runPasses } from '../../passes/index.ts';
import { type Layer, type LayerInput, layerInputs, layersOf } from '../../passes/layer-inputs.ts';
import { type LayerParams, quantizedNames } from '../../passes/quantize-layers.ts';
import { copyInto, type RewriteContext } from '../../passes/rewrite.ts';

/** Activations are u8 codes, weights s8 ones, as the INT8 kernels have them. */
const ACTIVATION_CODES: CodeRange = { lowest: 0, highest: 255 };
export const WEIGHT_CODES: CodeRange = { lowest: -128, highest: 127 };

/** A tensor that is fake-quantized for its readers, once however many read it. */
export interface FakeQuantizedInput {
  /** Its first reader, as calibration names it: 'down_blocks.0.resnets.0.conv1.x'. */
  readonly name: string;
  readonly readers: readonly LayerInput[];
  /** Extent of its first axis: every sample has a scale of its own. */
  readonly samples: number;
}

/** Names at the border of a prepared graph that belong to a fake-quantized input. */
export function fakeQuantizationNames(input: string) {
  return {
    /** Graph input, f32 [samples]. */
    scale: `${input}.scale`,
    /** Graph input, f32 [samples], whole numbers. */
    zero: `${input}.zero`,
    /** Graph output, f32 [samples, 2]: the smallest and the largest number of each sample. */
    range: `${input}.range`,
  };
}

export interface PreparedGraph {
  readonly graph: Graph;
  readonly inputs: readonly FakeQuantizedInput[];
  /**
   * What training may change: `L.weight` and `L.bias.int8` of every layer. Everything else is shared
   * with the steps in high precision.
   */
  readonly weights: readonly string[];
  /** `L.weight.scale` of every layer, which may be learned too. */
  readonly weightScales: readonly string[];
}

export interface PrepareOptions {
  /** `observed`: the graph also says the range of every input, for moving averages. */
  readonly ranges: 'observed' | 'held';
}

/**
 * The graph that quantization-aware training differentiates: what the INT8 form of `graph` computes, in
 * floating point. Weights and inputs of the layers named in `layers` go through fakeQuantize at the
 * places where post-training quantization puts codes; the halves of a skip concatenation each on its own.
 *
 * Parameters of a layer L are `L.weight` and, by the names of a quantized model, `L.weight.scale` and
 * `L.bias.int8`; so training starts from the very numbers of a quantized model, bias correction
 * included. Scales and zero points of activations are graph inputs, for they depend on the timesteps.
 *
 * @param graph as models build it, before the passes that fuse
 * @param layers of any timestep bucket of the quantized model to start from
 * @throws BookendError `invalid-argument` for layers that the graph does not have, or that read
 * another number of tensors
 */
export function prepare(
  graph: Graph,
  layers: ReadonlyMap<string, LayerParams>,
  { ranges }: PrepareOptions,
): PreparedGraph {
  requireLayers(graph, layers);
  const preparation = new Preparation(inputsOf(graph, layers), layers, ranges);
  const paths = new Map([...layersOf(graph)].map(([path, node]) => [node as Node, path]));
  const { b, map } = copyInto(graph, (node, context) => {
    const path = paths.get(node);
    if (path === undefined || !layers.has(path)) return undefined;
    return preparation.layer(path, node as Layer, context);
  });
  for (const [name, value] of Object.entries(graph.outputs)) b.output(name, map(value));
  for (const [name, value] of preparation.ranges) b.output(name, value);
  const names = [...layers.keys()];
  return {
    graph: b.finish(),
    inputs: preparation.inputs,
    weights: names.flatMap((path) => [`${path}.weight`, quantizedNames(path).bias]),
    weightScales: names.map((path) => quantizedNames(path).scale),
  };
}

function requireLayers(graph: Graph, layers: ReadonlyMap<string, LayerParams>): void {
  if (layers.size === 0) {
    throw new BookendError(
      'invalid-argument',
      'The quantized model has no layer with quantized inputs, which is what training prepares for; quantize activations too.',
    );
  }
  const known = layersOf(graph);
  const unknown = [...layers.keys()].find((path) => !known.has(path));
  if (unknown === undefined) return;
  throw new BookendError(
    'invalid-argument',
    `${graph.name} has no layer ${unknown}, which the quantized model has; quantize this model again.`,
  );
}

/** Which tensors layers share is decided where calibration sees it: ready for inference. */
function inputsOf(
  graph: Graph,
  layers: ReadonlyMap<string, LayerParams>,
): ReadonlyMap<string, readonly LayerInput[]> {
  const fused = runPasses(graph, inferencePasses('f32'));
  const nodes = layersOf(fused);
  for (const [path, { skip }] of layers) {
    if ((nodes.get(path)?.inputs.skip !== undefined) === (skip !== undefined)) continue;
    const found = skip ? 'two scales for its one input' : 'one scale for its two inputs';
    throw new BookendError(
      'invalid-argument',
      `The quantized model has ${found} of the layer ${path} of ${graph.name}; quantize this model again.`,
    );
  }
  const inputs = new Map<string, readonly LayerInput[]>();
  for (const readers of layerInputs(fused, layers.keys()).values()) {
    const [{ layer, operand }] = readers;
    inputs.set(`${layer}.${operand}`, readers);
  }
  return inputs;
}

class Preparation {
  readonly inputs: FakeQuantizedInput[] = [];
  readonly ranges = new Map<string, Value>();
  readonly #layers: ReadonlyMap<string, LayerParams>;
  readonly #mode: PrepareOptions['ranges'];
  readonly #readers: ReadonlyMap<string, readonly LayerInput[]>;
  /** 'layer.operand' to the name of the tensor it reads. */
  readonly #nameOf: ReadonlyMap<string, string>;
  /** By name, and Value of the old graph. */
  readonly #quantized = new Map<string, Map<Value, Value>>();

  constructor(
    readers: ReadonlyMap<string, readonly LayerInput[]>,
    layers: ReadonlyMap<string, LayerParams>,
    mode: PrepareOptions['ranges'],
  ) {
    this.#readers = readers;
    this.#layers = layers;
    this.#mode = mode;
    this.#nameOf = new Map(
      [...readers].flatMap(([name, list]) =>
        list.map(({ layer, operand }) => [`${layer}.${operand}`, name]),
      ),
    );
  }

  layer(path: string, node: Layer, context: RewriteContext): readonly Value[] {
    const { b, map } = context;
    const inputs: Record<string, Value> = Object.fromEntries(
      Object.entries(node.inputs).map(([name, value]) => [name, map(value)]),
    );
    const read = (operand: LayerInput['operand'], value: Value) =>
      this.#input(this.#nameOf.get(`${path}.${operand}`)!, value, context);
    const { x, skip } = node.inputs;
    if (!this.#layers.get(path)!.skip || skip) {
      inputs.x = read('x', x);
      if (skip) inputs.skip = read('skip', skip);
    } else if (isOp(x.node, 'concat')) {
      const { first, second } = x.node.inputs;
      const halves = [read('x', first), read('skip', second)];
      inputs.x = concat(b, halves[0], halves[1], x.node.attributes);
    }
    const names = quantizedNames(path);
    const perOutput = node.inputs.weight.shape.slice(0, 1);
    const parameter = (name: string) => b.withScope('', () => b.parameter(name, perOutput));
    inputs.weight = weight(b, inputs.weight, parameter(names.scale));
    inputs.bias = parameter(names.bias);
    return b.applyAny(node.op, inputs, node.attributes);
  }

  /** Behind views, which repeat numbers and make none: where there are fewest to round. */
  #input(name: string, value: Value, context: RewriteContext): Value {
    const known = this.#quantized.get(name) ?? new Map<Value, Value>();
    this.#quantized.set(name, known);
    const found = known.get(value);
    if (found) return found;
    const { node } = value;
    const { b } = context;
    const isView = isOp(node, 'reshape') || isOp(node, 'upsampleNearest');
    const result = isView
      ? b.applyAny(node.op, { x: this.#input(name, node.inputs.x, context) }, node.attributes)[0]
      : this.#activation(b, name, context.map(value));
    known.set(value, result);
    return result;
  }

  #activation(b: GraphBuilder, name: string, x: Value): Value {
    const samples = x.shape[0];
    const names = fakeQuantizationNames(name);
    const scale = b.input(names.scale, 'f32', [samples]);
    const zero = b.input(names.zero, 'f32', [samples]);
    this.inputs.push({ name, readers: this.#readers.get(name)!, samples });
    if (this.#mode === 'observed') this.ranges.set(names.range, rangesOf(b, x));
    return fakeQuantize(b, { x, scale, zero }, learnable(ACTIVATION_CODES, x));
  }
}

function weight(b: GraphBuilder, x: Value, scale: Value): Value {
  return fakeQuantize(b, { x, scale }, learnable(WEIGHT_CODES, x));
}

/** With the gradient scale that LSQ proposes (section 2.2): 1/√(elements that share it · highest). */
function learnable(codes: CodeRange, { shape }: Value) {
  const elements = elementCount(shape) / shape[0];
  return { ...codes, gradientScale: 1 / Math.sqrt(elements * codes.highest) };
}

/** The smallest and largest number of each sample, [samples, 2]. */
function rangesOf(b: GraphBuilder, x: Value): Value {
  const ranges = Array.from({ length: x.shape[0] }, (_, start) => {
    const sample = x.shape[0] === 1 ? x : slice(b, x, { axis: 0, start, length: 1 });
    return reshape(b, observe(b, sample).range, [1, 2]);
  });
  return ranges.reduce((all, range) => concat(b, all, range, { axis: 0 }));
}
