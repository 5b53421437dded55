import type { DType } from '../core/dtype.ts';
import type { Graph, Node, Value } from '../ir/graph.ts';
import { GraphBuilder } from '../ir/graph-builder.ts';
import { isOp } from '../ir/op-table.ts';
import { cast } from '../ir/ops/cast.ts';
import { isFloating } from '../ir/ops/rules.ts';
import { eliminateDeadCode } from './dead-code.ts';
import type { Pass } from './pass.ts';

/**
 * Operands that stay f32: small, added to or multiplied with f32 sums, and read once per channel.
 * Timesteps reach 1000, where bf16 has steps of 4.
 */
const STAYS_F32: ReadonlySet<string> = new Set([
  'conv2d.bias',
  'conv2d.rowBias',
  'conv2d.weightScale',
  'linear.bias',
  'linear.rowBias',
  'linear.weightScale',
  'fakeQuantize.scale',
  'fakeQuantize.zero',
  'fakeQuantizeGradient.scale',
  'fakeQuantizeGradient.zero',
  'fakeQuantizeScaleGradient.scale',
  'fakeQuantizeScaleGradient.zero',
  'groupNorm.gamma',
  'groupNorm.beta',
  'groupNormGradient.gamma',
  'layerNorm.gamma',
  'layerNorm.beta',
  'layerNormGradient.gamma',
  'timestepEmbedding.timestep',
]);

/**
 * Stores activations and weights as `dtype`, with casts where an f32 operand or a graph output needs
 * one. Parameters take the dtype of their readers; graph inputs and outputs keep theirs. Casts that
 * are in the graph already are dropped, for this pass decides.
 *
 * @param staysF32 nodes that read float32 all the same, such as those of a loss
 */
export function assignPrecision(
  dtype: Exclude<DType, 's8' | 'u8' | 's32' | 'f32'>,
  staysF32: (node: Node) => boolean = () => false,
): Pass {
  const wanted: Wanted = (node, operand) =>
    staysF32(node) ? 'f32' : wantedDType(node, operand, dtype);
  return { name: `assign-precision(${dtype})`, run: (graph) => assign(graph, dtype, wanted) };
}

/** What an operand of a floating type is read as. */
type Wanted = (node: Node, operand: string) => DType;

function assign(graph: Graph, dtype: DType, wanted: Wanted): Graph {
  const b = new GraphBuilder(graph.name);
  const mapped = new Map<Value, Value>();
  for (const [name, value] of Object.entries(graph.inputs)) {
    mapped.set(value, b.input(name, value.dtype, value.shape, value.quantization));
  }
  const inDType = parametersReadAs(graph, dtype, wanted);
  for (const [path, value] of graph.parameters) {
    mapped.set(value, b.parameter(path, value.shape, inDType.has(value) ? dtype : value.dtype));
  }
  const stored = new Map<string, Value>();
  const read = (value: Value, target: DType): Value => {
    const source = mapped.get(value)!;
    if (!isFloating(source.dtype)) return source;
    const key = `${source.id} ${target}`;
    const result = stored.get(key) ?? cast(b, source, target);
    stored.set(key, result);
    return result;
  };
  for (const node of graph.nodes) {
    if (isOp(node, 'cast') && isFloating(node.inputs.x.dtype)) {
      mapped.set(node.outputs[0], mapped.get(node.inputs.x)!);
      continue;
    }
    const outputs = b.withScope(node.scope, () => {
      const inputs = Object.entries(node.inputs).map(([name, value]) => [
        name,
        read(value, wanted(node, name)),
      ]);
      return b.applyAny(node.op, Object.fromEntries(inputs), node.attributes);
    });
    for (const [i, value] of node.outputs.entries()) mapped.set(value, outputs[i]);
  }
  for (const [name, value] of Object.entries(graph.outputs)) {
    b.output(name, read(value, value.dtype));
  }
  return eliminateDeadCode(b.finish());
}

function wantedDType(node: Node, operand: string, dtype: DType): DType {
  return STAYS_F32.has(`${node.op}.${operand}`) || roundsWeights(node) ? 'f32' : dtype;
}

/** Training rounds weights as they are: a bf16 weight has steps about as wide as those of its codes. */
function roundsWeights(node: Node): boolean {
  return (
    isOp(node, 'fakeQuantize', 'fakeQuantizeGradient', 'fakeQuantizeScaleGradient') &&
    node.inputs.x.node === undefined
  );
}

/** Parameters that every reader wants as `dtype`; one read both ways stays as it is, beside a cast. */
function parametersReadAs(graph: Graph, dtype: DType, wanted: Wanted): ReadonlySet<Value> {
  const floating = [...graph.parameters.values()].filter((value) => isFloating(value.dtype));
  const result = new Set<Value>(floating);
  for (const node of graph.nodes) {
    for (const [operand, value] of Object.entries(node.inputs)) {
      if (wanted(node, operand) !== dtype) result.delete(value);
    }
  }
  for (const value of Object.values(graph.outputs)) result.delete(value);
  return result;
}
