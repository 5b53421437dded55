import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { type NoAttributes, noFlops, type OpDefinition, reject } from '../op.ts';
import * as scalar from '../scalar-functions.ts';
import { concat } from './concat.ts';
import { gelu, geluDerivative } from './gelu.ts';
import { mul } from './mul.ts';
import { requireFloating } from './rules.ts';
import { slice } from './slice.ts';

type Inputs = { readonly x: Value };

/** Gated GELU: [..., 2C] to [..., C], x[..., :C] · gelu(x[..., C:]) (arXiv 2002.05202). */
export const gegluOp: OpDefinition<Inputs, NoAttributes> = {
  name: 'geglu',
  operands: { x: 'required' },
  infer({ x }) {
    requireFloating('x', x);
    return [{ dtype: x.dtype, shape: x.shape.with(-1, halfOf(x.shape.at(-1) ?? 0)) }];
  },
  evaluate: ({ x }) => [gegluRows(x.data, x.shape[x.shape.length - 1])],
  flops: noFlops,
  vjp(b, { x }, [y], [gradient]) {
    const channels = y.shape[y.shape.length - 1];
    const value = slice(b, x, { axis: -1, start: 0, length: channels });
    const gate = slice(b, x, { axis: -1, start: channels, length: channels });
    return {
      x: concat(
        b,
        mul(b, gradient, gelu(b, gate)),
        mul(b, mul(b, gradient, value), geluDerivative(b, gate)),
      ),
    };
  },
};

/** Half of an even channel count; rejects an odd one. */
export function halfOf(channels: number): number {
  if (channels === 0 || channels % 2 !== 0) {
    reject(`There are ${channels} channels; geglu halves them, so their number must be even.`);
  }
  return channels / 2;
}

/** geglu of rows of `width` = 2C numbers. */
export function gegluRows(data: Float64Array, width: number): Float64Array {
  const channels = width / 2;
  const out = new Float64Array(data.length / 2);
  for (let i = 0; i < out.length; i++) {
    const at = Math.floor(i / channels) * width + (i % channels);
    out[i] = data[at] * scalar.gelu(data[at + channels]);
  }
  return out;
}

export function geglu(b: GraphBuilder, x: Value): Value {
  return b.apply('geglu', { x }, {})[0];
}
