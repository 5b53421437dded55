import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DType } from '../../src/core/dtype.ts';
import type { QuantizationParams } from '../../src/core/quantization-params.ts';
import { floats, type Tensor } from '../../src/core/tensor.ts';
import type { Value } from '../../src/ir/graph.ts';
import { attentionOp } from '../../src/ir/ops/attention.ts';
import { slice } from '../../src/ir/ops/index.ts';
import { quantizeAttribute } from '../../src/ir/ops/stored-type.ts';
import { memoryWeights } from '../../src/runtime/memory-weights.ts';
import type { IsaName } from '../../src/runtime/native/addon.ts';
import { nativeBackend } from '../../src/runtime/native/native-backend.ts';
import { cannotTest, isEmulated } from './kernel-sets.ts';
import { exactOutput, TrialBuilder } from './op-trial.ts';
import { type Expectation, type Problem, type Trial, testProblem } from './problem.ts';
import { noiseTensor } from './random.ts';
import { asCodes } from './stored-codes.ts';
import { EPS_BF16, EPS32, rounding } from './tolerance.ts';

interface AttentionShape {
  readonly name: string;
  readonly batch: number;
  readonly heads: number;
  readonly queries: number;
  readonly keys: number;
  readonly headDim: number;
  readonly causal?: boolean;
  /** q, k and v are columns of one tensor. */
  readonly joined?: boolean;
  /** Deviation of q and k; above 2 the softmax is nearly a choice. */
  readonly deviation?: number;
  /** Stores codes. */
  readonly codes?: QuantizationParams;
}

const CODES = { scale: 0.004, zeroPoint: 131 };

const SHAPES: readonly AttentionShape[] = [
  { name: 'SD 1.5, 64×64 latents', batch: 2, heads: 8, queries: 4096, keys: 4096, headDim: 40 },
  { name: 'SD 1.5, 32×32', batch: 2, heads: 8, queries: 1024, keys: 1024, headDim: 80 },
  { name: 'SD 1.5, 16×16', batch: 2, heads: 8, queries: 256, keys: 256, headDim: 160 },
  { name: 'SD 1.5, 8×8', batch: 2, heads: 8, queries: 64, keys: 64, headDim: 160 },
  { name: 'SD 1.5, text', batch: 2, heads: 8, queries: 1024, keys: 77, headDim: 40 },
  { name: 'SD 1.5, text, wide', batch: 2, heads: 8, queries: 64, keys: 77, headDim: 160 },
  { name: 'SD 2.1, 32×32', batch: 1, heads: 10, queries: 1024, keys: 1024, headDim: 64 },
  { name: 'SD 2.1, 24×24', batch: 1, heads: 20, queries: 576, keys: 576, headDim: 64 },
  { name: 'autoencoder', batch: 1, heads: 1, queries: 256, keys: 256, headDim: 512 },
  { name: 'CLIP', batch: 2, heads: 12, queries: 77, keys: 77, headDim: 64, causal: true },
  { name: 'one number', batch: 1, heads: 1, queries: 1, keys: 1, headDim: 1 },
  { name: 'one key', batch: 2, heads: 3, queries: 9, keys: 1, headDim: 8 },
  { name: 'one query', batch: 2, heads: 3, queries: 1, keys: 130, headDim: 24 },
  { name: 'odd everything', batch: 3, heads: 5, queries: 67, keys: 131, headDim: 13 },
  { name: 'odd, causal', batch: 1, heads: 2, queries: 133, keys: 133, headDim: 7, causal: true },
  {
    name: 'joined q, k, v',
    batch: 2,
    heads: 4,
    queries: 100,
    keys: 100,
    headDim: 16,
    joined: true,
  },
  { name: 'sharp', batch: 1, heads: 4, queries: 200, keys: 300, headDim: 40, deviation: 3 },
  // Scores of hundreds: exponentials overflow, in some rows only late, unless shifted.
  { name: 'sharpest', batch: 1, heads: 3, queries: 150, keys: 500, headDim: 40, deviation: 10 },
  { name: 'one key, far', batch: 2, heads: 5, queries: 70, keys: 1, headDim: 8, deviation: 20 },
  { name: 'two keys, far', batch: 2, heads: 5, queries: 9, keys: 2, headDim: 8, deviation: 20 },
  {
    name: 'sharpest, causal',
    batch: 1,
    heads: 2,
    queries: 230,
    keys: 230,
    headDim: 24,
    causal: true,
    deviation: 10,
  },
  { name: 'codes', batch: 2, heads: 8, queries: 256, keys: 77, headDim: 40, codes: CODES },
  { name: 'codes, odd', batch: 3, heads: 5, queries: 67, keys: 131, headDim: 13, codes: CODES },
];

function attentionProblem(shape: AttentionShape): Problem {
  const { name, batch, heads, queries, keys, headDim, codes } = shape;
  return {
    name,
    op: 'attention',
    dtypes: ['f32', 'bf16'],
    flops: 4 * batch * heads * queries * keys * headDim,
    make: (dtype) => {
      const operands = operandsOf(shape, dtype);
      const expectation = expectAttention(shape, operands, dtype);
      const trial = trialOf(shape, operands);
      return { ...trial, expectation: codes ? asCodes(expectation, codes) : expectation };
    },
  };
}

/** Each [batch, tokens, heads · headDim]; joined ones are columns of `joined`. */
interface Operands {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
}

function operandsOf(shape: AttentionShape, dtype: DType): Operands {
  const { batch, heads, queries, keys, headDim, deviation = 1 } = shape;
  const channels = heads * headDim;
  return {
    q: noiseTensor(1, dtype, [batch, queries, channels], deviation),
    k: noiseTensor(2, dtype, [batch, keys, channels], deviation),
    v: noiseTensor(3, dtype, [batch, keys, channels]),
  };
}

function trialOf(
  shape: AttentionShape,
  operands: Operands,
  scores?: 'int8',
): Omit<Trial, 'expectation'> {
  const { heads, headDim, causal = false, codes } = shape;
  const t = new TrialBuilder();
  const quantize = codes && { quantize: quantizeAttribute(codes) };
  const attributes = {
    heads,
    causal,
    scale: 1 / Math.sqrt(headDim),
    ...quantize,
    ...(scores && { scores }),
  };
  const attend = (q: Value, k: Value, v: Value) =>
    t.b.apply(attentionOp.name as 'attention', { q, k, v }, attributes)[0];
  if (!shape.joined) {
    const [q, k, v] = (['q', 'k', 'v'] as const).map((name) => t.input(name, operands[name]));
    return t.finish(attend(q, k, v));
  }
  const x = t.input('x', joinColumns(operands));
  const length = operands.q.shape[2];
  const [q, k, v] = [0, 1, 2].map((i) => slice(t.b, x, { axis: 2, start: i * length, length }));
  return t.finish(attend(q, k, v));
}

function joinColumns({ q, k, v }: Operands): Tensor {
  const [batch, tokens, channels] = q.shape;
  const parts = [q, k, v];
  const data = q.data.slice(0, 0).constructor as new (length: number) => typeof q.data;
  const joined = new data(3 * q.data.length);
  for (let row = 0; row < batch * tokens; row++) {
    for (const [i, part] of parts.entries()) {
      joined.set(
        part.data.subarray(row * channels, (row + 1) * channels),
        (3 * row + i) * channels,
      );
    }
  }
  return { dtype: q.dtype, shape: [batch, tokens, 3 * channels], data: joined };
}

const SAMPLED_ROWS = 64;

/**
 * Some rows of the output in float64. What may go wrong: scores in f32, by eps · ‖q‖‖k‖, which
 * moves each weight by that fraction; exp and sums, by a few eps; in bf16 also each weight's own
 * rounding before it meets v, by half a bf16 unit at most.
 */
function expectAttention(shape: AttentionShape, operands: Operands, dtype: DType): Expectation {
  const { batch, heads, queries, headDim, codes } = shape;
  const rows = batch * heads * queries;
  const count = Math.min(rows, SAMPLED_ROWS);
  const positions: number[] = [];
  const expected: number[] = [];
  const allowed: number[] = [];
  for (let sample = 0; sample < count; sample++) {
    const row = count === 1 ? 0 : Math.floor((sample * (rows - 1)) / (count - 1));
    const query = Math.floor(row / heads);
    const head = row % heads;
    const { sums, magnitudes, largestNorm } = attendRow(shape, operands, query, head);
    const relative = 8 * EPS32 * (largestNorm + 4) + (dtype === 'bf16' ? EPS_BF16 : 0);
    for (let d = 0; d < headDim; d++) {
      positions.push((query * heads + head) * headDim + d);
      expected.push(sums[d]);
      const own = codes ? 0 : rounding(dtype, sums[d]) * 1.01;
      allowed.push(relative * magnitudes[d] + own + 2 ** -126);
    }
  }
  return { positions, expected, allowed };
}

/** One output row: Σ p v, Σ p |v|, and the largest ‖q‖‖k‖ · scale. */
function attendRow(shape: AttentionShape, operands: Operands, query: number, head: number) {
  const { heads, queries, keys, headDim, causal = false } = shape;
  const [q, k, v] = [floats(operands.q), floats(operands.k), floats(operands.v)];
  const scale = 1 / Math.sqrt(headDim);
  const image = Math.floor(query / queries);
  const visible = causal ? (query % queries) + 1 : keys;
  const qAt = (query * heads + head) * headDim;
  const scores = new Float64Array(visible);
  let largestNorm = 0;
  for (let key = 0; key < visible; key++) {
    const kAt = ((image * keys + key) * heads + head) * headDim;
    let [dot, qq, kk] = [0, 0, 0];
    for (let d = 0; d < headDim; d++) {
      dot += q[qAt + d] * k[kAt + d];
      qq += q[qAt + d] ** 2;
      kk += k[kAt + d] ** 2;
    }
    scores[key] = dot * scale;
    largestNorm = Math.max(largestNorm, Math.sqrt(qq * kk) * scale);
  }
  const maximum = scores.reduce((a, b) => Math.max(a, b));
  const weights = scores.map((score) => Math.exp(score - maximum));
  const total = weights.reduce((a, b) => a + b);
  const sums = new Float64Array(headDim);
  const magnitudes = new Float64Array(headDim);
  for (let key = 0; key < visible; key++) {
    const vAt = ((image * keys + key) * heads + head) * headDim;
    for (let d = 0; d < headDim; d++) {
      sums[d] += (weights[key] / total) * v[vAt + d];
      magnitudes[d] += (weights[key] / total) * Math.abs(v[vAt + d]);
    }
  }
  return { sums, magnitudes, largestNorm };
}

test('the sampled reference of these tests agrees with the reference backend', async () => {
  for (const shape of SHAPES.filter(({ queries, keys }) => queries * keys < 50_000)) {
    const operands = operandsOf(shape, 'f32');
    const exact = await exactOutput(trialOf(shape, operands));
    const { positions, expected } = expectAttention(shape, operands, 'f32');
    for (const [i, position] of positions!.entries()) {
      assert.ok(Math.abs(exact[position] - expected[i]) < 1e-12, shape.name);
    }
  }
});

for (const shape of SHAPES) testProblem(attentionProblem(shape));

const INT8_SETS: readonly IsaName[] = ['avx512_vnni', 'avx512_vnni_bf16', 'amx'];
// Relative error of outputs where scores deviate by 1; it grows with their deviation.
const INT8_ERROR = 0.02;

async function int8Attention(shape: AttentionShape, isa: IsaName, threads: number) {
  const operands = operandsOf(shape, 'bf16');
  const trial = trialOf(shape, operands, 'int8');
  const options = { isa, threads, passes: [] };
  const executable = await nativeBackend.compile(trial.graph, memoryWeights(new Map()), options);
  try {
    const [{ kernel }] = executable.info.instructions;
    const { out } = await executable.run(trial.inputs);
    return { kernel: kernel.name, out, operands };
  } finally {
    executable.dispose();
  }
}

/** ‖got − exact‖ ÷ ‖exact‖ over the sampled rows. */
function relativeError(out: Tensor, { positions, expected }: Expectation): number {
  const got = floats(out);
  const differences = positions!.map((position, i) => (got[position] - expected[i]) ** 2);
  const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0);
  return Math.sqrt(sum(differences) / sum(Array.from(expected, (x) => x * x)));
}

for (const shape of SHAPES.filter(({ joined, codes }) => !joined && !codes)) {
  test(`attention with int8 scores ${shape.name}`, async (t) => {
    const sets = INT8_SETS.filter((isa) => cannotTest(isa) === undefined && !isEmulated(isa));
    if (sets.length === 0) return t.skip('no set with AVX512_VNNI');
    for (const isa of sets) {
      const { kernel, out, operands } = await int8Attention(shape, isa, 2);
      const native = isa === 'avx512_vnni' ? isa : 'avx512_vnni_bf16';
      assert.equal(kernel, `attention.${native}.int8`);
      const { deviation = 1 } = shape;
      const error = relativeError(out, expectAttention(shape, operands, 'bf16'));
      assert.ok(error < Math.min(INT8_ERROR * deviation ** 2, 0.4), `${kernel}: ${error}`);
      if (shape.queries * shape.keys > 100_000) continue;
      for (const threads of [1, 3]) {
        assert.deepEqual((await int8Attention(shape, isa, threads)).out, out);
      }
    }
  });
}

test('int8 scores are refused, with the reason, where no kernel has them', async () => {
  const shape = SHAPES.find(({ name }) => name === 'odd everything')!;
  for (const isa of ['scalar', 'avx2', 'avx512'] as const) {
    if (cannotTest(isa) !== undefined) continue;
    await assert.rejects(int8Attention(shape, isa, 1), {
      code: 'unsupported',
      message: /int8 scores need AVX512_VNNI/,
    });
  }
});
