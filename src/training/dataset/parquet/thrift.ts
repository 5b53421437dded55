import type { ByteReader } from './byte-reader.ts';

/** Names, numbers and lists of them, as Thrift's compact protocol stores them. */
export type ThriftValue = number | boolean | Uint8Array | readonly ThriftValue[] | ThriftStruct;

const STOP = 0;
const TRUE = 1;
const FALSE = 2;
const BYTE = 3;
const INT16 = 4;
const INT32 = 5;
const INT64 = 6;
const DOUBLE = 7;
const BINARY = 8;
const LIST = 9;
const SET = 10;
const STRUCT = 12;

/** Parquet's own structures are 8 deep. */
const MAX_DEPTH = 16;

/** A structure whose fields are told apart by number; asked for a type, it has it or fails. */
export class ThriftStruct {
  readonly #fields: ReadonlyMap<number, ThriftValue>;
  readonly #fail: (what: string) => Error;

  constructor(fields: ReadonlyMap<number, ThriftValue>, fail: (what: string) => Error) {
    this.#fields = fields;
    this.#fail = fail;
  }

  has(id: number): boolean {
    return this.#fields.has(id);
  }

  /** A whole number from 0 on. */
  count(id: number): number {
    const value = this.#fields.get(id);
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
    throw this.#wrong(id, 'a whole number');
  }

  bytes(id: number): Uint8Array {
    const value = this.#fields.get(id);
    if (value instanceof Uint8Array) return value;
    throw this.#wrong(id, 'bytes');
  }

  boolean(id: number): boolean {
    const value = this.#fields.get(id);
    if (typeof value === 'boolean') return value;
    throw this.#wrong(id, 'true or false');
  }

  struct(id: number): ThriftStruct {
    const value = this.#fields.get(id);
    if (value instanceof ThriftStruct) return value;
    throw this.#wrong(id, 'a structure');
  }

  structs(id: number): ThriftStruct[] {
    return this.#list(id).map((value) => {
      if (value instanceof ThriftStruct) return value;
      throw this.#wrong(id, 'structures');
    });
  }

  /** Texts are not checked to be UTF-8: those of Parquet's structures are only compared. */
  texts(id: number): string[] {
    return this.#list(id).map((value) => {
      if (value instanceof Uint8Array) return Buffer.from(value).toString('utf8');
      throw this.#wrong(id, 'texts');
    });
  }

  #list(id: number): readonly ThriftValue[] {
    const value = this.#fields.get(id);
    if (Array.isArray(value)) return value;
    throw this.#wrong(id, 'a list');
  }

  #wrong(id: number, expected: string): Error {
    return this.#fail(`field ${id} of one of its structures is not ${expected}`);
  }
}

/**
 * Reads a structure in Thrift's compact protocol (the Thrift project's
 * thrift-compact-protocol.md); memory and time are bounded by the bytes that there are.
 *
 * @throws BookendError `invalid-argument`
 */
export function readThrift(reader: ByteReader, depth = 0): ThriftStruct {
  if (depth > MAX_DEPTH) throw reader.fail('its structures are nested too deeply');
  const fields = new Map<number, ThriftValue>();
  let id = 0;
  while (true) {
    const head = reader.byte();
    const type = head & 0x0f;
    if (type === STOP) break;
    const step = head >> 4;
    id = step === 0 ? reader.zigzag() : id + step;
    const value = type === TRUE || type === FALSE ? type === TRUE : readValue(reader, type, depth);
    fields.set(id, value);
  }
  return new ThriftStruct(fields, (what) => reader.fail(what));
}

function readValue(reader: ByteReader, type: number, depth: number): ThriftValue {
  switch (type) {
    case TRUE:
    case FALSE:
      // Of a list: there, each has a byte.
      return reader.byte() === TRUE;
    case BYTE:
      return (reader.byte() << 24) >> 24;
    case INT16:
    case INT32:
    case INT64:
      return reader.zigzag();
    case DOUBLE: {
      const { buffer, byteOffset } = reader.take(8);
      return new DataView(buffer, byteOffset, 8).getFloat64(0, true);
    }
    case BINARY:
      return reader.take(reader.varint());
    case LIST:
    case SET:
      return readList(reader, depth);
    case STRUCT:
      return readThrift(reader, depth + 1);
    default:
      throw reader.fail(`it holds a value of the unknown type ${type}`);
  }
}

function readList(reader: ByteReader, depth: number): ThriftValue[] {
  if (depth > MAX_DEPTH) throw reader.fail('its lists are nested too deeply');
  const head = reader.byte();
  const size = head >> 4 === 15 ? reader.varint() : head >> 4;
  // Every element takes a byte at least.
  if (size > reader.remaining) throw reader.fail(`it announces a list of ${size} elements`);
  const list: ThriftValue[] = [];
  for (let i = 0; i < size; i++) list.push(readValue(reader, head & 0x0f, depth + 1));
  return list;
}
