import { z } from 'zod';
import { BookendError } from '../../core/errors.ts';
import { parseJson } from '../../io/json-file.ts';
import { readPngText } from '../../io/png-text.ts';

/** Where in a PNG's text the record is. */
export const RECORD_KEYWORD = 'bookend';

const seconds = z.number().min(0);

const schema = z.object({
  /** All that decides the image but for the CPU: another value would be another image. */
  settings: z.record(z.string(), z.json()),
  /** The precision of each model evaluation, as `formatSchedule` writes it. */
  schedule: z.string(),
  /** The instruction set of the kernels. */
  isa: z.string(),
  /** Images that were drawn together, which changes none of them; 1 where it is not said. */
  batch: z.int().min(1).optional(),
  /** The image's share of what drawing them took. */
  seconds: z.object({ textEncode: seconds, denoise: seconds, decode: seconds, total: seconds }),
});

/** What an image of a set says of itself. */
export type ImageRecord = Readonly<z.infer<typeof schema>>;
export type ImageSettings = ImageRecord['settings'];

/** As PNG text. */
export function formatRecord(record: ImageRecord): string {
  return JSON.stringify(record);
}

/**
 * The record in a PNG; undefined where there is no such file.
 *
 * @throws BookendError `invalid-image` for a damaged file, `invalid-argument` for a PNG without a
 *   record, `io`
 */
export async function readRecord(path: string): Promise<ImageRecord | undefined> {
  let text: Readonly<Record<string, string>>;
  try {
    text = await readPngText(path);
  } catch (error) {
    if (error instanceof BookendError && error.code === 'not-found') return undefined;
    throw error;
  }
  const found = schema.safeParse(parseJson(text[RECORD_KEYWORD] ?? ''));
  if (found.success) return found.data;
  throw new BookendError(
    'invalid-argument',
    `${path} does not say how it was drawn, so it is no image of such a set; move it away or choose another folder.`,
  );
}

/** @throws BookendError `invalid-argument` naming the first setting that differs */
export function requireSameSettings(
  path: string,
  found: ImageSettings,
  expected: ImageSettings,
): void {
  const names = new Set([...Object.keys(expected), ...Object.keys(found)]);
  const differing = [...names].find(
    (name) => JSON.stringify(found[name]) !== JSON.stringify(expected[name]),
  );
  if (differing === undefined) return;
  const [was, is] = [found, expected].map(
    (settings) => JSON.stringify(settings[differing])?.slice(0, 120) ?? 'nothing',
  );
  throw new BookendError(
    'invalid-argument',
    `${path} was drawn with ${differing} = ${was} and this run has ${is}; choose another folder, or give the settings of the run to go on with.`,
  );
}
