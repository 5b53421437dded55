import { BookendError } from '../core/errors.ts';
import { elementCount } from '../core/shape.ts';
import type { Graph, Node, Value } from '../ir/graph.ts';
import type { NodeOf, OpName } from '../ir/op-table.ts';
import type { Place } from './instructions.ts';
import { lowerAttention } from './lower-attention.ts';
import { lowerAttentionGradient } from './lower-attention-gradient.ts';
import { lowerConv2d, lowerLinear } from './lower-conv2d.ts';
import {
  lowerBroadcast,
  lowerConcat,
  lowerPad,
  lowerPermute,
  lowerReshape,
  lowerSlice,
  lowerUpsampleNearest,
} from './lower-copies.ts';
import { lowerAffine, lowerBinary, lowerCast, lowerRows, lowerUnary } from './lower-elementwise.ts';
import { lowerEmbedding, lowerTimestepEmbedding } from './lower-embedding.ts';
import {
  lowerFakeQuantize,
  lowerFakeQuantizeGradient,
  lowerFakeQuantizeScaleGradient,
} from './lower-fake-quantize.ts';
import {
  lowerGroupNorm,
  lowerGroupNormGradient,
  lowerLayerNorm,
  lowerLayerNormGradient,
} from './lower-norms.ts';
import { lowerObserve } from './lower-observe.ts';
import { lowerPool2d } from './lower-pool2d.ts';
import {
  lowerConv2dInputGradient,
  lowerConv2dWeightGradient,
  lowerMatmul,
} from './lower-products.ts';
import { lowerSum, lowerUpsampleNearestGradient } from './lower-sums.ts';
import { castFields, Lowering, type LoweringOptions } from './lowering.ts';

type Rule<K extends OpName> = (node: NodeOf<K>, lowering: Lowering) => void;

/** How each op becomes instructions. `no-kernel`: only gradients use it, or only the reference. */
const RULES: { readonly [K in OpName]: Rule<K> | 'no-kernel' } = {
  add: lowerBinary,
  affine: lowerAffine,
  attention: lowerAttention,
  attentionGradient: lowerAttentionGradient,
  broadcast: lowerBroadcast,
  cast: lowerCast,
  concat: lowerConcat,
  conv2d: lowerConv2d,
  conv2dInputGradient: lowerConv2dInputGradient,
  conv2dWeightGradient: lowerConv2dWeightGradient,
  div: lowerBinary,
  embedding: lowerEmbedding,
  embeddingGradient: 'no-kernel',
  erf: lowerUnary,
  exp: lowerUnary,
  fakeQuantize: lowerFakeQuantize,
  fakeQuantizeGradient: lowerFakeQuantizeGradient,
  fakeQuantizeScaleGradient: lowerFakeQuantizeScaleGradient,
  geglu: lowerRows,
  gelu: lowerUnary,
  geluTanh: lowerUnary,
  groupNorm: lowerGroupNorm,
  groupNormGradient: lowerGroupNormGradient,
  layerNorm: lowerLayerNorm,
  layerNormGradient: lowerLayerNormGradient,
  linear: lowerLinear,
  matmul: lowerMatmul,
  mul: lowerBinary,
  observe: lowerObserve,
  pad: lowerPad,
  permute: lowerPermute,
  pool2d: lowerPool2d,
  quickGelu: lowerUnary,
  relu: lowerUnary,
  reshape: lowerReshape,
  sigmoid: lowerUnary,
  silu: lowerUnary,
  slice: lowerSlice,
  softmax: lowerRows,
  sub: lowerBinary,
  sum: lowerSum,
  tanh: lowerUnary,
  timestepEmbedding: lowerTimestepEmbedding,
  upsampleNearest: lowerUpsampleNearest,
  upsampleNearestGradient: lowerUpsampleNearestGradient,
};

/** Graph inputs and outputs in the arena, in the graph's order; without outputs in place. */
export interface Lowered {
  readonly lowering: Lowering;
  readonly inputs: ReadonlyMap<string, Place>;
  readonly outputs: ReadonlyMap<string, Place>;
}

/**
 * Turns every node into native instructions.
 *
 * @throws BookendError `unsupported` for an op that has no native kernel
 */
export function lower(graph: Graph, options: LoweringOptions = {}): Lowered {
  const lowering = new Lowering(graph, options);
  const inputs = new Map<string, Place>();
  for (const [name, value] of Object.entries(graph.inputs)) {
    inputs.set(name, lowering.allocate(value));
  }
  for (const node of graph.nodes) lowerNode(node, lowering);
  return { lowering, inputs, outputs: placeOutputs(graph, lowering) };
}

function lowerNode(node: Node, lowering: Lowering): void {
  const rule: Rule<never> | 'no-kernel' = RULES[node.op];
  if (rule === 'no-kernel') {
    throw new BookendError(
      'unsupported',
      `${node.op} in ${lowering.graph.name}.${node.scope} has no native kernel; use the reference backend.`,
    );
  }
  rule(node as never, lowering);
}

/**
 * A parameter that is an output itself is copied into the arena, where outputs are read; an output in
 * place is copied to its array unless it was computed there.
 */
function placeOutputs(graph: Graph, lowering: Lowering): Map<string, Place> {
  const outputs = new Map<string, Place>();
  for (const [name, value] of Object.entries(graph.outputs)) {
    const place = lowering.place(value);
    const array = lowering.outputArray(name);
    if (array) {
      if (place !== array) copyTo(array, value, place, lowering);
    } else if ('storage' in place && !place.storage.array) {
      outputs.set(name, place);
    } else {
      const out = lowering.temporary(value);
      copyTo(out, value, place, lowering);
      outputs.set(name, out);
    }
  }
  return outputs;
}

function copyTo(out: Place, { dtype, shape }: Value, x: Place, lowering: Lowering): void {
  const fields = castFields(elementCount(shape), dtype, dtype);
  lowering.emit(undefined, 'unary', fields, { x, out });
}
