import assert from 'node:assert/strict';
import { test } from 'node:test';
import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { ByteReader } from './byte-reader.ts';
import { unpackPage } from './compression.ts';
import { readDeltaLengths, readDeltaStrings } from './delta.ts';
import { readFooter } from './footer.ts';
import { readHybrid } from './levels.ts';
import { unpackLz4 } from './lz4.ts';
import { unpackSnappy } from './snappy.ts';
import { readThrift } from './thrift.ts';

const reader = (...bytes: number[]) => new ByteReader(Uint8Array.from(bytes), 'x.parquet');
const damage = (what: RegExp) => ({
  code: 'invalid-argument',
  message: new RegExp(`^x\\.parquet is not a sound Parquet file: .*${what.source}`),
});

test('structures are read as the compact protocol has them', () => {
  const bytes = [
    ...[0x15, 0x07, 0x16, 0x80, 0x01], // 1: i32 -4; 2: i64 64
    ...[0x11, 0x12], // 3: true; 4: false
    ...[0x18, 0x02, 0x68, 0x69], // 5: "hi"
    ...[0x1c, 0x15, 0x02, 0x00], // 6: { 1: 1 }
    ...[0x19, 0x28, 0x01, 0x61, 0x00], // 7: ["a", ""]
    ...[0x09, 0xc8, 0x01, 0x1c, 0x15, 0x0a, 0x00], // 100: [{ 1: 5 }]
    ...[0x17, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x13, 0x85], // 101: 1.0; 102: i8 -123
    ...[0x19, 0x21, 0x01, 0x02], // 103: [true, false]
    0x00,
  ];
  const source = reader(...bytes, 0xaa);
  const found = readThrift(source);
  assert.equal(source.remaining, 1);
  assert.throws(() => found.count(1), damage(/field 1 of .* is not a whole number/));
  assert.equal(found.count(2), 64);
  assert.deepEqual([found.boolean(3), found.boolean(4)], [true, false]);
  assert.deepEqual(found.bytes(5), Uint8Array.of(0x68, 0x69));
  assert.equal(found.struct(6).count(1), 1);
  assert.deepEqual(found.texts(7), ['a', '']);
  assert.equal(found.structs(100)[0].count(1), 5);
  assert.equal(found.count(101), 1);
  assert.throws(() => found.texts(103), damage(/texts/));
  assert.throws(() => found.struct(99), damage(/field 99/));
  // Cut anywhere, it is refused.
  for (let length = 0; length < bytes.length; length++) {
    assert.throws(() => readThrift(reader(...bytes.slice(0, length))), damage(/./));
  }
});

test('hostile structures cost no more than their bytes', () => {
  const refused = (bytes: readonly number[], what: RegExp) =>
    assert.throws(() => readThrift(reader(...bytes)), damage(what));
  refused(Array(100_000).fill(0x1c), /nested too deeply/);
  refused([0x19, ...Array(100_000).fill(0x19)], /nested too deeply/);
  refused([0x16, ...Array(100_000).fill(0xff)], /more than 64 bits/);
  refused([0x19, 0xf5, 0xff, 0xff, 0xff, 0xff, 0x0f], /list of 4294967295 elements/);
  refused([0x18, 0xff, 0xff, 0xff, 0xff, 0x0f], /announces 4294967295 bytes/);
  refused([0x1b, 0x00], /unknown type 11/);
});

test('a file of a few bytes cannot have any number of rows', () => {
  // { 2: [{ 4: "root" }], 3: 0, 4: [{ 1: [], 3: 2^31 }] }
  const root = [0x48, 0x04, 0x72, 0x6f, 0x6f, 0x74, 0x00];
  const group = [0x19, 0x0c, 0x26, 0x80, 0x80, 0x80, 0x80, 0x10, 0x00];
  const bytes = Uint8Array.of(0x29, 0x1c, ...root, 0x16, 0x00, 0x19, 0x1c, ...group, 0x00);
  assert.throws(() => readFooter(bytes, 'x.parquet'), {
    code: 'unsupported',
    message: /has 2147483648 rows, which/,
  });
});

test('runs and packed bits of any width', () => {
  // The example of the format's description: 0 to 7 in three bits each.
  assert.deepEqual([...readHybrid(reader(0x03, 0x88, 0xc6, 0xfa), 3, 8)], [0, 1, 2, 3, 4, 5, 6, 7]);
  assert.deepEqual([...readHybrid(reader(0x03, 0x88, 0xc6, 0xfa), 3, 5)], [0, 1, 2, 3, 4]);
  assert.deepEqual([...readHybrid(reader(0x06, 0x09, 0x04, 0x01), 4, 5)], [9, 9, 9, 1, 1]);
  assert.deepEqual([...readHybrid(reader(0x04, 0x34, 0x12), 16, 2)], [0x1234, 0x1234]);
  assert.deepEqual([...readHybrid(reader(), 0, 3)], [0, 0, 0]);
  const wide = [0xffffffff, 0, 1, 0x80000000, 5, 6, 7, 8];
  const bytes = wide.flatMap((n) => [n, n >>> 8, n >>> 16, n >>> 24].map((byte) => byte & 0xff));
  assert.deepEqual([...readHybrid(reader(0x03, ...bytes), 32, 8)], wide);
});

test('hostile runs make no more numbers than were asked for', () => {
  const huge = [0xfe, 0xff, 0xff, 0xff, 0xff, 0x0f];
  assert.deepEqual([...readHybrid(reader(...huge, 1), 1, 4)], [1, 1, 1, 1]);
  const packed = [0xff, 0xff, 0xff, 0xff, 0xff, 0x0f];
  assert.throws(() => readHybrid(reader(...packed, 1), 1, 9), damage(/packed numbers end early/));
  assert.throws(() => readHybrid(reader(0, 0, 0, 0), 1, 3), damage(/announces 1 bytes where 0/));
  assert.throws(() => readHybrid(reader(2, 0), 33, 1), damage(/numbers of 33 bits/));
});

test('Snappy: literals of all lengths and copies, overlapping ones too', () => {
  const unpack = (size: number, ...bytes: number[]) =>
    Buffer.from(unpackSnappy(Uint8Array.from(bytes), size, 'x.parquet')).toString('latin1');
  const [a, b, c] = [0x61, 0x62, 0x63];
  assert.equal(unpack(3, 3, 8, a, b, c), 'abc');
  assert.equal(unpack(9, 9, 8, a, b, c, ((6 - 4) << 2) | 1, 3), 'abcabcabc');
  assert.equal(unpack(6, 6, 8, a, b, c, (2 << 2) | 2, 3, 0), 'abcabc');
  assert.equal(unpack(4, 4, 8, a, b, c, 3, 2, 0, 0, 0), 'abcb');
  for (const extra of [1, 2, 3, 4]) {
    const length = [61, 0, 0, 0].slice(0, extra);
    const text = 'z'.repeat(62);
    assert.equal(unpack(62, 62, (59 + extra) << 2, ...length, ...Buffer.from(text)), text);
  }
});

test('Snappy: what another reader would never come back from is refused', () => {
  const refused = (size: number, bytes: readonly number[], what: RegExp) =>
    assert.throws(() => unpackSnappy(Uint8Array.from(bytes), size, 'x.parquet'), damage(what));
  // A literal of 2^32 - 5 bytes, which as a signed number goes back to itself.
  refused(5, [5, 63 << 2, 0xfa, 0xff, 0xff, 0xff, 0, 0, 0, 0], /larger than it says/);
  refused(4, [5, 12, 1, 1, 1, 1], /two different sizes/);
  refused(3, [3, 8, 1, 1], /announces 3 bytes where 2/);
  refused(8, [8, 0, 1, 1, 2], /repeats what was not there/);
  refused(8, [8, 0, 1, 1, 0], /repeats what was not there/);
  refused(3, [3, 0, 1, 1, 1], /larger than it says/);
  refused(3, [3, 0, 1], /smaller than it says/);
});

test('LZ4: literals and copies, long ones and overlapping ones', () => {
  const unpack = (size: number, ...bytes: number[]) =>
    Buffer.from(unpackLz4(Uint8Array.from(bytes), size, 'x.parquet')).toString('latin1');
  assert.equal(unpack(3, 0x30, 0x61, 0x62, 0x63), 'abc');
  assert.equal(unpack(8, 0x22, 0x61, 0x62, 2, 0, 0), 'abababab');
  assert.equal(unpack(22, 0x1f, 0x61, 1, 0, 1, 0x10, 0x62), `${'a'.repeat(21)}b`);
  assert.equal(unpack(270, 0xf0, 255, 0, ...Array(270).fill(0x7a)), 'z'.repeat(270));
  const refused = (size: number, bytes: readonly number[], what: RegExp) =>
    assert.throws(() => unpackLz4(Uint8Array.from(bytes), size, 'x.parquet'), damage(what));
  refused(9, [0x22, 0x61, 0x62, 3, 0, 0], /repeats what was not there/);
  refused(9, [0x22, 0x61, 0x62, 0, 0, 0], /repeats what was not there/);
  refused(7, [0x22, 0x61, 0x62, 2, 0, 0], /larger than it says/);
  refused(9, [0x22, 0x61, 0x62, 2, 0, 0], /smaller than it says/);
  refused(9, [0xf0, 255, 255, 255], /announces 1 bytes where 0/);
});

test('differences: lengths, and strings that begin as the one before', () => {
  const deltas = (first: number, ...rest: number[]) => [
    // Blocks of 128 in four parts; all differences equal to the smallest need no bits.
    ...[0x80, 0x01, 0x04, rest.length + 1, first * 2],
    ...(rest.length === 0 ? [] : [0, 8, 0, 0, 0]),
    ...(rest.length === 0 ? [] : Array.from({ length: 32 }, (_, i) => rest[i] ?? 0)),
  ];
  const text = (values: readonly Uint8Array[]) => values.map((v) => Buffer.from(v).toString());
  const lengths = reader(...deltas(1, 1, 2), ...Buffer.from('abbcccc'));
  assert.deepEqual(text(readDeltaLengths(lengths, 3)), ['a', 'bb', 'cccc']);
  const strings = () => reader(...deltas(0, 2, 0), ...deltas(3, 0, 0), ...Buffer.from('abcdefghi'));
  assert.deepEqual(text(readDeltaStrings(strings(), 3, 99)), ['abc', 'abdef', 'abghi']);
  assert.throws(() => readDeltaStrings(strings(), 3, 12), damage(/more than 12 bytes/));
  const beyond = reader(...deltas(4), ...deltas(1), 0x61);
  assert.throws(() => readDeltaStrings(beyond, 1, 99), damage(/the 4 first bytes of 0/));
  const [two, three] = [reader(...deltas(1, 1), 0x61), reader(...deltas(1, 1), 0x61)];
  assert.throws(() => readDeltaLengths(two, 2), damage(/announces 2 bytes where 0/));
  assert.throws(() => readDeltaLengths(three, 3), damage(/has 2 values of 3/));
  for (const head of [
    [0x80, 0x01, 0, 1],
    [0x80, 0x01, 5, 1],
    [0xff, 0xff, 0xff, 0x7f, 1, 1],
  ]) {
    assert.throws(() => readDeltaLengths(reader(...head), 1), damage(/packs differences/));
  }
});

test('no page unpacks to more than it says', async () => {
  const gzip = await promisify(zlib.gzip)(Buffer.alloc(100_000));
  const unpacked = await unpackPage(gzip, 2, 100_000, 'x.parquet');
  assert.ok(unpacked.length === 100_000 && unpacked.every((byte) => byte === 0));
  await assert.rejects(unpackPage(gzip, 2, 99_999, 'x.parquet'), damage(/does not unpack/));
  await assert.rejects(unpackPage(gzip, 2, 100_001, 'x.parquet'), damage(/unpacks to 100000/));
  await assert.rejects(unpackPage(gzip.subarray(9), 2, 9, 'x.parquet'), damage(/not unpack/));
  assert.equal((await unpackPage(gzip, 2, 0, 'x.parquet')).length, 0);
  const codec = {
    code: 'unsupported',
    message: /LZO, which.*; write it with snappy, gzip or none/,
  };
  await assert.rejects(unpackPage(gzip, 3, 10, 'x.parquet'), codec);
  await assert.rejects(unpackPage(gzip, 99, 10, 'x.parquet'), { message: /unknown codec, 99/ });
});
