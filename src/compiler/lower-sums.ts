import type { DType } from '../core/dtype.ts';
import { BookendError } from '../core/errors.ts';
import type { Node } from '../ir/graph.ts';
import type { NodeOf } from '../ir/op-table.ts';
import { product } from '../ir/ops/rules.ts';
import type { Place } from './instructions.ts';
import type { Lowering } from './lowering.ts';

interface Operand {
  readonly place: Place;
  readonly shape: readonly number[];
  readonly dtype: DType;
}

/** Neighbouring axes are summed as one; others in turn, what lies between in f32. */
export function lowerSum(node: NodeOf<'sum'>, lowering: Lowering): void {
  const { x } = node.inputs;
  sumAxes(node, lowering, { ...x, place: lowering.place(x) }, node.attributes.axes);
}

/** Nearest resampling by whole factors repeats pixels; its gradient sums over the repetitions. */
export function lowerUpsampleNearestGradient(
  node: NodeOf<'upsampleNearestGradient'>,
  lowering: Lowering,
): void {
  const { gradient } = node.inputs;
  const [batch, outHeight, outWidth, channels] = gradient.shape;
  const { height, width } = node.attributes;
  if (outHeight % height !== 0 || outWidth % width !== 0) {
    throw new BookendError(
      'unsupported',
      `${node.op} in ${node.scope} resamples ${height}×${width} to ${outHeight}×${outWidth}; native kernels differentiate whole factors, so use the reference backend.`,
    );
  }
  const shape = [batch, height, outHeight / height, width, outWidth / width, channels];
  const x = { place: lowering.place(gradient), shape, dtype: gradient.dtype };
  sumAxes(node, lowering, x, [2, 4]);
}

/** Sums the later axes first: what is left then is smallest. */
function sumAxes(node: Node, lowering: Lowering, x: Operand, axes: readonly number[]): void {
  const [output] = node.outputs;
  const runs = runsOf(x.shape, axes);
  if (runs.length === 0) {
    lowering.alias(output, x.place);
    return;
  }
  let from = x;
  for (const [i, { first, last }] of runs.entries()) {
    const isLast = i === runs.length - 1;
    const shape = from.shape.map((extent, axis) => (axis < first || axis > last ? extent : 1));
    const dtype = isLast ? output.dtype : 'f32';
    const place = isLast ? lowering.allocate(output) : lowering.temporary({ dtype, shape });
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
