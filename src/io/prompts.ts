import { extname } from 'node:path';
import { z } from 'zod';
import { BookendError } from '../core/errors.ts';
import { MAX_PROMPT_CHARACTERS } from './clip-tokenizer.ts';
import { parseJson } from './json-file.ts';
import { readUtf8 } from './read-file.ts';

/** What to draw. */
export interface PromptEntry {
  /** Without white space at its ends, never empty. */
  readonly prompt: string;
  /** Where the file says; a whole number from 0. */
  readonly seed?: number;
  /** Where the file says; of COCO captions, the number of the image. */
  readonly id?: string;
}

/** COCO's training captions have 92 MB. */
const MAX_BYTES = 256_000_000;

/** NUL, which no PNG can record, has no meaning in a prompt. */
const text = z
  .string()
  .max(MAX_PROMPT_CHARACTERS)
  .transform((value) => value.toWellFormed().trim())
  .refine((value) => value !== '' && !value.includes('\0'));

const identifier = z.union([z.string().max(1000), z.int()]).transform(String);

/**
 * Reads prompts from a file:
 *
 * - `.json`: captions as COCO has them, an object whose `annotations` have `image_id` and `caption`;
 *   of each image the first caption in the file, images in the order of their first captions
 * - `.jsonl`, `.ndjson`: an object on each line, with the prompt in `prompt`, `text` or `caption` (the
 *   first of these that it has) and, if wanted, `seed` and `id`
 * - any other name: a prompt on each line
 *
 * Empty lines are passed over.
 *
 * @throws BookendError `not-found`, `io`; `invalid-argument` with the line for what is none of these,
 *   and for a file without a prompt
 */
export async function readPrompts(path: string): Promise<PromptEntry[]> {
  const content = await readUtf8(path, MAX_BYTES);
  const entries = parserOf(path)(content, path);
  if (entries.length > 0) return entries;
  throw new BookendError('invalid-argument', `${path} holds no prompt; write one on each line.`);
}

function parserOf(path: string): (content: string, path: string) => PromptEntry[] {
  const extension = extname(path).toLowerCase();
  if (extension === '.json') return parseCaptions;
  return extension === '.jsonl' || extension === '.ndjson' ? parseJsonLines : parseLines;
}

function parseLines(content: string, path: string): PromptEntry[] {
  return linesOf(content).map(({ line, number }) => {
    const prompt = text.safeParse(line);
    if (prompt.success) return { prompt: prompt.data };
    throw malformed(
      path,
      number,
      line,
      `a prompt of at most ${MAX_PROMPT_CHARACTERS} characters, none of them NUL`,
    );
  });
}

const lineSchema = z
  .object({
    prompt: text.optional(),
    text: text.optional(),
    caption: text.optional(),
    seed: z.int().min(0).optional(),
    id: identifier.optional(),
  })
  .refine((line) => promptOf(line) !== undefined);

function promptOf(line: {
  readonly prompt?: string;
  readonly text?: string;
  readonly caption?: string;
}): string | undefined {
  return line.prompt ?? line.text ?? line.caption;
}

function parseJsonLines(content: string, path: string): PromptEntry[] {
  return linesOf(content).map(({ line, number }) => {
    const found = lineSchema.safeParse(parseJson(line));
    if (!found.success) {
      const expected =
        'a JSON object with a text in prompt, text or caption and, if wanted, a whole number in seed and an id';
      throw malformed(path, number, line, expected);
    }
    const { seed, id } = found.data;
    const prompt = promptOf(found.data)!;
    return { prompt, ...(seed !== undefined && { seed }), ...(id !== undefined && { id }) };
  });
}

const captionsSchema = z.object({
  annotations: z.array(z.object({ image_id: identifier, caption: text })),
});

function parseCaptions(content: string, path: string): PromptEntry[] {
  const found = captionsSchema.safeParse(parseJson(content));
  if (!found.success) {
    const where = found.error.issues[0].path.join('.') || 'the whole';
    throw new BookendError(
      'invalid-argument',
      `${path} does not hold captions as COCO has them: ${where} is wrong; give an object whose annotations have image_id and caption, or name a file of one prompt a line .txt and of one JSON object a line .jsonl.`,
    );
  }
  const first = new Map<string, PromptEntry>();
  for (const { image_id: id, caption } of found.data.annotations) {
    if (!first.has(id)) first.set(id, { prompt: caption, id });
  }
  return [...first.values()];
}

/** Lines that say something, numbered from 1. */
function linesOf(content: string): { readonly line: string; readonly number: number }[] {
  const lines = content.split('\n').map((line, i) => ({ line: line.trim(), number: i + 1 }));
  return lines.filter(({ line }) => line !== '');
}

function malformed(path: string, number: number, line: string, expected: string): BookendError {
  return new BookendError(
    'invalid-argument',
    `Line ${number} of ${path} is ${JSON.stringify(line.slice(0, 120))}; it must be ${expected}.`,
  );
}
