import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Image } from '../../../src/io/image-data.ts';
import { writeSafetensors } from '../../../src/io/safetensors.ts';
import { parseCLIPModelConfig } from '../../../src/models/clip-model-config.ts';
import { clipModelParameters } from '../../../src/models/parameters.ts';
import { hashedIds, hashedParameter } from '../../../src/models/random-weights.ts';

interface Encoded {
  readonly shape: readonly number[];
  readonly data: string;
}

/** What make.py wrote. */
export interface ClipFixture {
  readonly config: Record<string, unknown>;
  readonly preprocessing: unknown;
  readonly images: Readonly<Record<string, readonly [width: number, height: number]>>;
  readonly prompts: readonly string[];
  readonly parameters: Readonly<Record<string, readonly number[]>>;
  readonly outputs: Readonly<
    Record<'pixelValues' | 'imageEmbeds' | 'textEmbeds' | 'logitsPerImage', Encoded>
  >;
}

export interface ResampleFixture {
  readonly image: string;
  readonly size: readonly [width: number, height: number];
  readonly filter: 'bilinear' | 'bicubic';
  readonly output: Encoded;
}

const TOKENIZER = join(import.meta.dirname, '../pipelines/models/sd/tokenizer');

export function readFixture<T>(name: string): T {
  return JSON.parse(readFileSync(join(import.meta.dirname, `${name}.json`), 'utf8'));
}

export function bytesOf({ data }: Encoded): Uint8Array {
  return Uint8Array.from(Buffer.from(data, 'base64'));
}

export function floatsOf(encoded: Encoded): Float32Array {
  return new Float32Array(bytesOf(encoded).buffer);
}

/** Noise that make.py draws alike. */
export function hashedImage(name: string, width: number, height: number): Image {
  const shape = [height, width, 3];
  const { data } = hashedIds(name, shape, 256);
  return { width, height, channels: 3, data: Uint8Array.from(data) };
}

export function fixtureImages({ images }: ClipFixture): Image[] {
  return Object.entries(images).map(([name, size]) => hashedImage(name, ...size));
}

/** Writes the folder of a fixture's model. */
export async function writeTinyClip(fixture: ClipFixture, folder: string): Promise<string> {
  mkdirSync(folder, { recursive: true });
  cpSync(TOKENIZER, folder, { recursive: true });
  writeFileSync(join(folder, 'config.json'), JSON.stringify(fixture.config));
  const preprocessing = JSON.stringify(fixture.preprocessing);
  writeFileSync(join(folder, 'preprocessor_config.json'), preprocessing);
  const parameters = clipModelParameters(parseCLIPModelConfig(fixture.config));
  const tensors = [...parameters].map(
    ([path, shape]) => [path, hashedParameter(path, shape)] as const,
  );
  await writeSafetensors(join(folder, 'model.safetensors'), new Map(tensors));
  return folder;
}
