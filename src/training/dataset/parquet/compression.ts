import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { BookendError } from '../../../core/errors.ts';
import { damaged, unsupported } from './byte-reader.ts';
import { unpackLz4 } from './lz4.ts';
import { unpackSnappy } from './snappy.ts';

/** In the order of the format's enumeration. */
const CODECS = ['none', 'snappy', 'gzip', 'LZO', 'brotli', 'Hadoop’s LZ4', 'zstd', 'lz4'] as const;

type Unpack = (input: Uint8Array, size: number, origin: string) => Promise<Uint8Array>;
type Limited = (input: Uint8Array, options: { maxOutputLength: number }) => Promise<Uint8Array>;

const UNPACK: Partial<Record<(typeof CODECS)[number], Unpack>> = {
  none: async (input) => input,
  snappy: async (input, size, origin) => unpackSnappy(input, size, origin),
  lz4: async (input, size, origin) => unpackLz4(input, size, origin),
  gzip: withNode(promisify(zlib.gunzip)),
  brotli: withNode(promisify(zlib.brotliDecompress)),
  // Came with Node 22.15.
  ...(zlib.zstdDecompress && { zstd: withNode(promisify(zlib.zstdDecompress)) }),
};

/**
 * Decompresses a page; no more than `size` bytes are made, whatever it holds.
 *
 * @param codec number in the format's enumeration
 * @throws BookendError `invalid-argument`, or `unsupported` for the codec
 */
export async function unpackPage(
  input: Uint8Array,
  codec: number,
  size: number,
  origin: string,
): Promise<Uint8Array> {
  const name = CODECS[codec];
  const unpack = UNPACK[name];
  if (!unpack) {
    const shown = name ?? `an unknown codec, ${codec}`;
    const newer = name === 'zstd' ? ' here; use Node 22.15 or later, or another codec' : '';
    throw unsupported(origin, `pages compressed with ${shown}${newer}`, 'snappy, gzip or none');
  }
  const output = size === 0 ? new Uint8Array() : await unpack(input, size, origin);
  if (output.length === size) return output;
  throw damaged(origin, `a page of ${size} bytes unpacks to ${output.length}`);
}

function withNode(unpack: Limited): Unpack {
  return async (input, size, origin) => {
    try {
      return await unpack(input, { maxOutputLength: size });
    } catch (error) {
      if (error instanceof BookendError || !(error instanceof Error)) throw error;
      throw damaged(origin, `a page does not unpack (${error.message.replace(/\.$/, '')})`);
    }
  };
}
