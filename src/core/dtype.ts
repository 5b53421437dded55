import { BookendError } from './errors.ts';

/** How a number is stored. What an op computes in is its precision, a separate matter. */
export type DType = 'f32' | 'bf16' | 'f16' | 's8' | 'u8' | 's32';

export type TypedArray = Float32Array | Uint16Array | Int8Array | Uint8Array | Int32Array;

const BYTES: Record<DType, number> = { f32: 4, bf16: 2, f16: 2, s8: 1, u8: 1, s32: 4 };

/** Bytes of one element. */
export function byteSize(dtype: DType): number {
  return BYTES[dtype];
}

/** Views `buffer` as elements of `dtype`; bf16 and f16 are raw 16-bit patterns. */
export function viewAs(
  dtype: DType,
  buffer: ArrayBuffer,
  byteOffset: number,
  length: number,
): TypedArray {
  switch (dtype) {
    case 'f32':
      return new Float32Array(buffer, byteOffset, length);
    case 'bf16':
    case 'f16':
      return new Uint16Array(buffer, byteOffset, length);
    case 's8':
      return new Int8Array(buffer, byteOffset, length);
    case 'u8':
      return new Uint8Array(buffer, byteOffset, length);
    case 's32':
      return new Int32Array(buffer, byteOffset, length);
  }
}

/** Zeros. */
export function allocate(dtype: DType, length: number): TypedArray {
  return viewAs(dtype, new ArrayBuffer(length * byteSize(dtype)), 0, length);
}

const scratch = new DataView(new ArrayBuffer(4));

/** Rounds to the nearest bfloat16, ties to even; NaN stays NaN (quiet). */
export function toBf16(value: number): number {
  scratch.setFloat32(0, value);
  return bf16OfBits(scratch.getUint32(0));
}

/** From the bits of a float32. */
function bf16OfBits(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

export function fromBf16(bits: number): number {
  scratch.setUint32(0, (bits & 0xffff) << 16);
  return scratch.getFloat32(0);
}

/** IEEE 754 binary16 to a number. */
export function fromF16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** A number to IEEE 754 binary16, ties to even, overflow to infinity. */
export function toF16(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (Number.isNaN(value)) return 0x7e00;
  if (magnitude >= 65520) return sign | 0x7c00;
  if (magnitude < 2 ** -14) return sign | roundHalfEven(magnitude * 2 ** 24);
  const exponent = Math.floor(Math.log2(magnitude));
  const mantissa = roundHalfEven((magnitude / 2 ** exponent) * 1024);
  return sign | ((exponent + 14) * 1024 + mantissa);
}

/** To the nearest whole number, ties to the even one; `value` is not negative. */
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** Decodes any stored element type to float32. */
export function toFloat32Array(dtype: DType, data: TypedArray): Float32Array {
  if (dtype === 'f32') return data as Float32Array;
  const out = new Float32Array(data.length);
  if (dtype === 'bf16') {
    const words = new Uint32Array(out.buffer);
    for (let i = 0; i < words.length; i++) words[i] = data[i] << 16;
    return out;
  }
  const decode = dtype === 'f16' ? fromF16 : (x: number) => x;
  for (let i = 0; i < out.length; i++) out[i] = decode(data[i]);
  return out;
}

/** Encodes numbers as a floating storage type. */
export function encodeFloats(dtype: DType, values: ArrayLike<number>): TypedArray {
  if (dtype === 'f32') return Float32Array.from(values);
  if (dtype !== 'bf16' && dtype !== 'f16') {
    throw new BookendError(
      'invalid-argument',
      `Cannot encode floating-point values as ${dtype}; use f32, bf16 or f16.`,
    );
  }
  if (dtype === 'f16') return Uint16Array.from(values, toF16);
  const out = new Uint16Array(values.length);
  const words = new Uint32Array(Float32Array.from(values).buffer);
  for (let i = 0; i < out.length; i++) out[i] = bf16OfBits(words[i]);
  return out;
}
