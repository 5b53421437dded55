/** Fuzzes the safetensors reader: node test/fuzz/safetensors.ts --iterations 100000 */

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { f32, type Tensor } from '../../src/core/tensor.ts';
import { openCheckpoint } from '../../src/io/checkpoint.ts';
import { writeSafetensors } from '../../src/io/safetensors.ts';
import { LENGTH_BYTES, parseHeader, parseHeaderLength } from '../../src/io/safetensors-header.ts';
import { type FuzzReport, fuzz, runFromCommandLine } from './fuzz.ts';
import { inFolder } from './in-folder.ts';
import { type FuzzRandom, mutate } from './mutate.ts';

const SEED_TENSORS: [string, Tensor][] = [
  ['a.weight', f32([2, 3], [1, 2, 3, 4, 5, 6])],
  ['a.bias', f32([2], [1, 2])],
  ['b', { dtype: 'bf16', shape: [1, 4], data: new Uint16Array(4) }],
  ['empty', f32([0, 7], [])],
  ['scalar', { dtype: 'u8', shape: [], data: Uint8Array.of(1) }],
];

/** One input in so many goes through a real file and is read tensor by tensor. */
const THROUGH_FILE = 50;

export async function fuzzSafetensors(iterations: number, seed: number): Promise<FuzzReport> {
  let report: FuzzReport | undefined;
  await inFolder(async (folder) => {
    const path = join(folder, 'a.safetensors');
    await writeSafetensors(path, SEED_TENSORS, { format: 'pt' });
    const sound = await readFile(path);
    report = await fuzz(iterations, seed, async (random, i) => {
      const bytes = mutateFile(sound, random);
      parseInMemory(bytes);
      if (i % THROUGH_FILE !== 0) return;
      await writeFile(path, bytes);
      await readEverything(path);
    });
  });
  return report!;
}

/** Half of the inputs get a length that fits the mutated header, to reach the checks behind. */
function mutateFile(sound: Buffer, random: FuzzRandom): Buffer {
  if (random.below(2)) return mutate(sound, random);
  const headerEnd = LENGTH_BYTES + Number(sound.readBigUInt64LE(0));
  const header = mutate(sound.subarray(LENGTH_BYTES, headerEnd), random);
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, sound.subarray(headerEnd)]);
}

function parseInMemory(bytes: Buffer): void {
  const length = parseHeaderLength(bytes.subarray(0, LENGTH_BYTES), bytes.length, 'a.safetensors');
  const json = bytes.subarray(LENGTH_BYTES, LENGTH_BYTES + length);
  const { entries } = parseHeader(json, bytes.length, 'a.safetensors');
  for (const { byteOffset, byteLength } of entries.values()) {
    assert.ok(byteOffset >= LENGTH_BYTES + length && byteOffset + byteLength <= bytes.length);
  }
}

async function readEverything(path: string): Promise<void> {
  const source = await openCheckpoint(path);
  try {
    for (const name of source.names()) await source.read(name);
  } finally {
    await source.close();
  }
}

if (import.meta.main) await runFromCommandLine(fuzzSafetensors);
