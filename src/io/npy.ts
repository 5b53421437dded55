import { BookendError } from '../core/errors.ts';
import type { Shape } from '../core/shape.ts';

/** An array of NumPy, row by row. */
export interface NpyArray {
  readonly shape: Shape;
  readonly data: Float64Array;
}

const MAGIC = Buffer.from('\x93NUMPY', 'latin1');
const DESCR = /'descr':\s*'([^']{1,20})'/;
const FORTRAN = /'fortran_order':\s*(True|False)\b/;
const SHAPE = /'shape':\s*\(([\d,\s]*)\)/;
const BYTES: Readonly<Record<string, number>> = { '<f8': 8, '<f4': 4 };

/**
 * Reads a .npy file (NumPy Enhancement Proposal 1, versions 1 to 3 of the format) of floats. Its header
 * is a Python expression, of which only the form that NumPy writes is read; arrays of objects are
 * pickles and are refused.
 *
 * @param name for messages
 * @throws BookendError `invalid-checkpoint`; `unsupported` for other types than float64 and float32 in
 *   little-endian order, and for matrices column by column
 */
export function parseNpy(bytes: Buffer, name: string): NpyArray {
  const { header, start } = splitHeader(bytes, name);
  const descr = DESCR.exec(header)?.[1];
  const order = FORTRAN.exec(header)?.[1];
  const extents = SHAPE.exec(header)?.[1];
  if (descr === undefined || order === undefined || extents === undefined) {
    throw damaged(name, 'its header is not as NumPy writes it');
  }
  const shape = extents.split(',').flatMap((text) => (text.trim() === '' ? [] : [Number(text)]));
  const elementBytes = BYTES[descr];
  if (elementBytes === undefined) throw unsupported(name, descr);
  if (order === 'True' && shape.length > 1) {
    throw new BookendError(
      'unsupported',
      `${name} is stored column by column; save it again after numpy.ascontiguousarray.`,
    );
  }
  const count = shape.reduce((product, extent) => product * extent, 1);
  if (!Number.isSafeInteger(count) || start + count * elementBytes !== bytes.length) {
    throw damaged(
      name,
      `${bytes.length - start} bytes do not make its shape (${shape.join(', ')})`,
    );
  }
  // A buffer of its own, which starts where elements may.
  const { buffer } = new Uint8Array(bytes.subarray(start));
  const data =
    elementBytes === 8 ? new Float64Array(buffer) : Float64Array.from(new Float32Array(buffer));
  return { shape, data };
}

function splitHeader(bytes: Buffer, name: string): { header: string; start: number } {
  const version = bytes[MAGIC.length];
  const lengthBytes = version === 1 ? 2 : 4;
  const begin = MAGIC.length + 2 + lengthBytes;
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC) || bytes.length < begin || !(version <= 3)) {
    throw damaged(name, 'it does not begin as such a file does');
  }
  const length = bytes.readUIntLE(begin - lengthBytes, lengthBytes);
  if (begin + length > bytes.length) throw damaged(name, 'it ends inside its header');
  return { header: bytes.toString('latin1', begin, begin + length), start: begin + length };
}

function unsupported(name: string, descr: string): BookendError {
  const what = descr.includes('O')
    ? 'holds Python objects, which are a pickle that can run code when it is read'
    : `holds numbers of the type ${JSON.stringify(descr)}`;
  return new BookendError('unsupported', `${name} ${what}; save it as float64.`);
}

function damaged(name: string, fault: string): BookendError {
  return new BookendError(
    'invalid-checkpoint',
    `${name} is no sound .npy file: ${fault}; fetch or save it again.`,
  );
}
