import { BookendError } from '../../core/errors.ts';
import type { Node } from '../../ir/graph.ts';
import type { NodeOf, OpName } from '../../ir/op-table.ts';
import type { Emitter } from '../emitter.ts';
import { gelu, geluTanh, quickGelu, relu, silu } from './activation.ts';
import { emitAttention } from './attention.ts';
import {
  binary,
  emitAffine,
  emitCast,
  emitConcat,
  emitGeglu,
  emitReshape,
  emitSlice,
  unary,
} from './elementwise.ts';
import { emitEmbedding, emitTimestepEmbedding } from './embeddings.ts';
import { emitConv2d, emitLinear, emitPool2d, emitUpsampleNearest } from './layers.ts';
import { emitGroupNorm, emitLayerNorm } from './norms.ts';

/**
 * How each op is said in ONNX. 'not-exported' are those that graphs for inference never hold: parts
 * of gradients, and calibration's op.
 */
const EMISSIONS: {
  readonly [K in OpName]: ((e: Emitter, node: NodeOf<K>) => void) | 'not-exported';
} = {
  add: binary('Add'),
  affine: emitAffine,
  attention: emitAttention,
  attentionGradient: 'not-exported',
  broadcast: 'not-exported',
  cast: emitCast,
  concat: emitConcat,
  conv2d: emitConv2d,
  conv2dInputGradient: 'not-exported',
  conv2dWeightGradient: 'not-exported',
  div: binary('Div'),
  embedding: emitEmbedding,
  embeddingGradient: 'not-exported',
  erf: unary((e, x) => e.node('Erf', [x])),
  exp: unary((e, x) => e.node('Exp', [x])),
  fakeQuantize: 'not-exported',
  fakeQuantizeGradient: 'not-exported',
  fakeQuantizeScaleGradient: 'not-exported',
  geglu: emitGeglu,
  gelu: unary(gelu),
  geluTanh: unary(geluTanh),
  groupNorm: emitGroupNorm,
  groupNormGradient: 'not-exported',
  layerNorm: emitLayerNorm,
  layerNormGradient: 'not-exported',
  linear: emitLinear,
  matmul: 'not-exported',
  mul: binary('Mul'),
  observe: 'not-exported',
  pad: 'not-exported',
  permute: 'not-exported',
  pool2d: emitPool2d,
  quickGelu: unary(quickGelu),
  relu: unary(relu),
  reshape: emitReshape,
  sigmoid: unary((e, x) => e.node('Sigmoid', [x])),
  silu: unary(silu),
  slice: emitSlice,
  softmax: 'not-exported',
  sub: binary('Sub'),
  sum: 'not-exported',
  tanh: unary((e, x) => e.node('Tanh', [x])),
  timestepEmbedding: emitTimestepEmbedding,
  upsampleNearest: emitUpsampleNearest,
  upsampleNearestGradient: 'not-exported',
};

/**
 * Adds the ONNX nodes that mean `node`.
 *
 * @throws BookendError `unsupported`, naming an op that is not exported
 */
export function emitNode(e: Emitter, node: Node): void {
  const emit = EMISSIONS[node.op] as ((e: Emitter, node: Node) => void) | 'not-exported';
  if (emit === 'not-exported') {
    throw new BookendError(
      'unsupported',
      `Node ${node.id} is ${node.op}, which is not exported to ONNX; export a graph for inference.`,
    );
  }
  e.enter(node.scope);
  emit(e, node);
}
