import { readFileSync } from 'node:fs';
import type { Tensor } from '../../../src/core/tensor.ts';
import type { Image } from '../../../src/io/image-data.ts';
import { unfoldedParameters } from '../../../src/models/fold-batch-norm.ts';
import { buildInceptionV3 } from '../../../src/models/inception-v3.ts';
import { graphParameters } from '../../../src/models/parameters.ts';
import { hashedUniform } from '../../../src/models/random-weights.ts';
import type { WeightSource } from '../../../src/runtime/backend.ts';

/** What make.py wrote for an image. */
export interface FidCase {
  readonly name: string;
  readonly image: Image;
  /** pytorch-fid's. */
  readonly features: Float32Array;
  /** Behind clean-fid's resizing and scaling. */
  readonly clean: Float32Array;
  /** Every sixteenth. */
  readonly logits: Float32Array;
}

interface StoredCase {
  readonly name: string;
  readonly width: number;
  readonly height: number;
  readonly features: string;
  readonly clean: string;
  readonly logits: string;
}

export function fidCases(): FidCase[] {
  const { images } = JSON.parse(readFileSync(`${import.meta.dirname}/fid.json`, 'utf8'));
  return (images as StoredCase[]).map(({ name, width, height, ...stored }) => ({
    name,
    image: hashedImage(name, width, height),
    features: decode(stored.features),
    clean: decode(stored.clean),
    logits: decode(stored.logits),
  }));
}

function decode(text: string): Float32Array {
  return new Float32Array(Uint8Array.from(Buffer.from(text, 'base64')).buffer);
}

/** make.py's: noise that is stronger to the right, over a gradient. */
function hashedImage(name: string, width: number, height: number): Image {
  const noise = hashedUniform(name, [width * height * 3], 1).data;
  const data = new Uint8Array(noise.length);
  for (let i = 0; i < data.length; i++) {
    const x = Math.floor(i / 3) % width;
    const y = Math.floor(i / 3 / width);
    const ramp = (x * 3 + y * 5 + (i % 3) * 40) % 256;
    const byte = Math.floor((noise[i] + 1) * 128);
    data[i] = Math.floor((byte * x + ramp * (width - x)) / width);
  }
  return { width, height, channels: 3, data };
}

/** make.py's weights, under the names of pytorch-fid's state dict. */
export function hashedFidWeights(): WeightSource {
  const folded = graphParameters(buildInceptionV3({ lastPool: 'max', classes: 1008 }, 1));
  const shapes = unfoldedParameters(folded, { epsilon: 1e-3, scale: true });
  return {
    names: () => [...shapes.keys(), 'fc.bias', 'Conv2d_1a_3x3.bn.num_batches_tracked'],
    info: (path) => {
      const shape = shapes.get(path);
      return shape && { dtype: 'f32', shape };
    },
    read: async (path) => hashedTensor(path, shapes.get(path)!),
  };
}

function hashedTensor(name: string, shape: readonly number[]): Tensor {
  if (shape.length >= 2) {
    const fanIn = shape.slice(1).reduce((product, extent) => product * extent, 1);
    return hashedUniform(name, shape, Math.sqrt(6 / fanIn));
  }
  const isAroundOne = name.endsWith('bn.weight') || name.endsWith('running_var');
  return hashedUniform(name, shape, 0.25, isAroundOne ? 1 : 0);
}
