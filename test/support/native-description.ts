import type { Conv2dFields } from '../../src/compiler/instructions.ts';
import type { NativeProgramDescription, WeightBuffer } from '../../src/runtime/native/addon.ts';
import { loadAddon } from '../../src/runtime/native/loader.ts';

/** Bytes of the arena: room for the histogram of `observe`, and then some. */
export const ARENA_BYTES = 131072;

export const CONV: Conv2dFields = {
  batch: 2,
  height: 5,
  width: 4,
  channels: 3,
  skipChannels: 2,
  outChannels: 8,
  outHeight: 5,
  outWidth: 4,
  kernelHeight: 3,
  kernelWidth: 3,
  stride: 1,
  padTop: 1,
  padLeft: 1,
  upsample: 1,
  input: 'f32',
  output: 'f32',
  store: 'float',
  quantizeScale: 1,
  quantizeZero: 0,
  inputScale: 1,
  inputZero: 0,
  skipScale: 1,
  skipZero: 0,
  hasBias: true,
  hasRowBias: false,
  hasResidual: false,
  activation: 'geglu',
  outputScale: 1,
};

/** The same over u8 codes, with codes and floats as results. */
const CONV_U8: Conv2dFields = {
  ...CONV,
  input: 'u8',
  store: 'both',
  quantizeScale: 0.5,
  quantizeZero: 7,
  inputScale: 0.1,
  inputZero: 3,
  skipScale: 0.2,
  skipZero: 4,
};

interface Buffers {
  readonly weights: WeightBuffer;
  readonly codes: WeightBuffer;
  readonly bias: WeightBuffer;
  /** 256 numbers that may be written to. */
  readonly floats: WeightBuffer;
}

/** One instruction of every kind, all in one arena. */
function description({ weights, codes, bias, floats }: Buffers): NativeProgramDescription {
  const [x, skip, out, more] = [0, 4096, 8192, 12288].map((arena) => ({ arena }));
  const group = { batch: 1, rows: 6, channels: 6, groups: 4 };
  const gradients = { gammaGradient: { arena: 12288 }, betaGradient: { arena: 13312 } };
  const f32 = { input: 'f32', output: 'f32' };
  const norm = { gamma: { buffer: bias }, beta: { buffer: bias }, epsilon: 1e-5, ...f32 };
  const unary = { count: 100, scale: 1, offset: 0, ...f32 };
  return {
    isa: 'scalar',
    threads: 2,
    arenaBytes: ARENA_BYTES,
    inputs: [{ arena: 0, bytes: 480 }],
    outputs: [{ arena: 8192, bytes: 640 }],
    instructions: [
      { op: 'conv2d', ...CONV, x, skip, weights: { buffer: weights }, bias: { buffer: bias }, out },
      {
        op: 'conv2d',
        ...CONV_U8,
        x,
        skip,
        weights: { buffer: codes },
        weightScale: { buffer: bias },
        bias: { buffer: bias },
        out,
        quantized: more,
      },
      {
        op: 'conv2d',
        ...CONV,
        weightView: [0, 45, 9, 3, 1],
        turned: true,
        xStrides: [60, 12, 3],
        x,
        skip,
        weights: more,
        bias: { buffer: bias },
        out,
      },
      { op: 'groupNorm', ...group, skipChannels: 2, activation: 'silu', x, skip, out, ...norm },
      {
        op: 'groupNorm',
        ...group,
        skipChannels: 2,
        activation: 'silu',
        x,
        skip,
        out,
        ...norm,
        output: 'u8',
        quantizeScale: 0.1,
        quantizeZero: 9,
      },
      {
        op: 'groupNorm',
        ...group,
        skipChannels: 2,
        activation: 'none',
        split: 'channels',
        x,
        skip,
        out,
        ...norm,
      },
      { op: 'layerNorm', rows: 3, channels: 8, x, out, ...norm },
      {
        op: 'attention',
        batch: 1,
        heads: 2,
        queries: 5,
        keys: 6,
        headDim: 4,
        qStride: 8,
        kStride: 16,
        vStride: 16,
        scale: 0.5,
        causal: false,
        type: 'f32',
        output: 'f32',
        scores: 'float',
        q: x,
        k: x,
        v: { arena: 32 },
        out,
      },
      { op: 'unary', kind: 'gelu', ...unary, x, out },
      {
        op: 'unary',
        kind: 'silu',
        ...unary,
        x: { buffer: floats },
        out: { buffer: floats, offset: 400 },
      },
      {
        op: 'binary',
        kind: 'mul',
        extent: [1, 2, 3, 4],
        aStride: [0, 12, 4, 1],
        bStride: [0, 0, 0, 1],
        aType: 'f32',
        bType: 'f32',
        output: 'f32',
        a: x,
        b: skip,
        out,
      },
      { op: 'geglu', rows: 3, columns: 5, type: 'f32', x, out },
      { op: 'softmax', rows: 3, columns: 5, type: 'f32', x, out },
      {
        op: 'copy',
        extent: [1, 1, 1, 2, 3, 4],
        xStride: [0, 0, 0, 12, 4, 1],
        outStride: [0, 0, 0, 1, 2, 6],
        xOffset: 1,
        outOffset: 2,
        type: 'f32',
        x,
        out,
      },
      {
        op: 'embedding',
        count: 6,
        rows: 2,
        width: 4,
        tableType: 'f32',
        output: 'f32',
        ids: x,
        table: { buffer: bias },
        out,
      },
      {
        op: 'observe',
        rows: 3,
        channels: 8,
        input: 'f32',
        x,
        histogram: { arena: 65536 - 4096 },
        range: skip,
        sums: out,
        squares: more,
      },
      {
        op: 'fakeQuantize',
        result: 'gradients',
        groups: 2,
        count: 10,
        lowest: -128,
        highest: 127,
        gradientScale: 1,
        hasZero: true,
        ...f32,
        gradientType: 'f32',
        x,
        scale: { buffer: bias },
        zero: { buffer: bias },
        gradient: skip,
        out,
        scaleGradient: more,
      },
      { op: 'sum', outer: 2, count: 3, inner: 4, ...f32, x, out },
      {
        op: 'layerNormGradient',
        rows: 3,
        channels: 8,
        epsilon: 1e-5,
        type: 'f32',
        x,
        gamma: { buffer: bias },
        gradient: skip,
        out,
        ...gradients,
      },
      {
        op: 'groupNormGradient',
        ...group,
        channels: 8,
        epsilon: 1e-5,
        type: 'f32',
        x,
        gamma: { buffer: bias },
        gradient: skip,
        out,
        ...gradients,
      },
      {
        op: 'attentionGradient',
        batch: 2,
        heads: 2,
        queries: 3,
        keys: 4,
        headDim: 5,
        scale: 0.5,
        causal: false,
        type: 'f32',
        q: x,
        k: skip,
        v: x,
        output: x,
        gradient: skip,
        queryGradient: out,
        keyGradient: { arena: 10000 },
        valueGradient: more,
      },
      { op: 'squareSum', count: 100, x: { buffer: floats }, out },
      { op: 'accumulate', count: 100, scale: 0.5, adds: true, x, sum: { buffer: floats } },
      {
        op: 'adamw',
        count: 50,
        hasAverage: true,
        factors: skip,
        gradient: x,
        parameter: { buffer: floats },
        first: { buffer: floats, offset: 200 },
        second: { buffer: floats, offset: 400 },
        average: out,
      },
      {
        op: 'timestepEmbedding',
        count: 2,
        dim: 8,
        cosineFirst: true,
        frequencyShift: 0,
        maxPeriod: 100,
        timesteps: x,
        out,
      },
    ],
  };
}

/** A program that runs, to spoil field by field. */
export async function makeDescription(): Promise<NativeProgramDescription> {
  const addon = loadAddon();
  const count = 8 * 5 * 9;
  const weight = { dtype: 'f32', data: new Float32Array(count).fill(0.1) } as const;
  const code = { dtype: 's8', data: new Int8Array(count).fill(-3) } as const;
  const bias = { dtype: 'f32', data: new Float32Array(8).fill(0.5) } as const;
  return description({
    weights: await addon.packWeights(CONV, 'scalar', weight),
    codes: await addon.packWeights(CONV_U8, 'scalar', code),
    bias: await addon.loadVector(bias, 'f32', 8),
    floats: addon.createFloats(256).buffer,
  });
}
