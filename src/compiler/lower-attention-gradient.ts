import { BookendError } from '../core/errors.ts';
import type { Value } from '../ir/graph.ts';
import type { NodeOf } from '../ir/op-table.ts';
import type { Place, Storage } from './instructions.ts';
import { emitCopy } from './lower-copies.ts';
import { plainProduct } from './lower-products.ts';
import { castFields, type Lowering, offsetPlace } from './lowering.ts';

type Gradient = NodeOf<'attentionGradient'>;
type Block = Extract<Place, { storage: Storage }>;

/** Scores of so many pairs are in memory at a time: 8 MiB in f32. */
const PAIRS = 2 ** 21;

/**
 * Head by head and block by block of queries: scores S = Q Kᵀ are computed again, and
 * dP = dO Vᵀ; from both come P and dS; then dQ = dS K, and dVᵀ += dOᵀ P and dKᵀ += Qᵀ dS, whose
 * first factors are copied transposed, since they are much smaller than P and dS (arXiv 2205.14135,
 * appendix B.2).
 */
export function lowerAttentionGradient(node: Gradient, lowering: Lowering): void {
  const { q } = node.inputs;
  const plan = makePlan(node, lowering);
  for (let image = 0; image < q.shape[0]; image++) {
    for (let head = 0; head < node.attributes.heads; head++) {
      new Head(plan, image, head).emit();
    }
  }
}

/** What all heads share: the shape, the operands, and memory that each head uses again. */
interface Plan {
  readonly node: Gradient;
  readonly lowering: Lowering;
  readonly queries: number;
  readonly keys: number;
  readonly channels: number;
  readonly width: number;
  /** Queries of a block. */
  readonly rows: number;
  readonly operands: Readonly<Record<'q' | 'k' | 'v' | 'gradient', Block>>;
  readonly results: Readonly<Record<'dq' | 'dk' | 'dv', Block>>;
  /** Of every query and head: sum(dO ∘ O), f32. */
  readonly shift: Block;
  readonly memory: Readonly<
    Record<
      | 'scores'
      | 'probabilityGradient'
      | 'probabilities'
      | 'scoreGradient'
      | 'turnedQuery'
      | 'turnedKey'
      | 'turnedValue'
      | 'turnedGradient'
      | 'query',
      Block
    >
  > & {
    /** dKᵀ and dVᵀ, f32, of blocks in turn. */
    readonly key: readonly [Block, Block];
    readonly value: readonly [Block, Block];
    /** One of them in the type of the operands, where that is another. */
    readonly narrow: Block | undefined;
  };
}

function makePlan(node: Gradient, lowering: Lowering): Plan {
  const { q, k, v, gradient } = node.inputs;
  const [, queries, channels] = q.shape;
  const keys = k.shape[1];
  const width = channels / node.attributes.heads;
  const rows = Math.min(queries, Math.max(1, Math.floor(PAIRS / keys)));
  const floats = (...shape: number[]) => lowering.temporary({ dtype: 'f32', shape }) as Block;
  const numbers = (...shape: number[]) => lowering.temporary({ dtype: q.dtype, shape }) as Block;
  const sums = (): [Block, Block] => {
    const first = floats(width, keys);
    return [first, rows < queries ? floats(width, keys) : first];
  };
  const operand = (value: Value) => computed(node, lowering, value);
  return {
    node,
    lowering,
    queries,
    keys,
    channels,
    width,
    rows,
    operands: { q: operand(q), k: operand(k), v: operand(v), gradient: operand(gradient) },
    results: {
      dq: lowering.allocate(node.outputs[0]) as Block,
      dk: lowering.allocate(node.outputs[1]) as Block,
      dv: lowering.allocate(node.outputs[2]) as Block,
    },
    shift: emitShift(node, lowering),
    memory: {
      scores: floats(rows, keys),
      probabilityGradient: floats(rows, keys),
      probabilities: numbers(rows, keys),
      scoreGradient: numbers(rows, keys),
      turnedQuery: numbers(width, queries),
      turnedKey: numbers(width, keys),
      turnedValue: numbers(width, keys),
      turnedGradient: numbers(width, queries),
      query: numbers(rows, width),
      key: sums(),
      value: sums(),
      narrow: q.dtype === 'f32' ? undefined : numbers(width, keys),
    },
  };
}

/** Slices of an operand are read, which only the arena has. */
function computed(node: Gradient, lowering: Lowering, value: Value): Block {
  const place = lowering.place(value);
  if ('storage' in place) return place;
  throw new BookendError(
    'unsupported',
    `${node.op} in ${node.scope} reads a parameter; native kernels take computed values there, so use the reference backend.`,
  );
}

function emitShift(node: Gradient, lowering: Lowering): Block {
  const { output, gradient } = node.inputs;
  const [batch, queries, channels] = output.shape;
  const { heads } = node.attributes;
  const count = batch * queries * channels;
  const products = lowering.temporary({ dtype: 'f32', shape: output.shape });
  const shift = lowering.temporary({ dtype: 'f32', shape: [batch, queries, heads] }) as Block;
  const stride = [0, 0, 0, 1];
  const fields = {
    kind: 'mul' as const,
    extent: [1, 1, 1, count],
    aStride: stride,
    bStride: stride,
    aType: output.dtype,
    bType: gradient.dtype,
    output: 'f32' as const,
  };
  const operands = { a: lowering.place(gradient), b: lowering.place(output), out: products };
  lowering.emit(node, 'binary', fields, operands);
  const width = channels / heads;
  const sum = {
    outer: count / width,
    count: width,
    inner: 1,
    input: 'f32',
    output: 'f32',
  } as const;
  lowering.emit(node, 'sum', sum, { x: products, out: shift });
  return shift;
}

class Head {
  readonly #plan: Plan;
  readonly #image: number;
  readonly #head: number;

  constructor(plan: Plan, image: number, head: number) {
    this.#plan = plan;
    this.#image = image;
    this.#head = head;
  }

  emit(): void {
    const { operands, memory, queries, keys, rows, results } = this.#plan;
    this.#turn(operands.q, queries, memory.turnedQuery);
    this.#turn(operands.gradient, queries, memory.turnedGradient);
    // Packing them for each block reads neighbours.
    this.#turn(operands.k, keys, memory.turnedKey);
    this.#turn(operands.v, keys, memory.turnedValue);
    let block = 0;
    for (let first = 0; first < queries; first += rows, block++) {
      this.#emitBlock(first, Math.min(rows, queries - first), block);
    }
    this.#store(memory.key[(block - 1) % 2], results.dk);
    this.#store(memory.value[(block - 1) % 2], results.dv);
  }

  #emitBlock(first: number, rows: number, block: number): void {
    const { node, lowering, operands, memory, queries, keys, shift } = this.#plan;
    const { heads, scale, causal } = node.attributes;
    this.#multiply(operands.q, memory.turnedKey, memory.scores, { first, rows, scale });
    const unscaled = { first, rows, scale: 1 };
    this.#multiply(operands.gradient, memory.turnedValue, memory.probabilityGradient, unscaled);
    const fields = {
      rows,
      columns: keys,
      shiftStride: heads,
      visible: causal ? first + 1 : keys,
      output: node.inputs.q.dtype,
    };
    const shiftAt = (this.#image * queries + first) * heads + this.#head;
    lowering.emit(node, 'scoreGradient', fields, {
      scores: memory.scores,
      gradient: memory.probabilityGradient,
      shift: offsetPlace(shift, shiftAt, 'f32'),
      probabilities: memory.probabilities,
      out: memory.scoreGradient,
    });
    this.#emitQuery(first, rows);
    const { turnedGradient, turnedQuery, probabilities, scoreGradient } = memory;
    this.#accumulate(turnedGradient, probabilities, memory.value, { first, rows, block, scale: 1 });
    this.#accumulate(turnedQuery, scoreGradient, memory.key, { first, rows, block, scale });
  }

  /** rows × keys: some rows of [queries, width] times [width, keys]. */
  #multiply(
    left: Block,
    right: Block,
    out: Block,
    { first, rows, scale }: { first: number; rows: number; scale: number },
  ): void {
    const { node, lowering, channels, width, keys, queries } = this.#plan;
    const fields = plainProduct({
      batch: 1,
      channels: width,
      outChannels: keys,
      outWidth: rows,
      xStrides: [0, 0, channels],
      input: node.inputs.q.dtype,
      output: 'f32',
      outputScale: scale,
      weightView: [0, 1, keys, 0, 0],
    });
    const x = this.#at(left, queries, first);
    lowering.emit(node, 'conv2d', fields, { x, weights: right, out });
  }

  /** dQ of some rows. */
  #emitQuery(first: number, rows: number): void {
    const { node, lowering, operands, results, memory, channels, width, keys, queries } =
      this.#plan;
    const { dtype } = node.inputs.q;
    const fields = plainProduct({
      batch: 1,
      channels: keys,
      outChannels: width,
      outWidth: rows,
      input: dtype,
      outputScale: node.attributes.scale,
      weightView: [0, 1, channels, 0, 0],
    });
    const weights = this.#at(operands.k, keys);
    lowering.emit(node, 'conv2d', fields, { x: memory.scoreGradient, weights, out: memory.query });
    const copy = { extent: [rows, width], xStride: [width, 1], outStride: [channels, 1] };
    const out = this.#at(results.dq, queries, first);
    emitCopy(node, lowering, { x: memory.query, out }, copy, dtype);
  }

  /** sums[width, keys] += turned[width, some queries] times matrix[rows, keys]. */
  #accumulate(
    turned: Block,
    matrix: Block,
    sums: readonly [Block, Block],
    { first, rows, block, scale }: { first: number; rows: number; block: number; scale: number },
  ): void {
    const { node, lowering, width, keys, queries } = this.#plan;
    const { dtype } = node.inputs.q;
    // The scale of dK goes with its last block: the residual is scaled too.
    const isLast = first + rows === queries;
    const fields = plainProduct({
      batch: 1,
      channels: rows,
      outChannels: keys,
      outWidth: width,
      xStrides: [0, 0, queries],
      input: dtype,
      output: 'f32',
      hasResidual: block > 0,
      outputScale: isLast ? scale : 1,
      weightView: [0, 1, keys, 0, 0],
    });
    lowering.emit(node, 'conv2d', fields, {
      x: offsetPlace(turned, first, dtype),
      weights: matrix,
      residual: block > 0 ? sums[(block - 1) % 2] : undefined,
      out: sums[block % 2],
    });
  }

  /** This head of `x` [tokens, width] as [width, tokens]. */
  #turn(x: Block, tokens: number, out: Block): void {
    const { node, lowering, channels, width } = this.#plan;
    const copy = { extent: [width, tokens], xStride: [1, channels], outStride: [tokens, 1] };
    emitCopy(node, lowering, { x: this.#at(x, tokens), out }, copy, node.inputs.q.dtype);
  }

  /** Turns sums [width, keys] back into this head of `out`. */
  #store(sums: Block, out: Block): void {
    const { node, lowering, memory, channels, width, keys } = this.#plan;
    const { dtype } = node.inputs.q;
    const { narrow } = memory;
    if (narrow) {
      const fields = castFields(width * keys, 'f32', dtype);
      lowering.emit(node, 'unary', fields, { x: sums, out: narrow });
    }
    const x = narrow ?? sums;
    const copy = { extent: [keys, width], xStride: [1, keys], outStride: [channels, 1] };
    emitCopy(node, lowering, { x, out: this.#at(out, keys) }, copy, dtype);
  }

  /** Where this head of a token tensor [batch, tokens, channels] begins, at one of its rows. */
  #at(place: Block, tokens: number, row = 0): Block {
    const { node, channels, width } = this.#plan;
    const offset = (this.#image * tokens + row) * channels + this.#head * width;
    return offsetPlace(place, offset, node.inputs.q.dtype);
  }
}
