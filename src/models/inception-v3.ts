import type { Graph, Value } from '../ir/graph.ts';
import { GraphBuilder } from '../ir/graph-builder.ts';
import {
  averagePool2d,
  concat,
  conv2d,
  linear,
  maxPool2d,
  relu,
  reshape,
} from '../ir/ops/index.ts';
import { channelsOf } from '../nn/layers.ts';

/** The size of the images that the network was trained on, in pixels. */
export const INCEPTION_SIZE = 299;
/** Numbers that the last pooling layer gives for an image. */
export const INCEPTION_FEATURES = 2048;

export interface InceptionV3Config {
  /**
   * What the pooling branch of the last block takes of its windows. 'max' is a peculiarity of the
   * 2015 network that FID is defined by; every other Inception-V3 has 'average'.
   */
  readonly lastPool: 'max' | 'average';
  /** Rows of the classifier `fc`; absent: features alone. */
  readonly classes?: number;
}

/**
 * Inception-V3 (Szegedy et al., arXiv 1512.00567), with batch normalization folded into its
 * convolutions (`foldBatchNorm`). Averages leave the padding out, as TensorFlow's do. Paths are those
 * of torchvision and pytorch-fid: `Mixed_5b.branch5x5_1.conv.weight`, and `….conv.bias` for what
 * folding leaves.
 *
 * Input: `image` f32 [batch, 299, 299, 3] in -1…1. Outputs: `features` [batch, 2048], the last pooling
 * layer; with `classes`, `logits` [batch, classes], which leave the classifier's bias out, as the
 * Inception Score's do (Salimans et al., arXiv 1606.03498, and their code).
 */
export function buildInceptionV3(config: InceptionV3Config, batch: number): Graph {
  const b = new GraphBuilder('InceptionV3');
  const image = b.input('image', 'f32', [batch, INCEPTION_SIZE, INCEPTION_SIZE, 3]);
  let x = stem(b, image);
  for (const [path, poolFeatures] of [
    ['5b', 32],
    ['5c', 64],
    ['5d', 64],
  ] as const) {
    x = b.scope(`Mixed_${path}`, () => blockA(b, x, poolFeatures));
  }
  x = b.scope('Mixed_6a', () => blockB(b, x));
  for (const [path, width] of [
    ['6b', 128],
    ['6c', 160],
    ['6d', 160],
    ['6e', 192],
  ] as const) {
    x = b.scope(`Mixed_${path}`, () => blockC(b, x, width));
  }
  x = b.scope('Mixed_7a', () => blockD(b, x));
  x = b.scope('Mixed_7b', () => blockE(b, x, 'average'));
  x = b.scope('Mixed_7c', () => blockE(b, x, config.lastPool));
  const pooled = averagePool2d(b, x, { kernel: x.shape[1] });
  const features = reshape(b, pooled, [batch, INCEPTION_FEATURES]);
  b.output('features', features);
  if (config.classes !== undefined) {
    const weight = b.parameter('fc.weight', [config.classes, INCEPTION_FEATURES]);
    b.output('logits', linear(b, features, weight));
  }
  return b.finish();
}

type Kernel = number | readonly [height: number, width: number];

interface UnitOptions {
  readonly kernel?: Kernel;
  readonly stride?: number;
  /** Whether padding keeps the size; default: unless there is a stride. */
  readonly same?: boolean;
}

/** Convolution, the normalization folded into it, ReLU. */
function unit(
  b: GraphBuilder,
  path: string,
  x: Value,
  channels: number,
  { kernel = 1, stride = 1, same = stride === 1 }: UnitOptions = {},
): Value {
  const [height, width] = typeof kernel === 'number' ? [kernel, kernel] : kernel;
  const [rows, columns] = same ? [(height - 1) / 2, (width - 1) / 2] : [0, 0];
  return b.scope(`${path}.conv`, () => {
    const weight = b.parameter('weight', [channels, channelsOf(x), height, width]);
    const bias = b.parameter('bias', [channels]);
    return relu(b, conv2d(b, x, weight, bias, { stride, padding: [rows, rows, columns, columns] }));
  });
}

type Unit = readonly [name: string, channels: number, options?: UnitOptions];

/** Units after one another, named `prefix` and their own name. */
function chain(b: GraphBuilder, prefix: string, x: Value, units: readonly Unit[]): Value {
  return units.reduce((y, [name, channels, options]) => {
    return unit(b, `${prefix}${name}`, y, channels, options);
  }, x);
}

/** In pairs, so that every number is copied twice at most. */
function join(b: GraphBuilder, parts: readonly Value[]): Value {
  if (parts.length === 1) return parts[0];
  const half = Math.ceil(parts.length / 2);
  return concat(b, join(b, parts.slice(0, half)), join(b, parts.slice(half)));
}

function poolBranch(
  b: GraphBuilder,
  x: Value,
  channels: number,
  kind: InceptionV3Config['lastPool'] = 'average',
): Value {
  const pool = kind === 'max' ? maxPool2d : averagePool2d;
  return unit(b, 'branch_pool', pool(b, x, { kernel: 3, padding: 1 }), channels);
}

/** 299×299×3 to 35×35×192. */
function stem(b: GraphBuilder, image: Value): Value {
  const first = chain(b, 'Conv2d_', image, [
    ['1a_3x3', 32, { kernel: 3, stride: 2 }],
    ['2a_3x3', 32, { kernel: 3, same: false }],
    ['2b_3x3', 64, { kernel: 3 }],
  ]);
  const second = chain(b, 'Conv2d_', maxPool2d(b, first, { kernel: 3, stride: 2 }), [
    ['3b_1x1', 80],
    ['4a_3x3', 192, { kernel: 3, same: false }],
  ]);
  return maxPool2d(b, second, { kernel: 3, stride: 2 });
}

/** 35×35: factorized 5×5 (figure 5 of the paper). */
function blockA(b: GraphBuilder, x: Value, poolFeatures: number): Value {
  return join(b, [
    unit(b, 'branch1x1', x, 64),
    chain(b, 'branch5x5_', x, [
      ['1', 48],
      ['2', 64, { kernel: 5 }],
    ]),
    chain(b, 'branch3x3dbl_', x, [
      ['1', 64],
      ['2', 96, { kernel: 3 }],
      ['3', 96, { kernel: 3 }],
    ]),
    poolBranch(b, x, poolFeatures),
  ]);
}

/** To 17×17. */
function blockB(b: GraphBuilder, x: Value): Value {
  return join(b, [
    unit(b, 'branch3x3', x, 384, { kernel: 3, stride: 2 }),
    chain(b, 'branch3x3dbl_', x, [
      ['1', 64],
      ['2', 96, { kernel: 3 }],
      ['3', 96, { kernel: 3, stride: 2 }],
    ]),
    maxPool2d(b, x, { kernel: 3, stride: 2 }),
  ]);
}

/** 17×17: 7×7 in rows and columns (figure 6). */
function blockC(b: GraphBuilder, x: Value, width: number): Value {
  return join(b, [
    unit(b, 'branch1x1', x, 192),
    chain(b, 'branch7x7_', x, [
      ['1', width],
      ['2', width, { kernel: [1, 7] }],
      ['3', 192, { kernel: [7, 1] }],
    ]),
    chain(b, 'branch7x7dbl_', x, [
      ['1', width],
      ['2', width, { kernel: [7, 1] }],
      ['3', width, { kernel: [1, 7] }],
      ['4', width, { kernel: [7, 1] }],
      ['5', 192, { kernel: [1, 7] }],
    ]),
    poolBranch(b, x, 192),
  ]);
}

/** To 8×8. */
function blockD(b: GraphBuilder, x: Value): Value {
  return join(b, [
    chain(b, 'branch3x3_', x, [
      ['1', 192],
      ['2', 320, { kernel: 3, stride: 2 }],
    ]),
    chain(b, 'branch7x7x3_', x, [
      ['1', 192],
      ['2', 192, { kernel: [1, 7] }],
      ['3', 192, { kernel: [7, 1] }],
      ['4', 192, { kernel: 3, stride: 2 }],
    ]),
    maxPool2d(b, x, { kernel: 3, stride: 2 }),
  ]);
}

/** 8×8: 3×3 in rows and columns beside each other (figure 7). */
function blockE(b: GraphBuilder, x: Value, pool: InceptionV3Config['lastPool']): Value {
  const both = (prefix: string, source: Value) => [
    unit(b, `${prefix}a`, source, 384, { kernel: [1, 3] }),
    unit(b, `${prefix}b`, source, 384, { kernel: [3, 1] }),
  ];
  const branch1x1 = unit(b, 'branch1x1', x, 320);
  const branch3x3 = both('branch3x3_2', unit(b, 'branch3x3_1', x, 384));
  const double = chain(b, 'branch3x3dbl_', x, [
    ['1', 448],
    ['2', 384, { kernel: 3 }],
  ]);
  const branch3x3dbl = both('branch3x3dbl_3', double);
  return join(b, [branch1x1, ...branch3x3, ...branch3x3dbl, poolBranch(b, x, 192, pool)]);
}
