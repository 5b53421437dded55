import { floats } from '../../src/core/tensor.ts';
import type { Pool2dAttributes } from '../../src/ir/ops/pool2d.ts';
import { makeTrial } from './op-trial.ts';
import { testProblem } from './problem.ts';
import { noiseTensor } from './random.ts';
import { EPS32, rounding } from './tolerance.ts';

type Window = Omit<Pool2dAttributes, 'kind'>;

const square = (kernel: number, stride: number, padding: number): Window => ({
  kernelHeight: kernel,
  kernelWidth: kernel,
  stride,
  padding: [padding, padding, padding, padding],
});

/** The windows of Inception-V3, and some that end in every way at the borders. */
const WINDOWS: readonly (readonly [string, readonly number[], Window])[] = [
  ['3×3, stride 2', [2, 17, 17, 64], square(3, 2, 0)],
  ['3×3, padding 1', [1, 9, 8, 192], square(3, 1, 1)],
  ['the whole image', [3, 8, 8, 2048], square(8, 1, 0)],
  ['one pixel', [1, 1, 1, 1], square(3, 1, 1)],
  ['odd channels', [2, 5, 6, 37], square(2, 3, 1)],
  [
    'four paddings',
    [1, 4, 7, 5],
    { kernelHeight: 3, kernelWidth: 4, stride: 2, padding: [0, 2, 3, 1] },
  ],
];

for (const kind of ['max', 'average'] as const) {
  for (const [name, shape, window] of WINDOWS) {
    testProblem({
      name: `${kind} over ${name}`,
      op: 'pool2d',
      dtypes: ['f32', 'bf16'],
      flops: 0,
      make: (dtype) => {
        const x = noiseTensor(5, dtype, shape);
        const largest = floats(x).reduce((a, b) => Math.max(a, Math.abs(b)), 0);
        // A sum rounds once for each pixel, relative to what it has come to.
        const terms = kind === 'max' ? 0 : window.kernelHeight * window.kernelWidth + 1;
        return makeTrial(
          (t) => t.b.apply('pool2d', { x: t.input('x', x) }, { kind, ...window })[0],
          (y) => (kind === 'max' ? 0 : terms * EPS32 * largest + rounding(dtype, y)),
        );
      },
    });
  }
}
