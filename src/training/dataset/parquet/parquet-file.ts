import type { FileHandle } from 'node:fs/promises';
import { BookendError } from '../../../core/errors.ts';
import { asIoError } from '../../../io/io-error.ts';
import { openForReading } from '../../../io/read-file.ts';
import { damaged, unsupported } from './byte-reader.ts';
import { type Footer, readFooter } from './footer.ts';

const MAX_FOOTER_BYTES = 2 ** 27;
/** The shortest file: its mark, an empty footer, the footer's length and the mark again. */
const MIN_BYTES = 13;

/** An open Parquet file: what it says of its columns, and its bytes. */
export class ParquetFile {
  readonly path: string;
  readonly footer: Footer;
  /** Bytes from its start to its metadata. */
  readonly dataEnd: number;
  readonly #handle: FileHandle;
  readonly #changed: () => Promise<boolean>;

  private constructor(
    path: string,
    handle: FileHandle,
    dataEnd: number,
    footer: Footer,
    changed: () => Promise<boolean>,
  ) {
    this.path = path;
    this.footer = footer;
    this.dataEnd = dataEnd;
    this.#handle = handle;
    this.#changed = changed;
  }

  /**
   * Reads the metadata alone.
   *
   * @throws BookendError `not-found`, `io`; `invalid-argument` or `unsupported` for its content
   */
  static async open(path: string): Promise<ParquetFile> {
    const { handle, size } = await openForReading(path);
    try {
      const { mtimeMs } = await handle.stat();
      const changed = async () => {
        const now = await handle.stat();
        return now.size !== size || now.mtimeMs !== mtimeMs;
      };
      const { dataEnd, bytes } = await readMetadata(handle, path, size);
      return new ParquetFile(path, handle, dataEnd, readFooter(bytes, path), changed);
    } catch (error) {
      await handle.close();
      throw asIoError('read', path, error);
    }
  }

  /** @throws BookendError `io`; `invalid-argument` for a file that was written to meanwhile */
  async read(offset: number, length: number): Promise<Uint8Array> {
    try {
      if (!(await this.#changed())) return await readAt(this.#handle, this.path, offset, length);
    } catch (error) {
      throw asIoError('read', this.path, error);
    }
    throw new BookendError(
      'invalid-argument',
      `${this.path} has changed since it was opened; leave the data alone while it is in use, and start again.`,
    );
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

async function readMetadata(handle: FileHandle, path: string, size: number) {
  if (size < MIN_BYTES) throw damaged(path, `it has ${size} bytes`);
  const start = await readAt(handle, path, 0, 4);
  const end = await readAt(handle, path, size - 8, 8);
  const mark = Buffer.from(end.subarray(4)).toString('latin1');
  if (mark === 'PARE') throw unsupported(path, 'encrypted metadata', 'no encryption');
  if (mark !== 'PAR1' || Buffer.from(start).toString('latin1') !== 'PAR1') {
    throw damaged(path, 'it does not begin and end with PAR1');
  }
  const length = new DataView(end.buffer, end.byteOffset).getUint32(0, true);
  const dataEnd = size - 8 - length;
  if (dataEnd < 4 || length > MAX_FOOTER_BYTES) {
    throw damaged(path, `its metadata are said to have ${length} bytes`);
  }
  return { dataEnd, bytes: await readAt(handle, path, dataEnd, length) };
}

async function readAt(
  handle: FileHandle,
  path: string,
  position: number,
  length: number,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await handle.read(bytes, done, length - done, position + done);
    if (bytesRead === 0) throw damaged(path, `it ends ${length - done} bytes too early`);
    done += bytesRead;
  }
  return bytes;
}
