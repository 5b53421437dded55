import { z } from 'zod';
import { BookendError } from '../../core/errors.ts';
import { parseJson } from '../../io/json-file.ts';
import { readUtf8 } from '../../io/read-file.ts';

/** One sample: an image and what it shows. */
export interface CaptionedImage {
  /** Path relative to the data set's folder, with slashes. */
  readonly name: string;
  /** Without white space at its ends; may be empty. */
  readonly caption: string;
}

/** Whether images must have captions, or are used without. */
export type Captions = 'required' | 'ignored';

const MAX_BYTES = 256_000_000;
export const MAX_CAPTION_BYTES = 65_536;

const captionedEntry = z.object({
  file_name: z.string().min(1).max(1000),
  text: z.string().max(MAX_CAPTION_BYTES),
});
const plainEntry = captionedEntry.extend({ text: z.unknown().transform(() => '') });

/**
 * Reads a `metadata.jsonl`: one JSON object a line, with `file_name` and `text`; other fields and
 * empty lines are passed over. File names are relative to the folder that holds it.
 *
 * @param shown the path for messages
 * @throws BookendError `invalid-argument`, with the line, for anything else
 */
export async function readMetadata(
  path: string,
  shown: string,
  captions: Captions = 'required',
): Promise<CaptionedImage[]> {
  const schema = captions === 'required' ? captionedEntry : plainEntry;
  const text = await readUtf8(path, MAX_BYTES);
  const samples: CaptionedImage[] = [];
  for (const [i, line] of text
    .replace(/^\uFEFF/, '')
    .split('\n')
    .entries()) {
    if (line.trim() === '') continue;
    const found = schema.safeParse(parseJson(line));
    if (!found.success || !isPlainPath(found.data.file_name)) {
      throw new BookendError(
        'invalid-argument',
        `Line ${i + 1} of ${shown} is ${JSON.stringify(line.trim().slice(0, 120))}; it must be a JSON object with file_name, a path inside the folder${captions === 'required' ? ', and text, a caption' : ''}.`,
      );
    }
    samples.push({ name: found.data.file_name, caption: found.data.text.trim() });
  }
  return samples;
}

/** Relative, with slashes, and without a part that goes up. */
function isPlainPath(name: string): boolean {
  const parts = name.split('/');
  return !/[\\\0]|^[A-Za-z]:/.test(name) && parts.every((part) => !['', '.', '..'].includes(part));
}
