import { floats, tensor } from '../core/tensor.ts';
import { GraphBuilder } from '../ir/graph-builder.ts';
import { matmul } from '../ir/ops/index.ts';
import { memoryWeights } from '../runtime/memory-weights.ts';
import { nativeBackend } from '../runtime/native/native-backend.ts';

/**
 * The products of every row of `a` [m, dimensions] with every row of `b` [n, dimensions], summed in
 * float32 on the native kernels: [m, n].
 */
export async function dotProducts(
  a: Float32Array,
  b: Float32Array,
  dimensions: number,
): Promise<Float32Array> {
  const graph = new GraphBuilder('DotProducts');
  const shapes = [a, b].map(({ length }) => [1, length / dimensions, dimensions]);
  const left = graph.input('a', 'f32', shapes[0]);
  const right = graph.input('b', 'f32', shapes[1]);
  graph.output('products', matmul(graph, left, right, { transposeB: true }));
  const executable = await nativeBackend.compile(graph.finish(), memoryWeights(new Map()));
  try {
    const { products } = await executable.run({
      a: tensor('f32', shapes[0], a),
      b: tensor('f32', shapes[1], b),
    });
    return floats(products);
  } finally {
    executable.dispose();
  }
}
