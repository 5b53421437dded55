import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { BookendError } from '../core/errors.ts';
import { elementCount, type Shape } from '../core/shape.ts';
import { type Tensor, tensor } from '../core/tensor.ts';
import { asIoError } from './io-error.ts';
import { readExportedData } from './js-data.ts';
import { readJsonObject, readText } from './json-file.ts';
import { readWhole } from './read-file.ts';

/** No shard of a converted model is larger. */
const MOST_SHARD_BYTES = 100_000_000;

const fileName = z.string().regex(/^[\w.-]+$/);
const entrySchema = z.object({
  name: z.string(),
  shape: z.array(z.int().min(1).max(1e6)),
  dtype: z.literal('float32'),
  quantization: z
    .object({ min: z.number(), scale: z.number(), dtype: z.enum(['uint8', 'uint16']) })
    .optional(),
});
const modelSchema = z.object({
  modelTopology: z.unknown(),
  weightsManifest: z.array(
    z.object({ paths: z.array(fileName).min(1), weights: z.array(entrySchema) }),
  ),
});

type Entry = z.infer<typeof entrySchema>;

/** A Keras model as the TensorFlow.js converter stores it, in memory. */
export interface TfjsModel {
  readonly origin: string;
  readonly topology: unknown;
  /** Shapes as Keras has them: kernels are [height, width, in, out]. */
  readonly shapes: ReadonlyMap<string, Shape>;
  /** f32; quantized weights are code · scale + minimum. @throws BookendError `missing-tensor` */
  read(name: string): Tensor;
}

/**
 * Reads a layers-model from its folder: `model.json` and binary shards, or the same wrapped into
 * scripts, `model.min.js` and shards in base64, as npm's `nsfwjs` ships it. Scripts are read as data
 * and never run.
 *
 * @throws BookendError `not-found`, `io`, `invalid-checkpoint`
 */
export async function readTfjsModel(folder: string): Promise<TfjsModel> {
  const present = await readdir(folder).catch((error) => {
    throw asIoError('read', folder, error);
  });
  const isScript = !present.includes('model.json');
  const path = join(folder, isScript ? 'model.min.js' : 'model.json');
  const json = isScript ? readExportedData(await readText(path), path) : await readJsonObject(path);
  const parsed = modelSchema.safeParse(json);
  if (!parsed.success) {
    const [{ path: where, message }] = parsed.error.issues;
    throw new BookendError(
      'invalid-checkpoint',
      `${path} is no layers-model of TensorFlow.js: ${where.join('.')}: ${message}; use the file as it was converted.`,
    );
  }
  const entries = new Map<string, { entry: Entry; bytes: Uint8Array }>();
  for (const { paths, weights } of parsed.data.weightsManifest) {
    const shards = await Promise.all(paths.map((name) => readShard(folder, name, isScript)));
    cutGroup(path, Buffer.concat(shards), weights, entries);
  }
  return {
    origin: path,
    topology: parsed.data.modelTopology,
    shapes: new Map([...entries].map(([name, { entry }]) => [name, entry.shape])),
    read(name) {
      const found = entries.get(name);
      if (found) return decode(found.entry, found.bytes);
      throw new BookendError(
        'missing-tensor',
        `${path} has no weight ${name} among its ${entries.size}; use the model it was meant for.`,
      );
    },
  };
}

async function readShard(folder: string, name: string, isScript: boolean): Promise<Buffer> {
  if (!isScript) return readWhole(join(folder, name), MOST_SHARD_BYTES, 'invalid-checkpoint');
  const path = join(folder, `${name}.min.js`);
  const data = readExportedData(await readText(path), path);
  if (typeof data === 'string' && /^[A-Za-z0-9+/]*={0,2}$/.test(data)) {
    return Buffer.from(data, 'base64');
  }
  throw new BookendError(
    'invalid-checkpoint',
    `${path} exports no base64 text; use the file as the package has it.`,
  );
}

/** The weights of a group lie one after another in its joined shards. */
function cutGroup(
  path: string,
  bytes: Buffer,
  weights: readonly Entry[],
  entries: Map<string, { entry: Entry; bytes: Uint8Array }>,
): void {
  let at = 0;
  for (const entry of weights) {
    const end = at + elementCount(entry.shape) * storedBytes(entry);
    if (entries.has(entry.name)) refuse(path, `names the weight ${entry.name} twice`);
    entries.set(entry.name, { entry, bytes: bytes.subarray(at, end) });
    at = end;
  }
  if (at !== bytes.length) {
    refuse(path, `describes ${at} bytes of weights and its shards have ${bytes.length}`);
  }
}

function storedBytes({ quantization }: Entry): number {
  if (!quantization) return 4;
  return quantization.dtype === 'uint8' ? 1 : 2;
}

function decode({ shape, quantization }: Entry, bytes: Uint8Array): Tensor {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = elementCount(shape);
  if (!quantization) {
    const values = Float32Array.from({ length: count }, (_, i) => view.getFloat32(4 * i, true));
    return tensor('f32', shape, values);
  }
  const { min, scale, dtype } = quantization;
  const code = (i: number) => (dtype === 'uint8' ? bytes[i] : view.getUint16(2 * i, true));
  return tensor(
    'f32',
    shape,
    Float32Array.from({ length: count }, (_, i) => code(i) * scale + min),
  );
}

function refuse(path: string, problem: string): never {
  throw new BookendError(
    'invalid-checkpoint',
    `${path} ${problem}; fetch the package or convert the model again.`,
  );
}
