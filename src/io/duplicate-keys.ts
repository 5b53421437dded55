const MAX_DEPTH = 16;

/**
 * What a strict reader must refuse in `json` although `JSON.parse` accepts it: an object that holds
 * one key twice (`JSON.parse` keeps the last without a word, so two readers of one file could see
 * different tensors under one name), and nesting far beyond any header's, which costs memory.
 *
 * Reads on to the end of text that is not JSON without complaint; that is for `JSON.parse` to say.
 *
 * @returns the fault, to follow "its header …", or undefined
 */
export function findKeyFault(json: string): string | undefined {
  // One entry per open bracket: the keys of an object, or undefined inside a list.
  const open: (Set<string> | undefined)[] = [];
  let keyExpected = false;
  for (let i = 0; i < json.length; i++) {
    switch (json[i]) {
      case '"': {
        const end = endOfString(json, i);
        const keys = open.at(-1);
        if (keys && keyExpected) {
          const key = decodeKey(json.slice(i + 1, end));
          if (keys.has(key)) return `names ${JSON.stringify(key.slice(0, 100))} twice`;
          keys.add(key);
        }
        i = end;
        break;
      }
      case '{':
      case '[':
        open.push(json[i] === '{' ? new Set() : undefined);
        keyExpected = true;
        if (open.length > MAX_DEPTH) return `is nested more than ${MAX_DEPTH} levels deep`;
        break;
      case '}':
      case ']':
        open.pop();
        break;
      case ',':
        keyExpected = true;
        break;
      case ':':
        keyExpected = false;
        break;
    }
  }
  return undefined;
}

/** Index of the quote that closes the string opened at `start`, or the end of the text. */
function endOfString(json: string, start: number): number {
  let i = start + 1;
  while (i < json.length && json[i] !== '"') i += json[i] === '\\' ? 2 : 1;
  return i;
}

/** `"\u0061"` and `"a"` are one key. A key with a broken escape stays raw: it is not JSON anyway. */
function decodeKey(raw: string): string {
  if (!raw.includes('\\')) return raw;
  try {
    return JSON.parse(`"${raw}"`) as string;
  } catch {
    return raw;
  }
}
