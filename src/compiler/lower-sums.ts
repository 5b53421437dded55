import type { DType } from '../core/dtype.ts';
import type { Node } from '../ir/graph.ts';
import type { NodeOf } from '../ir/op-table.ts';
import { product, stridesOf } from '../ir/ops/rules.ts';
import type { Place } from './instructions.ts';
import { emitCopy, emitZeros, type NearestRun, nearestRuns } from './lower-copies.ts';
import type { Lowering } from './lowering.ts';

interface Operand {
  readonly place: Place;
  readonly shape: readonly number[];
  readonly dtype: DType;
}

/** Neighbouring axes are summed as one; others in turn, what lies between in f32. */
export function lowerSum(node: NodeOf<'sum'>, lowering: Lowering): void {
  const { x } = node.inputs;
  const [output] = node.outputs;
  const { axes } = node.attributes;
  if (runsOf(x.shape, axes).length === 0) lowering.alias(output, lowering.place(x));
  else sumAxes(node, lowering, { ...x, place: lowering.place(x) }, axes, lowering.allocate(output));
}

/**
 * Nearest resampling repeats pixels, those of a run all by the same factor; its gradient sums over
 * the repetitions.
 */
export function lowerUpsampleNearestGradient(
  node: NodeOf<'upsampleNearestGradient'>,
  lowering: Lowering,
): void {
  const [, outHeight, outWidth] = node.inputs.gradient.shape;
  const { height, width } = node.attributes;
  const [output] = node.outputs;
  const out = lowering.allocate(output);
  const skipsPixels = outHeight < height || outWidth < width;
  if (skipsPixels) emitZeros(node, lowering, out, product(output.shape));
  for (const rows of nearestRuns(height, outHeight)) {
    for (const columns of nearestRuns(width, outWidth)) {
      emitRepetitions(node, lowering, out, [rows, columns]);
    }
  }
}

/** Cuts a run of rows and columns out of the gradient, sums it and puts it where it belongs. */
function emitRepetitions(
  node: NodeOf<'upsampleNearestGradient'>,
  lowering: Lowering,
  out: Place,
  [rows, columns]: readonly [NearestRun, NearestRun],
): void {
  const { gradient } = node.inputs;
  const [{ shape: target, dtype }] = node.outputs;
  const [batch, , , channels] = target;
  const shape = [batch, rows.count, rows.factor, columns.count, columns.factor, channels];
  const summed = [batch, rows.count, columns.count, channels];
  const whole = product(shape) === product(gradient.shape);
  let place = lowering.place(gradient);
  if (!whole) {
    const extent = [batch, rows.count * rows.factor, columns.count * columns.factor, channels];
    const xStride = stridesOf(gradient.shape);
    const xOffset = rows.to * xStride[1] + columns.to * xStride[2];
    const cut = lowering.temporary({ dtype, shape });
    const copy = { extent, xStride, outStride: stridesOf(extent), xOffset };
    emitCopy(node, lowering, { x: place, out: cut }, copy);
    place = cut;
  }
  const repeats = rows.factor > 1 || columns.factor > 1;
  const isAll = product(summed) === product(target);
  if (repeats) {
    const into = isAll ? out : lowering.temporary({ dtype, shape: summed });
    sumAxes(node, lowering, { place, shape, dtype }, [2, 4], into);
    if (isAll) return;
    place = into;
  }
  const outStride = stridesOf(target);
  const outOffset = rows.from * outStride[1] + columns.from * outStride[2];
  const copy = { extent: summed, xStride: stridesOf(summed), outStride, outOffset };
  emitCopy(node, lowering, { x: place, out }, copy);
}

/** Sums the later axes first: what is left then is smallest. There must be something to sum. */
function sumAxes(
  node: Node,
  lowering: Lowering,
  x: Operand,
  axes: readonly number[],
  out: Place,
): void {
  const [output] = node.outputs;
  const runs = runsOf(x.shape, axes);
  let from = x;
  for (const [i, { first, last }] of runs.entries()) {
    const isLast = i === runs.length - 1;
    const shape = from.shape.map((extent, axis) => (axis < first || axis > last ? extent : 1));
    const dtype = isLast ? output.dtype : 'f32';
    const place = isLast ? out : lowering.temporary({ dtype, shape });
    const fields = {
      outer: product(from.shape.slice(0, first)),
      count: product(from.shape.slice(first, last + 1)),
      inner: product(from.shape.slice(last + 1)),
      input: from.dtype,
      output: dtype,
    };
    lowering.emit(node, 'sum', fields, { x: from.place, out: place });
    from = { place, shape, dtype };
  }
}

/** Runs of neighbours among `axes`, axes of extent 1 aside; the last run comes first. */
function runsOf(
  shape: readonly number[],
  axes: readonly number[],
): { first: number; last: number }[] {
  const runs: { first: number; last: number }[] = [];
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (!axes.includes(axis) || shape[axis] === 1) continue;
    const run = runs.at(-1);
    const joins = run && shape.slice(axis + 1, run.first).every((extent) => extent === 1);
    if (joins) run.first = axis;
    else runs.push({ first: axis, last: axis });
  }
  return runs;
}
