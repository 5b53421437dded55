import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openZip } from './zip.ts';

const scratch = mkdtempSync(join(tmpdir(), 'bookend-zip-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

/** NumPy's, by Python's zipfile. */
const ARCHIVES = join(import.meta.dirname, '../../test/golden/metrics');
const stored = readFileSync(join(ARCHIVES, 'statistics-stored.npz'));
const deflated = readFileSync(join(ARCHIVES, 'statistics-deflated.npz'));
const END = 22;
const ENTRY = 46;

async function readAll(bytes: Uint8Array): Promise<Map<string, Buffer>> {
  const path = join(scratch, 'file.zip');
  writeFileSync(path, bytes);
  const zip = await openZip(path);
  const contents = new Map<string, Buffer>();
  for (const name of zip.names) contents.set(name, await zip.read(name));
  return contents;
}

/** A copy in which `change` has put something else. */
function changed(bytes: Buffer, change: (copy: Buffer, directory: number) => void): Buffer {
  const copy = Buffer.from(bytes);
  change(copy, copy.readUInt32LE(copy.length - END + 16));
  return copy;
}

test('entries are read whether they are deflated or not', async () => {
  const [plain, packed] = [await readAll(stored), await readAll(deflated)];
  assert.deepEqual([...plain.keys()], ['mu.npy', 'sigma.npy']);
  assert.deepEqual(packed, plain);
  assert.equal(plain.get('mu.npy')?.length, 128 + 24 * 8);
});

test('a comment at the end is no matter, and an empty file is one', async () => {
  const comment = Buffer.from('made by PK\x05\x06 itself');
  const bytes = Buffer.concat([stored, comment]);
  bytes.writeUInt16LE(comment.length, stored.length - 2);
  assert.equal((await readAll(bytes)).size, 2);
  const empty = Buffer.alloc(END);
  empty.writeUInt32LE(0x06054b50);
  assert.equal((await readAll(empty)).size, 0);
});

test('what does not fit is refused', async () => {
  const second = (copy: Buffer, directory: number) =>
    directory + ENTRY + copy.readUInt16LE(directory + 28);
  const cases: [Buffer, RegExp][] = [
    [stored.subarray(0, stored.length - 1), /does not end as/],
    [Buffer.concat([Buffer.from('x'), stored]), /directory of 2 entries that does not fit/],
    [changed(stored, (copy) => copy.writeUInt16LE(3, copy.length - END + 10)), /does not fit/],
    [changed(stored, (copy, at) => copy.writeUInt16LE(9999, at + 30)), /leaves its directory/],
    [changed(stored, (copy, at) => copy.writeUInt32LE(1, at + 42)), /no header of "mu\.npy"/],
    [changed(stored, (copy, at) => copy.writeUInt32LE(0, second(copy, at) + 42)), /inside of/],
    [changed(stored, (copy, at) => copy.writeUInt32LE(99_999, at + 20)), /ends before/],
    [changed(stored, (copy, at) => copy.writeUInt32LE(321, at + 24)), /other bytes in "mu/],
    [changed(stored, (copy) => copy.writeUInt8(copy[200] ^ 1, 200)), /other bytes in "mu/],
    [changed(deflated, (copy, at) => copy.writeUInt32LE(7, at + 24)), /longer than/],
    [changed(deflated, (copy, at) => copy.writeUInt32LE(2 ** 30, at + 24)), /1073741824 bytes/],
    [changed(deflated, (copy) => copy.fill(0xff, 60, 70)), /damaged/],
  ];
  for (const [bytes, message] of cases) {
    await assert.rejects(readAll(bytes), { code: 'invalid-checkpoint', message });
  }
});

test('names that repeat, encryption, other compression and 64 bits are refused', async () => {
  const directory = stored.readUInt32LE(stored.length - END + 16);
  const first = stored.subarray(directory, directory + ENTRY + 'mu.npy'.length);
  const end = Buffer.from(stored.subarray(stored.length - END));
  end.writeUInt32LE(2 * first.length, 12);
  const twice = Buffer.concat([stored.subarray(0, directory), first, first, end]);
  await assert.rejects(readAll(twice), { code: 'invalid-checkpoint', message: /of one name/ });
  const cases: [(copy: Buffer, at: number) => void, RegExp][] = [
    [(copy, at) => copy.writeUInt16LE(1, at + 8), /encrypted/],
    [(copy, at) => copy.writeUInt16LE(14, at + 10), /method 14/],
    [(copy, at) => copy.writeUInt32LE(0xffffffff, at + 24), /4 GB/],
    [(copy) => copy.writeUInt32LE(0xffffffff, copy.length - END + 16), /4 GB/],
  ];
  for (const [change, message] of cases) {
    await assert.rejects(readAll(changed(stored, change)), { code: 'unsupported', message });
  }
});

test('no part of a file and no changed byte ends in anything but an error of ours', async () => {
  for (let at = 0; at < deflated.length; at += 5) {
    const bytes = Buffer.from(deflated);
    bytes[at] ^= 0x55;
    for (const input of [bytes, deflated.subarray(0, at)]) {
      await readAll(input).catch((error) => {
        assert.match(error.code, /^(invalid-checkpoint|unsupported)$/, `${at}: ${error}`);
      });
    }
  }
});
