import type { DType } from '../core/dtype.ts';
import type { Node } from '../ir/graph.ts';

/**
 * What the native executor can do: the fields of each instruction, as the C++ problem structs of
 * native/kernels have them. Extents are elements; strides too.
 */
export interface InstructionFields {
  conv2d: Conv2dFields;
  attention: AttentionFields;
  groupNorm: GroupNormFields;
  layerNorm: {
    rows: number;
    channels: number;
    epsilon: number;
    input: DType;
    output: DType;
  } & QuantizeFields;
  /** Of x, the gradient and `out`: type. Those of gamma and beta are f32. */
  layerNormGradient: { rows: number; channels: number; epsilon: number; type: DType };
  groupNormGradient: {
    batch: number;
    rows: number;
    channels: number;
    groups: number;
    epsilon: number;
    type: DType;
  };
  /** Of dense operands, all of one type. */
  attentionGradient: {
    batch: number;
    heads: number;
    queries: number;
    keys: number;
    headDim: number;
    scale: number;
    causal: boolean;
    type: DType;
  };
  /** Over the middle axis of [outer, count, inner]. */
  sum: { outer: number; count: number; inner: number; input: DType; output: DType };
  pool2d: Pool2dFields;
  unary: UnaryFields;
  binary: BinaryFields;
  geglu: { rows: number; columns: number; type: DType };
  softmax: { rows: number; columns: number; type: DType };
  fakeQuantize: FakeQuantizeFields;
  observe: { rows: number; channels: number; input: DType };
  copy: CopyFields;
  embedding: { count: number; rows: number; width: number; tableType: DType; output: DType };
  timestepEmbedding: {
    count: number;
    dim: number;
    cosineFirst: boolean;
    frequencyShift: number;
    maxPeriod: number;
  };
}

export type NativeOp = keyof InstructionFields;

/** Of a u8 result: code = result ÷ quantizeScale + quantizeZero. 1 and 0 for other results. */
export interface QuantizeFields {
  quantizeScale: number;
  quantizeZero: number;
}

/** A convolution; a linear layer over T rows is a 1×1 convolution over a 1×T image. */
export interface Conv2dFields extends QuantizeFields {
  batch: number;
  height: number;
  width: number;
  channels: number;
  skipChannels: number;
  outChannels: number;
  outHeight: number;
  outWidth: number;
  kernelHeight: number;
  kernelWidth: number;
  stride: number;
  padTop: number;
  padLeft: number;
  upsample: 1 | 2;
  input: DType;
  /** The floating type of `out` and `residual`. */
  output: DType;
  /** Which results are written: `out`, the u8 `quantized`, or both. */
  store: 'float' | 'quantized' | 'both';
  /** Of u8 sources: number = (code − zero) · scale. 1 and 0 for other sources. */
  inputScale: number;
  inputZero: number;
  skipScale: number;
  skipZero: number;
  hasBias: boolean;
  hasRowBias: boolean;
  hasResidual: boolean;
  activation: 'none' | 'silu' | 'gelu' | 'geluTanh' | 'quickGelu' | 'relu' | 'geglu';
  outputScale: number;
  /** n: n − 1 zeros stand between any two pixels of the source; 1 unless given. */
  insertion?: number;
  /** From one image, line and pixel of x to the next, where x is not dense. */
  xStrides?: [image: number, line: number, pixel: number];
  /**
   * Of weights that are not packed beforehand, since they are computed or change: where the first
   * one lies, and the strides of output, channel, row and column of the kernel.
   */
  weightView?: [offset: number, output: number, channel: number, row: number, column: number];
  /** Of such weights: whether the kernel is turned around, last tap first. */
  turned?: boolean;
}

export interface AttentionFields extends QuantizeFields {
  batch: number;
  heads: number;
  queries: number;
  keys: number;
  headDim: number;
  qStride: number;
  kStride: number;
  vStride: number;
  scale: number;
  causal: boolean;
  /** Of q, k and v. */
  type: DType;
  output: DType;
  /** What q · k is computed in. */
  scores: 'float' | 'int8';
}

export interface GroupNormFields extends QuantizeFields {
  batch: number;
  rows: number;
  channels: number;
  skipChannels: number;
  groups: number;
  epsilon: number;
  input: DType;
  output: DType;
  activation: 'none' | 'silu';
  /** What a task is, unless it is a chunk of rows. */
  split?: Exclude<GroupNormSplit, 'rows'>;
}

/**
 * What a task of groupNorm is: some rows with all of their channels, a group of channels over all rows,
 * or 16 neighbouring channels over all rows. Only the first is of use, and the others are there to be
 * compared with it; all give the same bits.
 */
export type GroupNormSplit = 'rows' | 'groups' | 'channels';

export interface Pool2dFields {
  kind: 'max' | 'average';
  batch: number;
  height: number;
  width: number;
  channels: number;
  outHeight: number;
  outWidth: number;
  kernelHeight: number;
  kernelWidth: number;
  stride: number;
  padTop: number;
  padLeft: number;
  type: DType;
}

export type UnaryKind =
  | 'affine'
  | 'silu'
  | 'gelu'
  | 'geluTanh'
  | 'quickGelu'
  | 'relu'
  | 'sigmoid'
  | 'tanh'
  | 'exp'
  | 'erf';

export interface UnaryFields {
  kind: UnaryKind;
  count: number;
  scale: number;
  offset: number;
  input: DType;
  output: DType;
}

/** Groups of elements that share a scale and a zero point, and the codes that there are. */
export interface FakeQuantizeFields {
  /** The rounded numbers, or the gradient of x, of the scale, or both. */
  result: 'value' | 'gradient' | 'scaleGradient' | 'gradients';
  groups: number;
  /** Elements of a group. */
  count: number;
  lowest: number;
  highest: number;
  gradientScale: number;
  hasZero: boolean;
  /** Of x. */
  input: DType;
  /** Of the gradient that comes in. */
  gradientType: DType;
  /** Of the rounded numbers, or of the gradient of x. */
  output: DType;
}

export interface BinaryFields {
  kind: 'add' | 'sub' | 'mul' | 'div';
  /** Four axes each. */
  extent: number[];
  aStride: number[];
  bStride: number[];
  aType: DType;
  bType: DType;
  output: DType;
}

export interface CopyFields {
  /** Six axes each. */
  extent: number[];
  xStride: number[];
  outStride: number[];
  xOffset: number;
  outOffset: number;
  type: DType;
}

/** A block of the arena before it has a place there, or an array outside of the arena. */
export interface Storage {
  readonly id: number;
  readonly bytes: number;
  readonly array?: ArrayName;
}

/** An array that a program works on in place: a parameter that it reads, an output that it writes. */
export interface ArrayName {
  readonly kind: 'parameter' | 'output';
  readonly name: string;
}

/** A weight as an instruction wants it. */
export type Weight =
  /** Packed for a convolution by the kernel that will run it. */
  | { readonly kind: 'packed'; readonly path: string; readonly fields: Conv2dFields }
  /** The elements in order, stored as `dtype`. */
  | {
      readonly kind: 'vector';
      readonly path: string;
      readonly dtype: DType;
      readonly count: number;
    }
  /** One zero of any dtype, for padding. */
  | { readonly kind: 'zero' };

/** Where an operand lies. */
export type Place =
  | { readonly storage: Storage; readonly byteOffset: number }
  | { readonly weight: Weight };

export interface Instruction<K extends NativeOp = NativeOp> {
  readonly op: K;
  readonly fields: InstructionFields[K];
  /** By name, as the kernel's operands are called; what is written is called `out`. */
  readonly operands: Readonly<Record<string, Place>>;
  /** What it was lowered from. */
  readonly node: Node | undefined;
  /** Floating-point operations of matrix products, a multiply-add counting two. */
  readonly flops: number;
}
