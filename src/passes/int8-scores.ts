import { isOp } from '../ir/op-table.ts';
import type { Pass } from './pass.ts';
import { rewrite } from './rewrite.ts';

/** Fewer keys than this, such as those of a text, are quantized at a greater cost than they save. */
const LEAST_KEYS = 256;

/**
 * Lets self-attention over many tokens multiply q and k in INT8, quantized on the fly in the kernel.
 * Only some instruction sets have that kernel; the others refuse the Program.
 */
export const int8Scores: Pass = {
  name: 'int8-scores',
  run: (graph) =>
    rewrite(graph, [
      (node, { b, map }) => {
        if (!isOp(node, 'attention') || node.attributes.scores) return undefined;
        const { q, k, v } = node.inputs;
        if (k.shape[1] < LEAST_KEYS || node.attributes.causal) return undefined;
        const inputs = { q: map(q), k: map(k), v: map(v) };
        return b.apply('attention', inputs, { ...node.attributes, scores: 'int8' });
      },
    ]),
};
