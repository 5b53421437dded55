import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LENGTH_BYTES, parseHeader, parseHeaderLength } from './safetensors-header.ts';

const entry = (dtype: string, shape: unknown, offsets: unknown) =>
  JSON.stringify({ dtype, shape, data_offsets: offsets });

function parse(json: string, dataBytes: number) {
  const bytes = Buffer.from(json);
  return parseHeader(bytes, LENGTH_BYTES + bytes.length + dataBytes, 'x.safetensors');
}

function rejects(json: string, dataBytes: number, fault: RegExp) {
  assert.throws(() => parse(json, dataBytes), {
    name: 'BookendError',
    code: 'invalid-checkpoint',
    message: fault,
  });
}

test('entries get offsets from the start of the file, in any order of the header', () => {
  const json = `{"__metadata__":{"format":"pt"},"b":${entry('BF16', [2, 3], [4, 16])},"a":${entry('F32', [], [0, 4])}}  `;
  const { entries, metadata } = parse(json, 16);
  const start = LENGTH_BYTES + json.length;
  assert.deepEqual(metadata, { format: 'pt' });
  assert.deepEqual(entries.get('a'), {
    dtype: 'F32',
    shape: [],
    byteOffset: start,
    byteLength: 4,
  });
  assert.deepEqual(entries.get('b'), {
    dtype: 'BF16',
    shape: [2, 3],
    byteOffset: start + 4,
    byteLength: 12,
  });
});

test('empty tensors and empty files are sound', () => {
  assert.equal(parse('{}', 0).entries.size, 0);
  const json = `{"a":${entry('F32', [0, 5], [4, 4])},"b":${entry('F32', [1], [0, 4])}}`;
  assert.deepEqual(parse(json, 4).entries.get('a')?.shape, [0, 5]);
});

test('a tensor may be called __proto__', () => {
  assert.equal(parse(`{"__proto__":${entry('U8', [1], [0, 1])}}`, 1).entries.size, 1);
});

test('text that is not a strict JSON object is refused', () => {
  rejects(' {}', 0, /does not start with/);
  rejects('[]', 0, /does not start with/);
  rejects('{"a":', 0, /not JSON/);
  rejects('{"a"', 0, /not JSON/);
  rejects('{"a\\', 0, /not JSON/);
  assert.throws(() => parseHeader(Buffer.from([0x7b, 0x22, 0xff, 0x22]), 12, 'x'), /UTF-8/);
  rejects(`{"a":${'['.repeat(1_000_000)}`, 0, /nested more than/);
});

test('duplicate keys are refused at any level, however they are written', () => {
  const a = entry('U8', [1], [0, 1]);
  rejects(`{"a":${a},"a":${a}}`, 1, /names "a" twice/);
  rejects(`{"a":${a},"\\u0061":${a}}`, 1, /names "a" twice/);
  rejects('{"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}}', 1, /"dtype" twice/);
});

test('equal strings that are not keys of one object are no duplicates', () => {
  const json =
    '{"__metadata__":{"a":"a","b":"a,{\\"a\\":"},"U8":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}';
  assert.equal(parse(json, 1).entries.size, 1);
});

test('overlaps, gaps and data that does not end with the file are refused', () => {
  const a = entry('U8', [4], [0, 4]);
  rejects(`{"a":${a},"b":${entry('U8', [4], [2, 6])}}`, 6, /"b" overlaps/);
  rejects(`{"a":${a},"b":${entry('U8', [1], [5, 6])}}`, 6, /"b" leaves a gap/);
  rejects(`{"a":${entry('U8', [3], [1, 4])}}`, 4, /"a" leaves a gap/);
  rejects(`{"a":${a}}`, 5, /end at byte/);
  rejects(`{"a":${a}}`, 3, /end at byte/);
});

test('shapes must fill their bytes, also when the product overflows', () => {
  rejects(`{"a":${entry('F32', [3], [0, 4])}}`, 4, /needs 12 bytes, but its data_offsets span 4/);
  rejects(`{"a":${entry('F32', [2 ** 32, 2 ** 32], [0, 0])}}`, 0, /data_offsets span 0/);
  rejects(`{"a":${entry('U8', Array(40).fill(2 ** 52), [0, 0])}}`, 0, /needs Infinity/);
});

test('malformed entries are refused', () => {
  rejects(`{"a":${entry('F33', [1], [0, 4])}}`, 4, /unknown dtype "F33"/);
  rejects(`{"a":${entry('constructor', [1], [0, 4])}}`, 4, /unknown dtype/);
  rejects(`{"a":${entry('F32', [-1], [0, 4])}}`, 4, /whole numbers/);
  rejects(`{"a":${entry('F32', [0.5], [0, 4])}}`, 4, /whole numbers/);
  rejects(`{"a":${entry('F32', '1', [0, 4])}}`, 4, /whole numbers/);
  rejects(`{"a":${entry('F32', [1], [4, 0])}}`, 4, /\[begin, end\]/);
  rejects(`{"a":${entry('F32', [1], [0, 4, 8])}}`, 4, /\[begin, end\]/);
  rejects('{"a":null}', 0, /not an object/);
  rejects('{"__metadata__":{"a":1}}', 0, /not a table of strings/);
});

test('a header length beyond the limit or the file is refused before anything is reserved', () => {
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(2n ** 63n);
  assert.throws(() => parseHeaderLength(prefix, 2 ** 40, 'x'), /more than the 100000000 allowed/);
  prefix.writeBigUInt64LE(100n);
  assert.throws(() => parseHeaderLength(prefix, 107, 'x'), /the file ends after 107/);
  assert.equal(parseHeaderLength(prefix, 108, 'x'), 100);
  assert.throws(() => parseHeaderLength(prefix.subarray(0, 7), 7, 'x'), /fewer than the 8/);
});
