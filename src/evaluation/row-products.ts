import { floats, tensor } from '../core/tensor.ts';
import { GraphBuilder } from '../ir/graph-builder.ts';
import { matmul } from '../ir/ops/index.ts';
import type { Executable } from '../runtime/backend.ts';
import { memoryWeights } from '../runtime/memory-weights.ts';
import { nativeBackend } from '../runtime/native/native-backend.ts';
import type { FeatureRows } from './feature-extractor.ts';
import { Pauses } from './pauses.ts';

/** Rows that are multiplied with each other at once. Of 2048 numbers, 4 MB of either side are copied. */
const BLOCK = 512;

/**
 * Calls `visit` with the products of row i of `a` and rows j, j + 1, … of `b`, for every i and, piece
 * by piece, every j. Products are summed in float32 on the native kernels, off the event loop, which
 * also turns between visits; each of those should take well under a millisecond.
 */
export async function forEachRowOfProducts(
  a: FeatureRows,
  b: FeatureRows,
  visit: (i: number, j: number, products: Float32Array) => void,
): Promise<void> {
  const { dimensions } = a;
  const executables = new Map<string, Executable>();
  const pauses = new Pauses();
  try {
    for (let i = 0; i * dimensions < a.data.length; i += BLOCK) {
      const left = blockAt(a, i);
      for (let j = 0; j * dimensions < b.data.length; j += BLOCK) {
        const right = blockAt(b, j);
        const products = await multiply(executables, left, right);
        const width = right.shape[1];
        await pauses.take();
        for (let row = 0; row < left.shape[1]; row++) {
          visit(i + row, j, products.subarray(row * width, (row + 1) * width));
          if (pauses.isDue) await pauses.take();
        }
      }
    }
  } finally {
    for (const executable of executables.values()) executable.dispose();
  }
}

function blockAt({ data, dimensions }: FeatureRows, row: number) {
  const part = data.subarray(row * dimensions, (row + BLOCK) * dimensions);
  return tensor('f32', [1, part.length / dimensions, dimensions], part);
}

type Block = ReturnType<typeof blockAt>;

/** Blocks have four shapes at most: those at the ends of either side are shorter. */
async function multiply(
  executables: Map<string, Executable>,
  left: Block,
  right: Block,
): Promise<Float32Array> {
  const key = `${left.shape} ${right.shape}`;
  const executable = executables.get(key) ?? (await compile(left, right));
  executables.set(key, executable);
  return floats((await executable.run({ left, right })).products);
}

function compile(left: Block, right: Block): Promise<Executable> {
  const graph = new GraphBuilder('RowProducts');
  const [a, b] = [graph.input('left', 'f32', left.shape), graph.input('right', 'f32', right.shape)];
  graph.output('products', matmul(graph, a, b, { transposeB: true }));
  return nativeBackend.compile(graph.finish(), memoryWeights(new Map()));
}
