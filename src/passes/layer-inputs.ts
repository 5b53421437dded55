import type { Graph, Value } from '../ir/graph.ts';
import { isOp, type NodeOf } from '../ir/op-table.ts';

export type Layer = NodeOf<'conv2d'> | NodeOf<'linear'>;

/** An operand of a layer that INT8 would quantize. */
export interface LayerInput {
  /** The layer's parameter path, without `.weight`. */
  readonly layer: string;
  readonly operand: 'x' | 'skip';
}

/** Convolutions and linear layers by parameter path; those without a parameter as weight are none. */
export function layersOf(graph: Graph): ReadonlyMap<string, Layer> {
  const paths = new Map([...graph.parameters].map(([path, value]) => [value, path]));
  const layers = new Map<string, Layer>();
  for (const node of graph.nodes) {
    if (!isOp(node, 'conv2d', 'linear')) continue;
    const path = paths.get(node.inputs.weight);
    if (path?.endsWith('.weight')) layers.set(path.slice(0, -'.weight'.length), node as Layer);
  }
  return layers;
}

/**
 * The tensors that the layers named `names` read, each once, with everybody who reads it. Reshapes
 * are looked through: they do not change the numbers.
 */
export function layerInputs(
  graph: Graph,
  names: Iterable<string>,
): ReadonlyMap<Value, readonly LayerInput[]> {
  const layers = layersOf(graph);
  const inputs = new Map<Value, LayerInput[]>();
  for (const layer of names) {
    const node = layers.get(layer);
    if (!node) continue;
    for (const operand of ['x', 'skip'] as const) {
      const value = node.inputs[operand];
      if (!value) continue;
      const source = behindReshapes(value);
      inputs.set(source, [...(inputs.get(source) ?? []), { layer, operand }]);
    }
  }
  return inputs;
}

/** The Value that `value` is a reshaped view of. */
export function behindReshapes(value: Value): Value {
  return isOp(value.node, 'reshape') ? behindReshapes(value.node.inputs.x) : value;
}
