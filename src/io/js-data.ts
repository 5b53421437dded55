import { BookendError } from '../core/errors.ts';

/** Nesting of the files there are is below 20. */
const MOST_LEVELS = 100;
const NUMBER = /[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?/y;
const NAME = /[A-Za-z_$][\w$]*/y;
const SPACE = /\s*/y;

/**
 * Reads the object or string that a bundled script says it exports, `….exports={…}`, as data: numbers,
 * strings, arrays and objects as minifiers write them (`!0` for true, `.5`, names without quotes).
 * Nothing is run, and anything else a script may hold is refused.
 *
 * @param origin for messages
 * @throws BookendError `invalid-checkpoint`
 */
export function readExportedData(text: string, origin: string): unknown {
  const found = /\.exports=(?=["'{])/.exec(text);
  if (!found) {
    throw new BookendError(
      'invalid-checkpoint',
      `${origin} exports no data; use the file as the package has it.`,
    );
  }
  return new DataReader(text, found.index + found[0].length, origin).value(0);
}

class DataReader {
  readonly #text: string;
  readonly #origin: string;
  #at: number;

  constructor(text: string, at: number, origin: string) {
    this.#text = text;
    this.#at = at;
    this.#origin = origin;
  }

  value(level: number): unknown {
    if (level > MOST_LEVELS) this.#refuse('nested too deeply');
    const next = this.#text[this.#at];
    if (next === '{') return this.#object(level);
    if (next === '[') return this.#array(level);
    if (next === '"' || next === "'") return this.#string();
    const number = this.#match(NUMBER);
    if (number !== undefined) return Number(number);
    for (const [word, value] of [
      ['!0', true],
      ['!1', false],
      ['null', null],
    ] as const) {
      if (!this.#text.startsWith(word, this.#at)) continue;
      this.#at += word.length;
      return value;
    }
    return this.#refuse('neither number, text, list nor object');
  }

  #object(level: number): Record<string, unknown> {
    const entries: [string, unknown][] = [];
    this.#list('}', () => {
      const isQuoted = /["']/.test(this.#text[this.#at]);
      const key = isQuoted ? this.#string() : (this.#match(NAME) ?? this.#refuse('no name'));
      this.#take(':');
      entries.push([key, this.value(level + 1)]);
    });
    // Unlike assignment, this makes an own property of any name.
    return Object.fromEntries(entries);
  }

  #array(level: number): unknown[] {
    const values: unknown[] = [];
    this.#list(']', () => values.push(this.value(level + 1)));
    return values;
  }

  /** Items between commas, from the opening bracket to the closing one. */
  #list(end: string, readItem: () => void): void {
    this.#at++;
    this.#match(SPACE);
    for (let isFirst = true; this.#text[this.#at] !== end; isFirst = false) {
      if (!isFirst) this.#take(',');
      readItem();
      this.#match(SPACE);
    }
    this.#at++;
  }

  /** Data of models needs no escapes beyond those of JSON. */
  #string(): string {
    const quote = this.#text[this.#at];
    let end = this.#at + 1;
    for (; this.#text[end] !== quote; end++) {
      if (end >= this.#text.length) this.#refuse('a text without end');
      if (this.#text[end] === '\\') end++;
    }
    const inside = this.#text.slice(this.#at + 1, end);
    this.#at = end + 1;
    if (!inside.includes('\\')) return inside;
    try {
      return JSON.parse(`"${inside}"`) as string;
    } catch {
      return this.#refuse('a text with unknown escapes');
    }
  }

  #take(expected: string): void {
    this.#match(SPACE);
    if (this.#text[this.#at] !== expected) this.#refuse(`no "${expected}"`);
    this.#at++;
    this.#match(SPACE);
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found !== undefined) this.#at += found.length;
    return found;
  }

  #refuse(what: string): never {
    throw new BookendError(
      'invalid-checkpoint',
      `${this.#origin} holds ${what} at character ${this.#at}, where data should be; use the file as the package has it.`,
    );
  }
}
