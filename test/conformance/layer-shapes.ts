import type { Activation } from '../../src/ir/ops/epilogue.ts';

/** What may be fused into a layer. */
interface Epilogue {
  readonly bias?: boolean;
  readonly rowBias?: boolean;
  readonly residual?: boolean;
  readonly activation?: Activation;
  readonly outputScale?: number;
}

export interface LayerShape extends Epilogue {
  readonly name: string;
  readonly linear?: boolean;
  /** [batch, height, width]; a linear layer sees [batch, height · width] tokens. */
  readonly image: readonly [number, number, number];
  readonly channels: number;
  readonly skipChannels?: number;
  readonly outputs: number;
  readonly kernel?: readonly [number, number];
  readonly stride?: number;
  readonly padding?: readonly [top: number, bottom: number, left: number, right: number];
  readonly upsample?: 1 | 2;
}

const SAME = [1, 1, 1, 1] as const;
const k3 = { kernel: [3, 3], padding: SAME, bias: true } as const;
const lin = { linear: true } as const;

/** Channel counts of SD 1.x and 2.x: U-Net, autoencoder and text encoder; few pixels. */
export const REAL_LAYERS: readonly LayerShape[] = [
  { name: 'conv_in', image: [2, 8, 8], channels: 4, outputs: 320, ...k3 },
  { name: 'conv_in of inpainting', image: [1, 8, 8], channels: 9, outputs: 320, ...k3 },
  { name: 'conv_out', image: [2, 8, 8], channels: 320, outputs: 4, ...k3 },
  {
    name: 'resnet 320 + time',
    image: [2, 6, 6],
    channels: 320,
    outputs: 320,
    ...k3,
    rowBias: true,
  },
  {
    name: 'resnet 640 + residual',
    image: [2, 4, 4],
    channels: 640,
    outputs: 640,
    ...k3,
    residual: true,
  },
  { name: 'resnet 1280', image: [1, 4, 4], channels: 1280, outputs: 1280, ...k3 },
  {
    name: 'resnet 1280+1280 → 1280',
    image: [1, 2, 2],
    channels: 1280,
    skipChannels: 1280,
    outputs: 1280,
    ...k3,
    rowBias: true,
  },
  {
    name: 'resnet 640+320 → 640',
    image: [1, 4, 4],
    channels: 640,
    skipChannels: 320,
    outputs: 640,
    ...k3,
  },
  {
    name: 'resnet 320+320 → 320',
    image: [2, 4, 4],
    channels: 320,
    skipChannels: 320,
    outputs: 320,
    ...k3,
  },
  {
    name: 'shortcut 1280+640 → 1280',
    image: [1, 4, 4],
    channels: 1280,
    skipChannels: 640,
    outputs: 1280,
    bias: true,
  },
  { name: 'downsample 320', image: [2, 8, 8], channels: 320, outputs: 320, ...k3, stride: 2 },
  {
    name: 'downsample 640, odd image',
    image: [1, 7, 5],
    channels: 640,
    outputs: 640,
    ...k3,
    stride: 2,
  },
  { name: 'upsample 640', image: [1, 4, 4], channels: 640, outputs: 640, ...k3, upsample: 2 },
  {
    name: 'encoder downsample 128',
    image: [1, 8, 8],
    channels: 128,
    outputs: 128,
    ...k3,
    stride: 2,
    padding: [0, 1, 0, 1],
  },
  { name: 'decoder 512', image: [1, 5, 7], channels: 512, outputs: 512, ...k3 },
  { name: 'decoder 256 → 128', image: [1, 8, 8], channels: 256, outputs: 128, ...k3 },
  { name: 'decoder conv_out', image: [1, 16, 16], channels: 128, outputs: 3, ...k3 },
  { name: 'encoder conv_in', image: [1, 16, 16], channels: 3, outputs: 128, ...k3 },
  {
    name: 'time 320 → 1280, SiLU',
    image: [2, 1, 1],
    channels: 320,
    outputs: 1280,
    ...lin,
    bias: true,
    activation: 'silu',
  },
  { name: 'to_q 320', image: [2, 8, 8], channels: 320, outputs: 320, ...lin },
  { name: 'to_k 768 → 320', image: [2, 1, 77], channels: 768, outputs: 320, ...lin },
  { name: 'to_k 1024 → 1280', image: [1, 1, 77], channels: 1024, outputs: 1280, ...lin },
  {
    name: 'to_out 640 + residual',
    image: [2, 4, 4],
    channels: 640,
    outputs: 640,
    ...lin,
    bias: true,
    residual: true,
  },
  {
    name: 'feed-forward 320 → 2560, GEGLU',
    image: [1, 8, 8],
    channels: 320,
    outputs: 2560,
    ...lin,
    bias: true,
    activation: 'geglu',
  },
  {
    name: 'feed-forward 2560 → 640 + residual',
    image: [1, 4, 4],
    channels: 2560,
    outputs: 640,
    ...lin,
    bias: true,
    residual: true,
  },
  {
    name: 'CLIP 768 → 3072, quick GELU',
    image: [1, 1, 77],
    channels: 768,
    outputs: 3072,
    ...lin,
    bias: true,
    activation: 'quickGelu',
  },
  {
    name: 'CLIP 1024 → 4096, GELU',
    image: [1, 1, 15],
    channels: 1024,
    outputs: 4096,
    ...lin,
    bias: true,
    activation: 'gelu',
  },
];

/** Sizes that fill no vector, tile or panel, and every part of the epilogue. */
export const ODD_LAYERS: readonly LayerShape[] = [
  { name: 'one number', image: [1, 1, 1], channels: 1, outputs: 1, ...lin },
  { name: '1×1 image, 3×3 kernel', image: [3, 1, 1], channels: 5, outputs: 7, ...k3 },
  {
    name: '7 → 5 channels',
    image: [2, 3, 5],
    channels: 7,
    outputs: 5,
    ...k3,
    residual: true,
    outputScale: 0.5,
  },
  { name: '33 → 65, SiLU', image: [1, 5, 9], channels: 33, outputs: 65, ...k3, activation: 'silu' },
  {
    name: '17+3 → 31',
    image: [2, 4, 3],
    channels: 17,
    skipChannels: 3,
    outputs: 31,
    ...k3,
    rowBias: true,
    residual: true,
  },
  {
    name: '3+17 → 31, no bias',
    image: [1, 4, 3],
    channels: 3,
    skipChannels: 17,
    outputs: 31,
    kernel: [3, 3],
    padding: SAME,
  },
  {
    name: 'odd GEGLU 9 → 2·13',
    image: [2, 3, 3],
    channels: 9,
    outputs: 26,
    ...lin,
    bias: true,
    activation: 'geglu',
    residual: true,
  },
  {
    name: 'odd GEGLU 70 → 2·70',
    image: [1, 11, 1],
    channels: 70,
    outputs: 140,
    ...lin,
    activation: 'geglu',
  },
  {
    name: 'row bias over tokens',
    image: [3, 1, 7],
    channels: 24,
    outputs: 40,
    ...lin,
    bias: true,
    rowBias: true,
    activation: 'gelu',
  },
  {
    name: '5×3 kernel, uneven padding',
    image: [1, 9, 6],
    channels: 19,
    outputs: 23,
    kernel: [5, 3],
    padding: [0, 3, 2, 0],
    bias: true,
  },
  {
    name: '1×7 kernel of Inception, ReLU',
    image: [2, 5, 9],
    channels: 24,
    outputs: 33,
    kernel: [1, 7],
    padding: [0, 0, 3, 3],
    bias: true,
    activation: 'relu',
  },
  { name: 'stride 3', image: [1, 11, 10], channels: 16, outputs: 48, ...k3, stride: 3 },
  { name: 'no padding', image: [2, 6, 6], channels: 12, outputs: 20, kernel: [3, 3], bias: true },
  { name: 'stride 2, 1×1', image: [1, 6, 7], channels: 20, outputs: 36, bias: true, stride: 2 },
  {
    name: 'upsample, odd image',
    image: [2, 3, 5],
    channels: 21,
    outputs: 11,
    ...k3,
    upsample: 2,
    activation: 'silu',
    residual: true,
  },
  {
    name: 'upsample, stride 2',
    image: [1, 4, 5],
    channels: 8,
    outputs: 16,
    ...k3,
    upsample: 2,
    stride: 2,
  },
  {
    name: 'GELU + residual, scaled',
    image: [1, 5, 5],
    channels: 64,
    outputs: 64,
    ...k3,
    activation: 'gelu',
    residual: true,
    outputScale: 1 / 3,
  },
  {
    name: 'prime everything',
    image: [1, 13, 11],
    channels: 37,
    outputs: 53,
    ...k3,
    activation: 'quickGelu',
  },
];

/** Sizes of real steps, at sampled positions: every loop over blocks and tasks runs in full. */
export const FULL_LAYERS: readonly LayerShape[] = [
  { name: '64×64, 320', image: [2, 64, 64], channels: 320, outputs: 320, ...k3, rowBias: true },
  {
    name: '32×32, 640+320',
    image: [2, 32, 32],
    channels: 640,
    skipChannels: 320,
    outputs: 640,
    ...k3,
  },
  { name: '16×16, 1280', image: [2, 16, 16], channels: 1280, outputs: 1280, ...k3, residual: true },
  {
    name: '4096 tokens, GEGLU',
    image: [2, 64, 64],
    channels: 320,
    outputs: 2560,
    ...lin,
    bias: true,
    activation: 'geglu',
  },
  { name: '96×96, 320', image: [1, 96, 96], channels: 320, outputs: 320, ...k3 },
  {
    name: 'decoder 256×256, 256 → 128',
    image: [1, 256, 256],
    channels: 256,
    outputs: 128,
    bias: true,
  },
];
