import type { UnaryKind } from '../../src/compiler/instructions.ts';
import type { DType } from '../../src/core/dtype.ts';
import { floats } from '../../src/core/tensor.ts';
import { broadcastStrides } from '../../src/ir/ops/binary.ts';
import { add, affine, cast, div, geglu, mul, softmax, sub } from '../../src/ir/ops/index.ts';
import { forEachIndex } from '../../src/ir/ops/rules.ts';
import { quantizeAttribute } from '../../src/ir/ops/stored-type.ts';
import { makeTrial } from './op-trial.ts';
import { type Problem, testProblem } from './problem.ts';
import { noiseTensor } from './random.ts';
import { asCodes } from './stored-codes.ts';
import { EPS32, rounding, STEEPEST } from './tolerance.ts';

// Elementary functions in f32 are good to a few units in the last place of argument and result.
const FUNCTION = 8;
const FLOATING: readonly DType[] = ['f32', 'bf16'];
// Fewer than any vector, not a multiple of one, and enough for several tasks.
const COUNTS = [1, 7, 77, 1000, 70001];

function unaryProblem(kind: Exclude<UnaryKind, 'affine'>, count: number): Problem {
  return {
    name: `${kind} of ${count}`,
    op: 'unary',
    dtypes: FLOATING,
    flops: 0,
    make: (dtype) => {
      // Three deviations reach -12 and 12, where the functions have their tails.
      const x = noiseTensor(count, dtype, [count], 4);
      const values = floats(x);
      return makeTrial(
        (t) => t.b.apply(kind, { x: t.input('x', x) }, {})[0],
        (y, i) => {
          // exp' = exp, and its argument reduction is exact to eps · |x|; all others are flat.
          const slope = kind === 'exp' ? Math.abs(y) : STEEPEST;
          const error = FUNCTION * EPS32 * (Math.abs(values[i]) * slope + Math.abs(y));
          return error + rounding(dtype, y) + 2 ** -126;
        },
      );
    },
  };
}

const KINDS = [
  'silu',
  'gelu',
  'geluTanh',
  'quickGelu',
  'relu',
  'sigmoid',
  'tanh',
  'exp',
  'erf',
] as const;
for (const kind of KINDS) for (const count of COUNTS) testProblem(unaryProblem(kind, count));

for (const count of COUNTS) {
  testProblem({
    name: `affine of ${count}`,
    op: 'unary',
    dtypes: FLOATING,
    flops: 0,
    make: (dtype) =>
      makeTrial(
        (t) => {
          const x = t.input('x', noiseTensor(count, dtype, [count]));
          return affine(t.b, x, { scale: 1 / 0.18215, offset: 0.5 });
        },
        (y) => 4 * EPS32 * (Math.abs(y) + 1) + rounding(dtype, y),
      ),
  });
}

const CASTS = [
  ['f32', 'bf16'],
  ['bf16', 'f32'],
  ['f16', 'f32'],
  ['f16', 'bf16'],
] as const;
for (const [from, to] of CASTS) {
  testProblem({
    name: `cast ${from} → ${to}`,
    op: 'unary',
    dtypes: [from],
    flops: 0,
    make: () =>
      makeTrial(
        (t) => cast(t.b, t.input('x', noiseTensor(9, from, [3, 1237])), to),
        (y) => (to === 'bf16' ? rounding('bf16', y) : 0),
      ),
  });
}

const CODES = { scale: 0.0173, zeroPoint: 113 };
for (const count of COUNTS) {
  testProblem({
    name: `cast of ${count} to u8`,
    op: 'unary',
    dtypes: FLOATING,
    flops: 0,
    make: async (dtype) => {
      const { expectation, ...trial } = await makeTrial(
        (t) => {
          const x = t.input('x', noiseTensor(count, dtype, [count]));
          return t.b.apply('cast', { x }, { dtype: 'u8', quantize: quantizeAttribute(CODES) })[0];
        },
        () => 0,
      );
      return { ...trial, expectation: asCodes(expectation, CODES) };
    },
  });
  testProblem({
    name: `cast of ${count} from u8`,
    op: 'unary',
    dtypes: FLOATING,
    flops: 0,
    make: (dtype) => {
      const codes = Uint8Array.from({ length: count }, (_, i) => (i * 97 + (i >> 8)) & 255);
      return makeTrial(
        (t) => {
          const x = t.input('x', { dtype: 'u8', shape: [count], data: codes }, CODES);
          return cast(t.b, x, dtype);
        },
        (y) => 4 * EPS32 * 255 * CODES.scale + rounding(dtype, y),
      );
    },
  });
}

const BINARY = { add, sub, mul, div };
const BROADCASTS: readonly (readonly [a: number[], b: number[]])[] = [
  [[1], [1]],
  [
    [5, 7],
    [5, 7],
  ],
  [
    [2, 4096, 40],
    [2, 4096, 40],
  ],
  [
    [2, 77, 768],
    [77, 768],
  ],
  [
    [2, 8, 8, 320],
    [2, 1, 1, 320],
  ],
  [
    [1, 1, 13],
    [3, 5, 1],
  ],
  [
    [4, 1, 6, 1],
    [1, 5, 1, 33],
  ],
  [[2, 16, 16, 4], [1]],
  [[1], [3, 129]],
  [
    [2, 9, 9, 1],
    [1, 1, 1, 17],
  ],
];
for (const [name, op] of Object.entries(BINARY)) {
  for (const [aShape, bShape] of BROADCASTS) {
    testProblem({
      name: `${name} [${aShape}] [${bShape}]`,
      op: 'binary',
      dtypes: FLOATING,
      flops: 0,
      make: (dtype) => {
        const a = noiseTensor(1, dtype, aShape);
        // Far from 0, for division.
        const b = noiseTensor(2, dtype, bShape, 0.2, 2);
        const magnitude = sumOfMagnitudes([aShape, bShape], [floats(a), floats(b)]);
        return makeTrial(
          (t) => op(t.b, t.input('a', a), t.input('b', b)),
          (y, i) => 2 * EPS32 * (magnitude[i] + Math.abs(y)) + rounding(dtype, y),
        );
      },
    });
  }
}

/** |a| + |b| at each output position: what an addition's rounding is relative to. */
function sumOfMagnitudes(
  shapes: readonly (readonly number[])[],
  arrays: readonly Float32Array[],
): number[] {
  const rank = Math.max(...shapes.map((shape) => shape.length));
  const padded = shapes.map((shape) => [...new Array(rank - shape.length).fill(1), ...shape]);
  const out = padded[0].map((extent, i) => Math.max(extent, padded[1][i]));
  const strides = padded.map((shape) => broadcastStrides(shape, out));
  const result: number[] = [];
  forEachIndex(out, (index) => {
    let total = 0;
    for (const [i, array] of arrays.entries()) {
      total += Math.abs(array[index.reduce((at, n, axis) => at + n * strides[i][axis], 0)]);
    }
    result.push(total);
  });
  return result;
}

const GEGLU_ROWS = [
  [1, 1],
  [3, 13],
  [64, 1280],
  [17, 2560],
];
for (const [rows, columns] of GEGLU_ROWS) {
  testProblem({
    name: `${rows} rows of 2·${columns}`,
    op: 'geglu',
    dtypes: FLOATING,
    flops: 0,
    make: (dtype) => {
      const x = noiseTensor(3, dtype, [rows, 2 * columns], 2);
      const values = floats(x);
      const gateError = (i: number) => {
        const at = Math.floor(i / columns) * 2 * columns + (i % columns);
        return FUNCTION * EPS32 * Math.abs(values[at] * values[at + columns]);
      };
      return makeTrial(
        (t) => geglu(t.b, t.input('x', x)),
        (y, i) => gateError(i) + rounding(dtype, y) + 2 ** -126,
      );
    },
  });
}

const SOFTMAX_ROWS = [
  [1, 1],
  [5, 3],
  [77, 77],
  [9, 1003],
];
for (const [rows, columns] of SOFTMAX_ROWS) {
  testProblem({
    name: `${rows} rows of ${columns}`,
    op: 'softmax',
    dtypes: FLOATING,
    flops: 0,
    make: (dtype) =>
      makeTrial(
        (t) => softmax(t.b, t.input('x', noiseTensor(4, dtype, [rows, columns], 5))),
        // Arguments reach 20 in magnitude, sums have up to a thousand terms.
        (y) => (FUNCTION * 20 + Math.sqrt(columns)) * EPS32 * y + rounding(dtype, y) + 2 ** -126,
      ),
  });
}
