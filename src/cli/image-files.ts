import { access, constants } from 'node:fs/promises';
import { dirname, extname, resolve } from 'node:path';
import { BookendError } from '../core/errors.ts';
import { refuseFolder } from '../io/atomic-write.ts';

/** Where image `index` of `count` goes: the name as given for one, numbered for several. */
export function imagePath(out: string, index: number, count: number): string {
  if (count === 1) return out;
  const extension = extname(out);
  const digits = String(count - 1).length;
  const number = String(index).padStart(digits, '0');
  return `${out.slice(0, out.length - extension.length)}-${number}${extension}`;
}

/** Fails before the long work rather than after it. @throws BookendError `invalid-argument`, `io` */
export async function requireWritable(out: string): Promise<void> {
  if (extname(out).toLowerCase() !== '.png') {
    throw new BookendError(
      'invalid-argument',
      `The output ${out} does not end in .png; images are written as PNG, so name it so.`,
    );
  }
  const folder = dirname(resolve(out));
  try {
    // With the slash, a file in the folder's place is refused too.
    await access(`${folder}/`, constants.W_OK);
  } catch (cause) {
    throw new BookendError(
      'io',
      `The folder ${folder} cannot be written to; make it, or choose another with --out.`,
      { cause },
    );
  }
  await refuseFolder(out);
}

export interface ParametersText {
  readonly prompt: string;
  readonly negativePrompt?: string;
  readonly steps: number;
  readonly scheduler: string;
  readonly guidance: number;
  readonly seed: number;
  readonly width: number;
  readonly height: number;
  readonly model: string;
  /** As `formatSchedule` writes it. */
  readonly precision: string;
  readonly strength?: number;
}

const SAMPLERS: Readonly<Record<string, string>> = {
  ddim: 'DDIM',
  ddpm: 'DDPM',
  pndm: 'PLMS',
  euler: 'Euler',
  'euler-ancestral': 'Euler a',
  'dpmpp-2m': 'DPM++ 2M',
  'dpmpp-2m-karras': 'DPM++ 2M Karras',
  unipc: 'UniPC',
  lcm: 'LCM',
};

/** A1111's way with values that hold what separates settings. */
function quoted(value: string): string {
  return value.includes(',') ? JSON.stringify(value) : value;
}

/** How the A1111 web interface records an image, for tools that read its `parameters` text. */
export function formatParameters(text: ParametersText): string {
  const settings = [
    ['Steps', text.steps],
    ['Sampler', SAMPLERS[text.scheduler] ?? text.scheduler],
    ['CFG scale', text.guidance],
    ['Seed', text.seed],
    ['Size', `${text.width}x${text.height}`],
    ['Model', text.model],
    ...(text.strength === undefined ? [] : [['Denoising strength', text.strength]]),
    ['Precision', quoted(text.precision)],
    ['Version', 'Bookend'],
  ];
  const lines = [text.prompt];
  if (text.negativePrompt) lines.push(`Negative prompt: ${text.negativePrompt}`);
  lines.push(settings.map(([name, value]) => `${name}: ${value}`).join(', '));
  return lines.join('\n');
}
