/** How an image was drawn. */
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
