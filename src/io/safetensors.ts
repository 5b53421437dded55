import type { FileHandle } from 'node:fs/promises';
import { byteSize, type DType } from '../core/dtype.ts';
import { BookendError } from '../core/errors.ts';
import type { Tensor } from '../core/tensor.ts';
import { writeAtomically } from './atomic-write.ts';
import { asIoError } from './io-error.ts';
import { refusePickle } from './pickle.ts';
import { openForReading } from './read-file.ts';
import {
  LENGTH_BYTES,
  MAX_HEADER_BYTES,
  parseHeader,
  parseHeaderLength,
  type StoredDType,
  type TensorEntry,
} from './safetensors-header.ts';

/** An open safetensors file whose header has been checked; tensor data is read on demand. */
export interface SafetensorsFile {
  readonly path: string;
  readonly entries: ReadonlyMap<string, TensorEntry>;
  readonly metadata: Readonly<Record<string, string>>;
  /** Bytes of the file, in a buffer of their own that starts at offset 0. */
  readRange(byteOffset: number, byteLength: number): Promise<Uint8Array<ArrayBuffer>>;
  close(): Promise<void>;
}

// A single read(2) moves less than 2 GiB.
const LARGEST_READ = 2 ** 30;

/**
 * Opens a file and checks its header against the file's real size, so that no later read or mapping
 * can leave it.
 *
 * @throws BookendError `not-found`, `io`, `invalid-checkpoint`, or `unsupported` for a pickle
 */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  refusePickle(path);
  const { handle, size } = await openForReading(path);
  try {
    const prefix = await readRange(handle, path, 0, Math.min(LENGTH_BYTES, size));
    const headerLength = parseHeaderLength(prefix, size, path);
    const json = await readRange(handle, path, LENGTH_BYTES, headerLength);
    const header = parseHeader(json, size, path);
    return {
      path,
      ...header,
      readRange: (byteOffset, byteLength) => readRange(handle, path, byteOffset, byteLength),
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw asIoError('read', path, error);
  }
}

async function readRange(
  handle: FileHandle,
  path: string,
  byteOffset: number,
  byteLength: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(byteLength);
  let done = 0;
  while (done < byteLength) {
    const length = Math.min(byteLength - done, LARGEST_READ);
    const { bytesRead } = await readOnce(handle, path, bytes, done, length, byteOffset + done);
    if (bytesRead === 0) {
      throw new BookendError(
        'invalid-checkpoint',
        `${path} became shorter while it was read: ${byteLength - done} bytes are missing at ${byteOffset + done}; keep it unchanged while Bookend runs.`,
      );
    }
    done += bytesRead;
  }
  return bytes;
}

async function readOnce(
  handle: FileHandle,
  path: string,
  bytes: Uint8Array,
  at: number,
  length: number,
  position: number,
): Promise<{ bytesRead: number }> {
  try {
    return await handle.read(bytes, at, length, position);
  } catch (error) {
    throw asIoError('read', path, error);
  }
}

const STORED: Record<DType, StoredDType> = {
  f32: 'F32',
  bf16: 'BF16',
  f16: 'F16',
  s8: 'I8',
  u8: 'U8',
  s32: 'I32',
};

/**
 * Writes tensors as one safetensors file, atomically. Data is laid out by element size, largest
 * first, then by name, which keeps every tensor aligned; the header is padded to 8 bytes.
 *
 * @throws BookendError `io`; `invalid-argument` when the header would exceed what readers accept
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<readonly [string, Tensor]>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const inOrder = [...tensors].sort(
    ([nameA, a], [nameB, b]) =>
      byteSize(b.dtype) - byteSize(a.dtype) || (nameA < nameB ? -1 : nameA > nameB ? 1 : 0),
  );
  const header = encodeHeader(path, inOrder, metadata);
  await writeAtomically(path, async (handle) => {
    await writeAll(handle, header);
    for (const [, { data }] of inOrder) {
      await writeAll(handle, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    }
  });
}

function encodeHeader(
  path: string,
  tensors: readonly (readonly [string, Tensor])[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const fields: [string, unknown][] = [];
  if (Object.keys(metadata).length > 0) fields.push(['__metadata__', metadata]);
  let offset = 0;
  for (const [name, { dtype, shape, data }] of tensors) {
    const end = offset + data.byteLength;
    fields.push([name, { dtype: STORED[dtype], shape, data_offsets: [offset, end] }]);
    offset = end;
  }
  const text = `{${fields.map(([k, v]) => `${JSON.stringify(k)}:${JSON.stringify(v)}`).join(',')}}`;
  const json = Buffer.from(text);
  const length = Math.ceil(json.length / 8) * 8;
  if (length > MAX_HEADER_BYTES || new Set(tensors.map(([name]) => name)).size < tensors.length) {
    throw new BookendError(
      'invalid-argument',
      `The ${tensors.length} tensors for ${path} repeat a name or need a header of ${length} bytes; use unique names and at most ${MAX_HEADER_BYTES} bytes of header.`,
    );
  }
  const header = Buffer.alloc(LENGTH_BYTES + length, ' ');
  header.writeBigUInt64LE(BigInt(length), 0);
  json.copy(header, LENGTH_BYTES);
  return header;
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const length = Math.min(bytes.length - done, LARGEST_READ);
    done += (await handle.write(bytes, done, length)).bytesWritten;
  }
}
