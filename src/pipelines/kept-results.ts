import { join } from 'node:path';
import { z } from 'zod';
import { BookendError } from '../core/errors.ts';
import { writeAtomically } from '../io/atomic-write.ts';
import { hashText } from '../io/file-hash.ts';
import { parseJson, readText } from '../io/json-file.ts';
import { prepareResultFolder } from './output-folder.ts';

/** Results of long work by name, which a later run takes up. */
export interface Kept<T> {
  get(name: string): T | undefined;
  /** @throws BookendError `io` */
  set(name: string, result: T): Promise<void>;
}

/** All that decides results, as JSON has it. */
export type ResultIdentity = Readonly<Record<string, unknown>>;

/**
 * Results in one file, which is replaced whole after each: a run that is killed loses at most the one
 * under way. The file's name has a hash of what the results depend on, so that results of other
 * settings lie beside one another.
 */
export class KeptResults<T> implements Kept<T> {
  readonly path: string;
  readonly #identity: ResultIdentity;
  readonly #results: Map<string, T>;

  private constructor(path: string, identity: ResultIdentity, results: Map<string, T>) {
    this.path = path;
    this.#identity = identity;
    this.#results = results;
  }

  /**
   * @param folder made if it is not there
   * @param kind of the results: the beginning of the file's name
   * @throws BookendError `io`; `invalid-checkpoint` for a file that holds something else
   */
  static async open<T>(
    folder: string,
    kind: string,
    identity: ResultIdentity,
    schema: z.ZodType<T>,
  ): Promise<KeptResults<T>> {
    await prepareResultFolder(folder);
    const key = hashText(JSON.stringify(identity)).slice(0, 12);
    const path = join(folder, `${kind}-${key}.json`);
    return new KeptResults(path, identity, await readResults(path, schema));
  }

  get(name: string): T | undefined {
    return this.#results.get(name);
  }

  async set(name: string, result: T): Promise<void> {
    this.#results.set(name, result);
    const content = { identity: this.#identity, results: [...this.#results] };
    const text = `${JSON.stringify(content)}\n`;
    await writeAtomically(this.path, (handle) => handle.writeFile(text));
  }
}

async function readResults<T>(path: string, schema: z.ZodType<T>): Promise<Map<string, T>> {
  let text: string;
  try {
    text = await readText(path);
  } catch (error) {
    if (error instanceof BookendError && error.code === 'not-found') return new Map();
    throw error;
  }
  const results = z.array(z.tuple([z.string(), schema])).max(100_000);
  const found = z.object({ results }).safeParse(parseJson(text));
  if (found.success) return new Map(found.data.results);
  const where = found.error.issues[0].path.join('.').slice(0, 100) || 'the whole';
  throw new BookendError(
    'invalid-checkpoint',
    `${path} does not hold the results of an earlier run (${where} is wrong); delete it to measure again.`,
  );
}
