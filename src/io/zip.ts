import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import { inflateRaw } from 'node:zlib';
import { BookendError } from '../core/errors.ts';
import { crc32 } from './crc32.ts';
import { readWhole } from './read-file.ts';

/** A small ZIP file (PKWARE's APPNOTE.TXT 6.3.10), whose directory has been checked. */
export interface ZipFile {
  readonly path: string;
  readonly names: readonly string[];
  /**
   * The content of an entry, whose length and checksum are those that the directory gives.
   *
   * @throws BookendError `invalid-checkpoint`; `unsupported` for encryption and other compression
   *   than Deflate
   */
  read(name: string): Promise<Buffer>;
}

interface Entry {
  readonly name: string;
  readonly flags: number;
  readonly method: number;
  readonly checksum: number;
  readonly compressedSize: number;
  readonly size: number;
  /** Of the entry's own header. */
  readonly offset: number;
}

const MAX_FILE_BYTES = 2 ** 29;
const MAX_ENTRIES = 1000;
const MAX_ENTRY_BYTES = 2 ** 29;
const [END, DIRECTORY, LOCAL] = [
  { signature: 0x06054b50, bytes: 22 },
  { signature: 0x02014b50, bytes: 46 },
  { signature: 0x04034b50, bytes: 30 },
];
const MAX_COMMENT = 0xffff;
/** What stands in place of a number that only the 64-bit form can hold. */
const IN_ZIP64 = 0xffffffff;
const [STORED, DEFLATED] = [0, 8];
const CHECKED_AT_ONCE = 2 ** 20;

const inflate = promisify(inflateRaw);

/**
 * Reads a ZIP file of at most 512 MB into memory and checks what its directory says: nothing lies
 * outside of the file, and no entries share a name or bytes.
 *
 * @throws BookendError `not-found`, `io`, `invalid-checkpoint`, `unsupported` for the 64-bit form
 */
export async function openZip(path: string): Promise<ZipFile> {
  const bytes = await readWhole(path, MAX_FILE_BYTES, 'invalid-checkpoint');
  const { entries, start } = readDirectory(bytes, path);
  const data = new Map(entries.map((entry) => [entry.name, locateData(bytes, entry, start, path)]));
  requireApart(entries, data, path);
  return {
    path,
    names: entries.map(({ name }) => name),
    read: async (name) => {
      const entry = entries.find((candidate) => candidate.name === name);
      if (!entry) throw damaged(path, `has no entry ${quote(name)}`);
      const { begin, end } = data.get(name)!;
      return unpack(entry, bytes.subarray(begin, end), path);
    },
  };
}

function readDirectory(bytes: Buffer, path: string): { entries: Entry[]; start: number } {
  const end = findEnd(bytes, path);
  const count = bytes.readUInt16LE(end + 10);
  const [size, start] = [bytes.readUInt32LE(end + 12), bytes.readUInt32LE(end + 16)];
  if (size === IN_ZIP64 || start === IN_ZIP64) throw inZip64(path);
  const isWhole = bytes.readUInt32LE(end + 4) === 0 && bytes.readUInt16LE(end + 8) === count;
  if (!isWhole || count > MAX_ENTRIES || start + size !== end) {
    throw damaged(path, `ends with a directory of ${count} entries that does not fit`);
  }
  const entries: Entry[] = [];
  let at = start;
  for (let i = 0; i < count; i++) {
    if (at + DIRECTORY.bytes > end || bytes.readUInt32LE(at) !== DIRECTORY.signature) {
      throw damaged(path, `has no entry ${i} in its directory`);
    }
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((offset) =>
      bytes.readUInt16LE(at + offset),
    );
    const next = at + DIRECTORY.bytes + nameLength + extraLength + commentLength;
    if (next > end) throw damaged(path, `has an entry ${i} that leaves its directory`);
    entries.push({
      name: bytes.toString('utf8', at + DIRECTORY.bytes, at + DIRECTORY.bytes + nameLength),
      ...{ flags: bytes.readUInt16LE(at + 8), method: bytes.readUInt16LE(at + 10) },
      checksum: bytes.readUInt32LE(at + 16),
      compressedSize: bytes.readUInt32LE(at + 20),
      size: bytes.readUInt32LE(at + 24),
      offset: bytes.readUInt32LE(at + 42),
    });
    at = next;
  }
  if (at !== end) throw damaged(path, 'has more in its directory than its entries');
  return { entries, start };
}

/** Where the record at the end begins, whose comment reaches to the end of the file. */
function findEnd(bytes: Buffer, path: string): number {
  const last = bytes.length - END.bytes;
  for (let at = last; at >= Math.max(0, last - MAX_COMMENT); at--) {
    const isEnd = bytes.readUInt32LE(at) === END.signature;
    if (isEnd && at + END.bytes + bytes.readUInt16LE(at + 20) === bytes.length) return at;
  }
  throw damaged(path, 'does not end as such a file does');
}

interface Span {
  readonly begin: number;
  readonly end: number;
}

/** The packed bytes, which lie between the entry's own header and the directory. */
function locateData(bytes: Buffer, entry: Entry, directory: number, path: string): Span {
  const { offset, compressedSize, size, name } = entry;
  if ([offset, compressedSize, size].includes(IN_ZIP64)) throw inZip64(path);
  const header = offset + LOCAL.bytes;
  if (header > directory || bytes.readUInt32LE(offset) !== LOCAL.signature) {
    throw damaged(path, `has no header of ${quote(name)} at byte ${offset}`);
  }
  const begin = header + bytes.readUInt16LE(offset + 26) + bytes.readUInt16LE(offset + 28);
  if (begin + compressedSize > directory) {
    throw damaged(path, `ends before the ${compressedSize} bytes of ${quote(name)}`);
  }
  return { begin, end: begin + compressedSize };
}

function requireApart(
  entries: readonly Entry[],
  data: ReadonlyMap<string, Span>,
  path: string,
): void {
  if (data.size < entries.length) throw damaged(path, 'has two entries of one name');
  let before = 0;
  for (const { name, offset } of [...entries].sort((a, b) => a.offset - b.offset)) {
    if (offset < before) throw damaged(path, `has ${quote(name)} inside of another entry`);
    before = data.get(name)!.end;
  }
}

async function unpack(entry: Entry, data: Buffer, path: string): Promise<Buffer> {
  const { name, flags, method, size, checksum } = entry;
  if ((flags & 1) !== 0 || (method !== STORED && method !== DEFLATED)) {
    throw new BookendError(
      'unsupported',
      `${path} has ${quote(name)} encrypted or compressed by method ${method}; store or deflate it.`,
    );
  }
  if (size > MAX_ENTRY_BYTES) throw damaged(path, `has ${size} bytes in ${quote(name)}`);
  const content = method === STORED ? data : await inflated(data, size, name, path);
  if (content.length !== size || (await checksumOf(content)) !== checksum) {
    throw damaged(path, `has other bytes in ${quote(name)} than its directory says`);
  }
  return content;
}

async function inflated(data: Buffer, size: number, name: string, path: string): Promise<Buffer> {
  try {
    // One byte more, for what is longer than the directory says.
    return await inflate(data, { maxOutputLength: size + 1 });
  } catch (error) {
    throw damaged(path, `has ${quote(name)} damaged or longer than its directory says`, error);
  }
}

async function checksumOf(content: Buffer): Promise<number> {
  let checksum = 0;
  for (let at = 0; at < content.length; at += CHECKED_AT_ONCE) {
    checksum = crc32(content.subarray(at, at + CHECKED_AT_ONCE), checksum);
    await setImmediate();
  }
  return checksum;
}

/** Names come from the file: shown escaped and shortened. */
function quote(name: string): string {
  return JSON.stringify(name.slice(0, 100));
}

function inZip64(path: string): BookendError {
  return new BookendError(
    'unsupported',
    `${path} is a ZIP file in the form for more than 4 GB, of which Bookend reads none; make a smaller one.`,
  );
}

function damaged(path: string, fault: string, cause?: unknown): BookendError {
  return new BookendError(
    'invalid-checkpoint',
    `${path} is no sound ZIP file: it ${fault}; fetch or make it again.`,
    { cause },
  );
}
