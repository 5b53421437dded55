import assert from 'node:assert/strict';

/** A field of a message: a varint as signed 64-bit integer, or the bytes of anything else. */
export type ProtoField = bigint | Uint8Array;

/** Fields by number, in order; written after the format's description, apart from the writer. */
export type ProtoMessage = ReadonlyMap<number, readonly ProtoField[]>;

export function readMessage(bytes: Uint8Array): ProtoMessage {
  const fields = new Map<number, ProtoField[]>();
  let at = 0;
  const take = (length: number) => {
    assert.ok(at + length <= bytes.length, `a field ends behind the message, at ${at + length}`);
    at += length;
    return bytes.subarray(at - length, at);
  };
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const [byte] = take(1);
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
      assert.ok(shift < 63n, 'a varint has more than ten bytes');
    }
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const wireType = tag % 8;
    assert.ok([0, 2, 5].includes(wireType), `unexpected wire type ${wireType}`);
    const field =
      wireType === 0 ? BigInt.asIntN(64, varint()) : take(wireType === 5 ? 4 : Number(varint()));
    const number = Math.floor(tag / 8);
    fields.set(number, [...(fields.get(number) ?? []), field]);
  }
  return fields;
}

export function messagesOf(message: ProtoMessage, field: number): ProtoMessage[] {
  return bytesOf(message, field).map(readMessage);
}

export function textsOf(message: ProtoMessage, field: number): string[] {
  return bytesOf(message, field).map((bytes) => new TextDecoder().decode(bytes));
}

export function numbersOf(message: ProtoMessage, field: number): number[] {
  return (message.get(field) ?? []).map((value) => {
    assert.ok(typeof value === 'bigint', `field ${field} is no varint`);
    return Number(value);
  });
}

export function bytesOf(message: ProtoMessage, field: number): Uint8Array[] {
  return (message.get(field) ?? []).map((value) => {
    assert.ok(value instanceof Uint8Array, `field ${field} is a varint`);
    return value;
  });
}
