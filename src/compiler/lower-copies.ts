import { byteSize, type DType } from '../core/dtype.ts';
import type { Shape } from '../core/shape.ts';
import type { Node, TensorType } from '../ir/graph.ts';
import type { NodeOf } from '../ir/op-table.ts';
import { broadcastStrides } from '../ir/ops/binary.ts';
import { stridesOf } from '../ir/ops/rules.ts';
import { collapseAxes } from './axes.ts';
import type { Place } from './instructions.ts';
import type { Lowering } from './lowering.ts';

const COPY_AXES = 6;

export interface Copy {
  readonly extent: Shape;
  readonly xStride: readonly number[];
  readonly outStride: readonly number[];
  readonly xOffset?: number;
  readonly outOffset?: number;
}

export function emitCopy(
  node: Node,
  lowering: Lowering,
  operands: { x: Place; out: Place },
  { extent, xStride, outStride, xOffset = 0, outOffset = 0 }: Copy,
  type: DType = node.outputs[0].dtype,
): void {
  const loops = collapseAxes({ extent, strides: [xStride, outStride] }, COPY_AXES, node.op);
  const fields = {
    extent: [...loops.extent],
    xStride: [...loops.strides[0]],
    outStride: [...loops.strides[1]],
    xOffset,
    outOffset,
    type,
  };
  lowering.emit(node, 'copy', fields, operands);
}

/** Fills `count` elements of the node's type, copied from a single zero. */
export function emitZeros(node: Node, lowering: Lowering, out: Place, count: number): void {
  const zeros: Place = { weight: { kind: 'zero' } };
  const copy = { extent: [count], xStride: [0], outStride: [1] };
  emitCopy(node, lowering, { x: zeros, out }, copy);
}

export function lowerReshape(node: NodeOf<'reshape'>, lowering: Lowering): void {
  lowering.alias(node.outputs[0], lowering.place(node.inputs.x));
}

/** Columns that only attention reads stay where they are: it steps over the rest of each row. */
export function lowerSlice(node: NodeOf<'slice'>, lowering: Lowering): void {
  const { x } = node.inputs;
  const [output] = node.outputs;
  const { axis, start } = node.attributes;
  const place = lowering.place(x);
  const isColumns = axis === x.shape.length - 1;
  if (isColumns && 'storage' in place && lowering.isReadOnlyBy(output, 'attention')) {
    const byteOffset = place.byteOffset + start * byteSize(x.dtype);
    const stride = x.shape[axis];
    lowering.aliasRows(output, { place: { storage: place.storage, byteOffset }, stride });
    return;
  }
  const xStride = stridesOf(x.shape);
  emitCopy(
    node,
    lowering,
    { x: place, out: lowering.allocate(output) },
    {
      extent: output.shape,
      xStride,
      outStride: stridesOf(output.shape),
      xOffset: start * xStride[axis],
    },
  );
}

export function lowerConcat(node: NodeOf<'concat'>, lowering: Lowering): void {
  const { first, second } = node.inputs;
  const { axis } = node.attributes;
  const out = lowering.allocate(node.outputs[0]);
  const outStride = stridesOf(node.outputs[0].shape);
  const part = (source: TensorType, x: Place, outOffset: number) =>
    emitCopy(
      node,
      lowering,
      { x, out },
      {
        extent: source.shape,
        xStride: stridesOf(source.shape),
        outStride,
        outOffset,
      },
    );
  part(first, lowering.place(first), 0);
  part(second, lowering.place(second), first.shape[axis] * outStride[axis]);
}

export function lowerPermute(node: NodeOf<'permute'>, lowering: Lowering): void {
  const { x } = node.inputs;
  const [output] = node.outputs;
  const xStride = stridesOf(x.shape);
  emitCopy(
    node,
    lowering,
    { x: lowering.place(x), out: lowering.allocate(output) },
    {
      extent: output.shape,
      xStride: node.attributes.order.map((axis) => xStride[axis]),
      outStride: stridesOf(output.shape),
    },
  );
}

export function lowerBroadcast(node: NodeOf<'broadcast'>, lowering: Lowering): void {
  const { x } = node.inputs;
  const [output] = node.outputs;
  emitCopy(
    node,
    lowering,
    { x: lowering.place(x), out: lowering.allocate(output) },
    {
      extent: output.shape,
      xStride: broadcastStrides(x.shape, output.shape),
      outStride: stridesOf(output.shape),
    },
  );
}

/** Zeros before and after, copied from a single zero with stride 0, and x between them. */
export function lowerPad(node: NodeOf<'pad'>, lowering: Lowering): void {
  const { x } = node.inputs;
  const [output] = node.outputs;
  const { axis, before, after } = node.attributes;
  const out = lowering.allocate(output);
  const outStride = stridesOf(output.shape);
  const zeros: Place = { weight: { kind: 'zero' } };
  const fill = (length: number, at: number) => {
    if (length === 0) return;
    const extent = output.shape.with(axis, length);
    const xStride = extent.map(() => 0);
    const outOffset = at * outStride[axis];
    emitCopy(node, lowering, { x: zeros, out }, { extent, xStride, outStride, outOffset });
  };
  fill(before, 0);
  emitCopy(
    node,
    lowering,
    { x: lowering.place(x), out },
    {
      extent: x.shape,
      xStride: stridesOf(x.shape),
      outStride,
      outOffset: before * outStride[axis],
    },
  );
  fill(after, before + x.shape[axis]);
}

/** Source positions from `from` on, each repeated `factor` times from output position `to` on. */
export interface NearestRun {
  readonly from: number;
  readonly to: number;
  readonly count: number;
  readonly factor: number;
}

/** Nearest resampling of one axis as runs of whole factors; a whole factor overall is one run. */
export function nearestRuns(size: number, outSize: number): NearestRun[] {
  const repeats: { from: number; to: number; factor: number }[] = [];
  for (let to = 0; to < outSize; to++) {
    const from = Math.floor((to * size) / outSize);
    const last = repeats.at(-1);
    if (last?.from === from) last.factor++;
    else repeats.push({ from, to, factor: 1 });
  }
  const runs: NearestRun[] = [];
  for (const repeat of repeats) {
    const last = runs.at(-1);
    const continues =
      last && last.factor === repeat.factor && last.from + last.count === repeat.from;
    if (continues) runs[runs.length - 1] = { ...last, count: last.count + 1 };
    else runs.push({ ...repeat, count: 1 });
  }
  return runs;
}

export function lowerUpsampleNearest(node: NodeOf<'upsampleNearest'>, lowering: Lowering): void {
  const { x } = node.inputs;
  const [output] = node.outputs;
  const place = lowering.place(x);
  const out = lowering.allocate(output);
  const [batchStride, rowStride, pixelStride] = stridesOf(x.shape);
  const [outBatch, outRow, outPixel] = stridesOf(output.shape);
  for (const rows of nearestRuns(x.shape[1], output.shape[1])) {
    for (const columns of nearestRuns(x.shape[2], output.shape[2])) {
      const counts = [rows.count, rows.factor, columns.count, columns.factor];
      emitCopy(
        node,
        lowering,
        { x: place, out },
        {
          extent: [x.shape[0], ...counts, x.shape[3]],
          xStride: [batchStride, rowStride, 0, pixelStride, 0, 1],
          outStride: [
            outBatch,
            outRow * rows.factor,
            outRow,
            outPixel * columns.factor,
            outPixel,
            1,
          ],
          xOffset: rows.from * rowStride + columns.from * pixelStride,
          outOffset: rows.to * outRow + columns.to * outPixel,
        },
      );
    }
  }
}
