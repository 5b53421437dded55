import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readPrompts } from '../io/prompts.ts';

/** For models that bring no prompts of their own: people, places, things, light, styles of picture. */
const GENERIC_PROMPTS: readonly string[] = [
  'a portrait of an old fisherman with a grey beard, soft window light',
  'a narrow street in a mountain village at dusk, lamps just lit',
  'two children flying a red kite on a windy beach',
  'a bowl of oranges on a blue tablecloth, oil painting',
  'a glass tower reflecting clouds, seen from the pavement',
  'a sleeping tabby cat curled up on a pile of books',
  'a steam locomotive crossing a stone bridge in autumn',
  'a macro photograph of a beetle on a wet leaf',
  'the inside of a crowded greenhouse, sunbeams through mist',
  'a pencil drawing of a sailing ship in a storm',
  'a bicycle leaning against a yellow wall at noon',
  'a plate of pasta with basil on a wooden table, from above',
  'a wide desert under a sky full of stars',
  'a dancer in a white dress in mid-jump, black background',
  'an isometric drawing of a small room with a desk and a lamp',
  'a snow-covered forest with a single track of footprints',
];

const LIMIT = 100_000;

/**
 * Prompts to calibrate with: those of `file` (see `readPrompts`), else of a `prompts.txt` in the model's folder, else
 * generic ones.
 *
 * @throws BookendError as `readPrompts` does
 */
export async function calibrationPrompts(
  model: string,
  file: string | undefined,
): Promise<readonly string[]> {
  const own = join(model, 'prompts.txt');
  const path = file ?? ((await stat(own).catch(() => undefined))?.isFile() ? own : undefined);
  if (path === undefined) return GENERIC_PROMPTS;
  const entries = await readPrompts(path);
  return entries.slice(0, LIMIT).map(({ prompt }) => prompt);
}

/**
 * The prompt of sample `index`: strides through the list by about 0.62 of its length, so that any
 * number of samples is spread over all of it and more samples only add to fewer.
 */
export function promptOfSample(prompts: readonly string[], index: number): string {
  const { length } = prompts;
  let stride = Math.max(1, Math.round(length * 0.618));
  while (greatestCommonDivisor(stride, length) !== 1) stride++;
  return prompts[(index * stride) % length];
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
