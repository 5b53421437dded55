import assert from 'node:assert/strict';
import { test } from 'node:test';
import zlib from 'node:zlib';
import { crc32 } from './crc32.ts';

test('the checksum is that of zlib', () => {
  const bytes = Uint8Array.from({ length: 1000 }, (_, i) => (i * i + 31 * i) & 0xff);
  for (const length of [0, 1, 2, 3, 255, 256, 1000]) {
    const part = bytes.subarray(0, length);
    assert.equal(crc32(part), zlib.crc32(part));
  }
  // The check value of CRC-32/ISO-HDLC.
  assert.equal(crc32(Buffer.from('123456789')), 0xcbf43926);
});
