import { BookendError } from '../core/errors.ts';
import { type QuantizationParams, sameQuantization } from '../core/quantization-params.ts';
import type { Attributes, Graph, Node, Value } from '../ir/graph.ts';
import { GraphBuilder } from '../ir/graph-builder.ts';
import { isOp } from '../ir/op-table.ts';
import { quantize } from '../ir/ops/cast.ts';
import { quantizeAttribute } from '../ir/ops/stored-type.ts';
import { eliminateDeadCode } from './dead-code.ts';
import { type Layer, layersOf } from './layer-inputs.ts';
import type { Pass } from './pass.ts';

/** How a layer's inputs are quantized; the two halves of a skip concatenation apart. */
export interface LayerParams {
  readonly x: QuantizationParams;
  readonly skip?: QuantizationParams;
}

/** The parameters of a quantized layer, by the path of the original one. */
export function quantizedNames(layer: string) {
  return {
    /** s8, in the shape of the original. */
    weight: `${layer}.weight.s8`,
    /** f32 [O]: what one step of a weight is worth. */
    scale: `${layer}.weight.scale`,
    /** f32 [O], corrected for what quantization does to the mean. */
    bias: `${layer}.bias.int8`,
  };
}

/**
 * Makes the layers named in `layers` compute in INT8: their inputs become u8 codes, their weights
 * the s8 parameters of `quantizedNames`. Whoever produces an input stores the codes itself, beside
 * the floating result where somebody reads that too; only behind an op that cannot does a cast
 * appear. Runs on a graph that is ready for inference; layers that are not in it do not matter.
 *
 * @throws BookendError `invalid-argument` for a layer with two sources and params for one
 */
export function quantizeLayers(layers: ReadonlyMap<string, LayerParams>): Pass {
  return {
    name: 'quantize-layers',
    run: (graph) => eliminateDeadCode(new Quantizer(graph, layers).run()),
  };
}

/** What a Value's readers want of it. */
interface Demand {
  float: boolean;
  readonly codes: QuantizationParams[];
}

class Quantizer {
  readonly #graph: Graph;
  readonly #b: GraphBuilder;
  readonly #params = new Map<Node, { readonly layer: string; readonly params: LayerParams }>();
  readonly #demands: ReadonlyMap<Value, Demand>;
  readonly #float = new Map<Value, Value>();
  readonly #codes = new Map<Value, Value[]>();

  constructor(graph: Graph, layers: ReadonlyMap<string, LayerParams>) {
    this.#graph = graph;
    this.#b = new GraphBuilder(graph.name);
    for (const [layer, node] of layersOf(graph)) {
      const params = layers.get(layer);
      if (params) this.#params.set(node, { layer, params });
    }
    this.#demands = this.#collectDemands();
  }

  run(): Graph {
    const graph = this.#graph;
    for (const [name, value] of Object.entries(graph.inputs)) {
      this.#float.set(value, this.#b.input(name, value.dtype, value.shape, value.quantization));
    }
    for (const [path, value] of graph.parameters) {
      this.#float.set(value, this.#b.parameter(path, value.shape, value.dtype));
    }
    for (const node of graph.nodes) this.#emit(node);
    for (const [name, value] of Object.entries(graph.outputs)) {
      this.#b.output(name, this.#asFloat(value));
    }
    return this.#b.finish();
  }

  /** From the last node to the first, so that a reshape knows its readers' demands. */
  #collectDemands(): ReadonlyMap<Value, Demand> {
    const demands = new Map<Value, Demand>();
    const demandOn = (value: Value): Demand => {
      const demand = demands.get(value) ?? { float: false, codes: [] };
      demands.set(value, demand);
      return demand;
    };
    const want = (value: Value, params: QuantizationParams) => {
      const { codes } = demandOn(value);
      if (!codes.some((known) => sameQuantization(known, params))) codes.push(params);
    };
    for (const value of Object.values(this.#graph.outputs)) demandOn(value).float = true;
    for (const node of this.#graph.nodes.toReversed()) {
      const ownDemand = demands.get(node.outputs[0]);
      for (const [operand, value] of Object.entries(node.inputs)) {
        const params = this.#paramsOf(node, operand);
        if (params) {
          want(value, params);
        } else if (isOp(node, 'reshape')) {
          for (const codes of ownDemand?.codes ?? []) want(value, codes);
          if (ownDemand?.float) demandOn(value).float = true;
        } else {
          demandOn(value).float = true;
        }
      }
    }
    return demands;
  }

  /** How `operand` of `node` is quantized, if it is. */
  #paramsOf(node: Node, operand: string): QuantizationParams | undefined {
    const found = this.#params.get(node);
    if (!found || (operand !== 'x' && operand !== 'skip')) return undefined;
    const params = found.params[operand];
    if (params) return params;
    throw new BookendError(
      'invalid-argument',
      `Layer ${found.layer} reads two sources and has quantization parameters for one; give both.`,
    );
  }

  #emit(node: Node): void {
    this.#b.withScope(node.scope, () => {
      if (isOp(node, 'reshape')) {
        this.#emitReshape(node.inputs.x, node.outputs[0], node.attributes);
      } else {
        const stored = this.#storage(node);
        const { inputs, attributes } = this.#inputsOf(node);
        const outputs = this.#b.applyAny(node.op, inputs, { ...attributes, ...stored });
        this.#record(node, outputs);
      }
    });
  }

  #emitReshape(x: Value, output: Value, attributes: Attributes): void {
    const demand = this.#demands.get(output);
    const reshaped = (value: Value) => this.#b.applyAny('reshape', { x: value }, attributes)[0];
    if (demand?.float) this.#float.set(output, reshaped(this.#asFloat(x)));
    const codes = demand?.codes ?? [];
    this.#codes.set(
      output,
      codes.map((params) => reshaped(this.#asCodes(x, params))),
    );
  }

  /** The attributes that make `node` store the codes that are wanted of it, as far as it can. */
  #storage(node: Node): Attributes {
    const { float, codes } = this.#demands.get(node.outputs[0]) ?? { float: false, codes: [] };
    if (codes.length === 0) return {};
    const attributes = { quantize: quantizeAttribute(codes[0]) };
    const both = float || codes.length > 1;
    if (isOp(node, 'conv2d', 'linear'))
      return both ? { ...attributes, keepFloat: true } : attributes;
    const canStoreCodes = isOp(node, 'groupNorm', 'layerNorm', 'attention');
    return canStoreCodes && !both ? attributes : {};
  }

  #record(node: Node, outputs: readonly Value[]): void {
    for (const value of outputs) {
      const original = node.outputs[node.outputs.length === 1 ? 0 : value.index];
      if (value.dtype === 'u8') this.#codes.set(original, [value]);
      else this.#float.set(original, value);
    }
  }

  #inputsOf(node: Node): { inputs: Record<string, Value>; attributes: Attributes } {
    const layer = this.#params.get(node)?.layer;
    const inputs: Record<string, Value> = {};
    for (const [operand, value] of Object.entries(node.inputs)) {
      const params = this.#paramsOf(node, operand);
      inputs[operand] = params ? this.#asCodes(value, params) : this.#asFloat(value);
    }
    if (layer === undefined) return { inputs, attributes: node.attributes };
    const { weight, x } = (node as Layer).inputs;
    const names = quantizedNames(layer);
    const parameter = (path: string, dtype: 's8' | 'f32', shape = weight.shape) =>
      this.#b.withScope('', () => this.#b.parameter(path, shape, dtype));
    const perOutput = weight.shape.slice(0, 1);
    inputs.weight = parameter(names.weight, 's8');
    inputs.weightScale = parameter(names.scale, 'f32', perOutput);
    inputs.bias = parameter(names.bias, 'f32', perOutput);
    return { inputs, attributes: { ...node.attributes, floatType: x.dtype } };
  }

  #asFloat(value: Value): Value {
    return this.#float.get(value)!;
  }

  #asCodes(value: Value, params: QuantizationParams): Value {
    const known = this.#codes.get(value) ?? [];
    const found = known.find(({ quantization }) => sameQuantization(quantization, params));
    if (found) return found;
    const codes = quantize(this.#b, this.#asFloat(value), params);
    this.#codes.set(value, [...known, codes]);
    return codes;
  }
}
