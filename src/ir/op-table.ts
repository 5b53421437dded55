import type { Attributes, Node, NodeInputs, TensorType, Value } from './graph.ts';
import { type OpDefinition, reject } from './op.ts';
import { addOp } from './ops/add.ts';
import { affineOp } from './ops/affine.ts';
import { attentionOp } from './ops/attention.ts';
import { attentionGradientOp } from './ops/attention-gradient.ts';
import { broadcastOp } from './ops/broadcast.ts';
import { castOp } from './ops/cast.ts';
import { concatOp } from './ops/concat.ts';
import { conv2dOp } from './ops/conv2d.ts';
import { conv2dInputGradientOp } from './ops/conv2d-input-gradient.ts';
import { conv2dWeightGradientOp } from './ops/conv2d-weight-gradient.ts';
import { divOp } from './ops/div.ts';
import { embeddingOp } from './ops/embedding.ts';
import { embeddingGradientOp } from './ops/embedding-gradient.ts';
import { erfOp } from './ops/erf.ts';
import { expOp } from './ops/exp.ts';
import { fakeQuantizeOp } from './ops/fake-quantize.ts';
import { fakeQuantizeGradientOp } from './ops/fake-quantize-gradient.ts';
import { fakeQuantizeScaleGradientOp } from './ops/fake-quantize-scale-gradient.ts';
import { gegluOp } from './ops/geglu.ts';
import { geluOp } from './ops/gelu.ts';
import { geluTanhOp } from './ops/gelu-tanh.ts';
import { groupNormOp } from './ops/group-norm.ts';
import { groupNormGradientOp } from './ops/group-norm-gradient.ts';
import { layerNormOp } from './ops/layer-norm.ts';
import { layerNormGradientOp } from './ops/layer-norm-gradient.ts';
import { linearOp } from './ops/linear.ts';
import { matmulOp } from './ops/matmul.ts';
import { mulOp } from './ops/mul.ts';
import { observeOp } from './ops/observe.ts';
import { padOp } from './ops/pad.ts';
import { permuteOp } from './ops/permute.ts';
import { pool2dOp } from './ops/pool2d.ts';
import { quickGeluOp } from './ops/quick-gelu.ts';
import { reluOp } from './ops/relu.ts';
import { reshapeOp } from './ops/reshape.ts';
import { sigmoidOp } from './ops/sigmoid.ts';
import { siluOp } from './ops/silu.ts';
import { sliceOp } from './ops/slice.ts';
import { softmaxOp } from './ops/softmax.ts';
import { subOp } from './ops/sub.ts';
import { sumOp } from './ops/sum.ts';
import { tanhOp } from './ops/tanh.ts';
import { timestepEmbeddingOp } from './ops/timestep-embedding.ts';
import { upsampleNearestOp } from './ops/upsample-nearest.ts';
import { upsampleNearestGradientOp } from './ops/upsample-nearest-gradient.ts';

/** Every op there is. A new op is one file of `ops/` and one entry here. */
export const opTable = {
  add: addOp,
  affine: affineOp,
  attention: attentionOp,
  attentionGradient: attentionGradientOp,
  broadcast: broadcastOp,
  cast: castOp,
  concat: concatOp,
  conv2d: conv2dOp,
  conv2dInputGradient: conv2dInputGradientOp,
  conv2dWeightGradient: conv2dWeightGradientOp,
  div: divOp,
  embedding: embeddingOp,
  embeddingGradient: embeddingGradientOp,
  erf: erfOp,
  exp: expOp,
  fakeQuantize: fakeQuantizeOp,
  fakeQuantizeGradient: fakeQuantizeGradientOp,
  fakeQuantizeScaleGradient: fakeQuantizeScaleGradientOp,
  geglu: gegluOp,
  gelu: geluOp,
  geluTanh: geluTanhOp,
  groupNorm: groupNormOp,
  groupNormGradient: groupNormGradientOp,
  layerNorm: layerNormOp,
  layerNormGradient: layerNormGradientOp,
  linear: linearOp,
  matmul: matmulOp,
  mul: mulOp,
  observe: observeOp,
  pad: padOp,
  permute: permuteOp,
  pool2d: pool2dOp,
  quickGelu: quickGeluOp,
  relu: reluOp,
  reshape: reshapeOp,
  sigmoid: sigmoidOp,
  silu: siluOp,
  slice: sliceOp,
  softmax: softmaxOp,
  sub: subOp,
  sum: sumOp,
  tanh: tanhOp,
  timestepEmbedding: timestepEmbeddingOp,
  upsampleNearest: upsampleNearestOp,
  upsampleNearestGradient: upsampleNearestGradientOp,
} as const satisfies Readonly<Record<string, OpDefinition>>;

export type OpName = keyof typeof opTable;

export type InputsOf<K extends OpName> =
  (typeof opTable)[K] extends OpDefinition<infer I, infer _> ? I : never;
export type AttributesOf<K extends OpName> =
  (typeof opTable)[K] extends OpDefinition<infer _, infer A> ? A : never;

/** A Node whose op, and so whose operands and attributes, are known to the type checker. */
export interface NodeOf<K extends OpName> extends Node {
  readonly op: K;
  readonly inputs: InputsOf<K>;
  readonly attributes: AttributesOf<K>;
}

/** Whether `node` exists and is one of `ops`; narrows its operands and attributes. */
export function isOp<K extends OpName>(node: Node | undefined, ...ops: K[]): node is NodeOf<K> {
  return node !== undefined && (ops as OpName[]).includes(node.op);
}

/** The definition of `op`, in the general form that fits all ops. */
export function opDefinition(op: OpName): OpDefinition {
  return opTable[op];
}

/** Output types of a node to be, after checking that it has the right operands. */
export function inferNode(
  op: OpName,
  inputs: NodeInputs,
  attributes: Attributes,
): readonly TensorType[] {
  const definition = opDefinition(op);
  for (const [name, presence] of Object.entries(definition.operands)) {
    if (presence === 'required' && !inputs[name]) {
      reject(`Operand ${name} is missing; pass it.`);
    }
  }
  for (const name of Object.keys(inputs)) {
    if (!Object.hasOwn(definition.operands, name)) {
      const expected = Object.keys(definition.operands).join(', ');
      reject(`There is an operand ${name}; the op takes ${expected}.`);
    }
  }
  return definition.infer(inputs, attributes);
}

/** The operands of `node` in canonical order, absent ones left out. */
export function operandsOf(node: Node): readonly (readonly [name: string, value: Value])[] {
  return Object.keys(opDefinition(node.op).operands)
    .filter((name) => node.inputs[name] !== undefined)
    .map((name) => [name, node.inputs[name]] as const);
}

/** Floating-point operations of `node`, a multiply-add counting two. */
export function flopsOf(node: Node): number {
  return opDefinition(node.op).flops(node.inputs, node.attributes, node.outputs);
}
