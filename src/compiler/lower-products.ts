import type { DType } from '../core/dtype.ts';
import { BookendError } from '../core/errors.ts';
import type { Node, Value } from '../ir/graph.ts';
import type { NodeOf } from '../ir/op-table.ts';
import { product } from '../ir/ops/rules.ts';
import type { Conv2dFields, Place } from './instructions.ts';
import { emitCopy, emitZeros } from './lower-copies.ts';
import { type Lowering, offsetPlace } from './lowering.ts';

type Geometry = Pick<Conv2dFields, 'batch' | 'channels' | 'outChannels' | 'input' | 'weightView'> &
  Partial<Conv2dFields>;

/** A convolution of plain weights without an epilogue; by default 1×1 over one line of pixels. */
export function plainProduct(given: Geometry & { readonly outWidth: number }): Conv2dFields {
  return {
    height: 1,
    width: given.outWidth,
    skipChannels: 0,
    outHeight: 1,
    kernelHeight: 1,
    kernelWidth: 1,
    stride: 1,
    padTop: 0,
    padLeft: 0,
    upsample: 1,
    output: given.input,
    store: 'float',
    quantizeScale: 1,
    quantizeZero: 0,
    inputScale: 1,
    inputZero: 0,
    skipScale: 1,
    skipZero: 0,
    hasBias: false,
    hasRowBias: false,
    hasResidual: false,
    activation: 'none',
    outputScale: 1,
    turned: false,
    ...given,
  };
}

/**
 * The first factor's rows are pixels, the second is packed as weights when the product runs. A
 * transposed first factor is copied first, since pixels are rows of neighbours; Aᵀ B is computed as
 * (Bᵀ A)ᵀ where that copies less: weights have gradients of that form, often with A much wider.
 */
export function lowerMatmul(node: NodeOf<'matmul'>, lowering: Lowering): void {
  const { a, b } = node.inputs;
  const { transposeA, transposeB } = node.attributes;
  const [output] = node.outputs;
  const [rows, columns] = output.shape.slice(-2);
  const depth = a.shape[a.shape.length - (transposeA ? 2 : 1)];
  const matrices = product(a.shape.slice(0, -2));
  const out = lowering.allocate(output);
  const sizes = { matrices, rows, depth, columns };
  if (!transposeA) {
    const x = lowering.place(a);
    emitMatrices(node, lowering, { x, second: b, transposed: transposeB, out }, sizes);
  } else if (transposeB || rows * depth <= columns * (depth + rows)) {
    const x = transposed(node, lowering, lowering.place(a), [matrices, depth, rows]);
    emitMatrices(node, lowering, { x, second: b, transposed: transposeB, out }, sizes);
  } else {
    const x = transposed(node, lowering, lowering.place(b), [matrices, depth, columns]);
    const turned = lowering.temporary({ dtype: output.dtype, shape: [matrices, columns, rows] });
    const turnedSizes = { matrices, rows: columns, depth, columns: rows };
    const operands = { x, second: a, transposed: false, out: turned };
    emitMatrices(node, lowering, operands, turnedSizes);
    emitTransposition(node, lowering, { x: turned, out }, [matrices, columns, rows]);
  }
}

/** Products of the rows at `x` with `second`, matrix by matrix. */
function emitMatrices(
  node: NodeOf<'matmul'>,
  lowering: Lowering,
  { x, second, transposed, out }: { x: Place; second: Value; transposed: boolean; out: Place },
  {
    matrices,
    rows,
    depth,
    columns,
  }: { matrices: number; rows: number; depth: number; columns: number },
): void {
  const { dtype } = second;
  const fields = plainProduct({
    batch: 1,
    channels: depth,
    outChannels: columns,
    outWidth: rows,
    input: dtype,
    weightView: transposed ? [0, depth, 1, 0, 0] : [0, 1, columns, 0, 0],
  });
  const weights = lowering.place(second);
  for (let matrix = 0; matrix < matrices; matrix++) {
    lowering.emit(node, 'conv2d', fields, {
      x: matrixPlace(node, x, matrix * rows * depth, dtype),
      weights: matrixPlace(node, weights, matrix * depth * columns, dtype),
      out: matrixPlace(node, out, matrix * rows * columns, dtype),
    });
  }
}

/** Where a matrix of a stack begins. */
function matrixPlace(node: Node, place: Place, offset: number, dtype: DType): Place {
  if (offset === 0) return place;
  if ('storage' in place) return offsetPlace(place, offset, dtype);
  throw new BookendError(
    'unsupported',
    `${node.op} in ${node.scope} reads a stack of matrices from a parameter; native kernels take computed ones there, so use the reference backend.`,
  );
}

type MatrixShape = readonly [matrices: number, rows: number, columns: number];

/** A copy of `x`, of the shape `shape`, with rows and columns exchanged. */
function transposed(
  node: NodeOf<'matmul'>,
  lowering: Lowering,
  x: Place,
  shape: MatrixShape,
): Place {
  const [matrices, rows, columns] = shape;
  const { dtype } = node.outputs[0];
  const out = lowering.temporary({ dtype, shape: [matrices, columns, rows] });
  emitTransposition(node, lowering, { x, out }, shape);
  return out;
}

function emitTransposition(
  node: NodeOf<'matmul'>,
  lowering: Lowering,
  operands: { x: Place; out: Place },
  [matrices, rows, columns]: MatrixShape,
): void {
  emitCopy(node, lowering, operands, {
    extent: [matrices, columns, rows],
    xStride: [rows * columns, 1, columns],
    outStride: [rows * columns, rows, 1],
  });
}

/**
 * A convolution of the output's gradient with the kernel turned around, its inputs and outputs
 * exchanged. A stride becomes zeros between the gradient's pixels.
 */
export function lowerConv2dInputGradient(
  node: NodeOf<'conv2dInputGradient'>,
  lowering: Lowering,
): void {
  const { gradient, weight } = node.inputs;
  const { stride, padding } = node.attributes;
  const [output] = node.outputs;
  const [outputs, inner, kernelHeight, kernelWidth] = weight.shape;
  const taps = kernelHeight * kernelWidth;
  const fields = plainProduct({
    batch: gradient.shape[0],
    height: gradient.shape[1],
    width: gradient.shape[2],
    channels: outputs,
    outChannels: inner,
    outHeight: output.shape[1],
    outWidth: output.shape[2],
    kernelHeight,
    kernelWidth,
    padTop: requirePadding(node, kernelHeight, padding[0]),
    padLeft: requirePadding(node, kernelWidth, padding[2]),
    input: gradient.dtype,
    insertion: stride,
    weightView: [0, taps, inner * taps, kernelWidth, 1],
    turned: true,
  });
  lowering.emit(node, 'conv2d', fields, {
    x: lowering.place(gradient),
    weights: lowering.place(weight),
    out: lowering.allocate(output),
  });
}

/** Padding of the turned convolution. */
function requirePadding(node: Node, kernel: number, padding: number): number {
  if (padding < kernel) return kernel - 1 - padding;
  throw new BookendError(
    'unsupported',
    `${node.op} in ${node.scope} has ${padding} rows or columns of padding and a kernel of ${kernel}; native kernels need less padding than kernel, so use the reference backend.`,
  );
}

/**
 * One product whose depth is the positions of all images: rows are source channels by taps, columns
 * output channels. The source is copied as [channel][position of the padded images], where a tap is
 * a shift and the rows of different taps overlap; the gradient is spread over the same positions,
 * with zeros where no window starts.
 */
export function lowerConv2dWeightGradient(
  node: NodeOf<'conv2dWeightGradient'>,
  lowering: Lowering,
): void {
  const { x } = node.inputs;
  const [output] = node.outputs;
  const { kernelHeight, kernelWidth } = node.attributes;
  const [outputs, inner] = output.shape;
  const grid = gridOf(node);
  const rows = inner * kernelHeight * kernelWidth;
  const product = lowering.temporary({ dtype: x.dtype, shape: [rows, outputs] });
  const fields = plainProduct({
    batch: inner,
    height: kernelHeight,
    width: kernelWidth,
    channels: grid.positions,
    xStrides: [grid.plane, grid.width, 1],
    outChannels: outputs,
    outHeight: kernelHeight,
    outWidth: kernelWidth,
    input: x.dtype,
    weightView: [0, 1, outputs, 0, 0],
  });
  lowering.emit(node, 'conv2d', fields, {
    x: channelPlanes(node, lowering, grid),
    weights: spreadGradient(node, lowering, grid),
    out: product,
  });
  const copy = { extent: [outputs, rows], xStride: [1, outputs], outStride: [rows, 1] };
  emitCopy(node, lowering, { x: product, out: lowering.allocate(output) }, copy);
}

/** The padded images, as far as windows reach. */
interface Grid {
  readonly height: number;
  readonly width: number;
  /** Of all images of a channel. */
  readonly plane: number;
  /** From the first window's start to the last one's. */
  readonly positions: number;
}

function gridOf({ inputs, attributes }: NodeOf<'conv2dWeightGradient'>): Grid {
  const [batch, outHeight, outWidth] = inputs.gradient.shape;
  const { stride, kernelHeight, kernelWidth } = attributes;
  const lastRow = (outHeight - 1) * stride;
  const lastColumn = (outWidth - 1) * stride;
  const height = lastRow + kernelHeight;
  const width = lastColumn + kernelWidth;
  const plane = batch * height * width;
  const positions = (batch - 1) * height * width + lastRow * width + lastColumn + 1;
  return { height, width, plane, positions };
}

/** The source as [channel][image][padded row][padded column]. */
function channelPlanes(
  node: NodeOf<'conv2dWeightGradient'>,
  lowering: Lowering,
  grid: Grid,
): Place {
  const { x } = node.inputs;
  const [batch, height, width, channels] = x.shape;
  const [top, , left] = node.attributes.padding;
  const out = lowering.temporary({ dtype: x.dtype, shape: [channels, grid.plane] });
  const rows = Math.min(height, grid.height - top);
  const columns = Math.min(width, grid.width - left);
  if (rows !== grid.height || columns !== grid.width) {
    emitZeros(node, lowering, out, channels * grid.plane);
  }
  const copy = {
    extent: [batch, rows, columns, channels],
    xStride: [height * width * channels, width * channels, channels, 1],
    outStride: [grid.height * grid.width, grid.width, 1, grid.plane],
    outOffset: top * grid.width + left,
  };
  if (rows > 0 && columns > 0) {
    emitCopy(node, lowering, { x: lowering.place(x), out }, copy, x.dtype);
  }
  return out;
}

/** The output's gradient as [position][output channel]. */
function spreadGradient(
  node: NodeOf<'conv2dWeightGradient'>,
  lowering: Lowering,
  grid: Grid,
): Place {
  const { gradient } = node.inputs;
  const { stride } = node.attributes;
  const [batch, height, width, channels] = gradient.shape;
  const place = lowering.place(gradient);
  if (grid.positions === batch * height * width) return place;
  const shape = [grid.positions, channels];
  const out = lowering.temporary({ dtype: gradient.dtype, shape });
  emitZeros(node, lowering, out, grid.positions * channels);
  const copy = {
    extent: [batch, height, width, channels],
    xStride: [height * width * channels, width * channels, channels, 1],
    outStride: [
      grid.height * grid.width * channels,
      stride * grid.width * channels,
      stride * channels,
      1,
    ],
  };
  emitCopy(node, lowering, { x: place, out }, copy, gradient.dtype);
  return out;
}
