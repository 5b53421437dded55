import { extname } from 'node:path';
import { BookendError } from '../core/errors.ts';

const PICKLES = new Set(['.ckpt', '.bin', '.pt', '.pth', '.pkl']);

export function isPickle(path: string): boolean {
  return PICKLES.has(extname(path).toLowerCase());
}

/** @throws BookendError `unsupported` with a command that converts the file */
export function refusePickle(path: string): void {
  if (isPickle(path)) throw pickleRefusal(path);
}

/** Why PyTorch pickles are not read, though they hold weights: reading one runs code it holds. */
export function pickleRefusal(path: string): BookendError {
  const target = path.slice(0, -extname(path).length);
  return new BookendError(
    'unsupported',
    `${path} is a Python pickle, which can run code when it is read, so Bookend reads safetensors only; convert it where PyTorch is installed: python -c "import sys, torch; from safetensors.torch import save_file; d = torch.load(sys.argv[1], map_location='cpu', weights_only=True); d = d.get('state_dict', d); save_file({k: v.clone().contiguous() for k, v in d.items() if torch.is_tensor(v)}, sys.argv[2])" ${JSON.stringify(path)} ${JSON.stringify(`${target}.safetensors`)}`,
  );
}
