import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { BookendError } from '../../src/core/errors.ts';
import type { Contender, Peer } from './contender.ts';
import { note } from './measure.ts';

/** What peer.py imports: to export the model, and to run it. */
const PACKAGES: Readonly<Record<Peer, readonly string[]>> = {
  bookend: [],
  pytorch: ['numpy', 'torch', 'diffusers'],
  'pytorch-compile': ['numpy', 'torch', 'diffusers'],
  openvino: ['numpy', 'torch', 'diffusers', 'openvino'],
  onnxruntime: ['numpy', 'torch', 'diffusers', 'onnx', 'onnxscript', 'onnxruntime'],
};

/** What quantizes a peer's model, where its own package does not. */
const QUANTIZERS: Partial<Readonly<Record<Peer, readonly string[]>>> = { openvino: ['nncf'] };

/**
 * Models, as `peer.py export` names them, that a contender runs or that are made into the one it
 * runs, in this order; none where it runs the PyTorch module.
 */
export function modelsOf({ peer, precision }: Contender): readonly string[] {
  if (peer !== 'openvino' && peer !== 'onnxruntime') return [];
  return precision === 'int8' ? [peer, `${peer}-int8`] : [peer];
}

const PROBE = `
import importlib.util, sys
for name in sys.argv[1:]:
    if importlib.util.find_spec(name) is None:
        print(name)
`;

export function pythonCommand(): string {
  return process.env.BOOKEND_PYTHON || 'python3';
}

/** Why a contender cannot run here and what to do about it, or undefined when it can. */
export async function whyUnavailable(
  { peer, precision }: Contender,
  python: string,
): Promise<string | undefined> {
  const packages = [...PACKAGES[peer], ...((precision === 'int8' && QUANTIZERS[peer]) || [])];
  if (packages.length === 0) return undefined;
  let missing: string[];
  try {
    const { stdout } = await promisify(execFile)(python, ['-c', PROBE, ...packages]);
    missing = stdout.split('\n').filter((line) => line !== '');
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    return `${python} does not start (${detail.split('\n')[0]}); install Python 3 or set BOOKEND_PYTHON.`;
  }
  if (missing.length === 0) return undefined;
  return `${python} lacks ${missing.join(', ')}; run ${python} -m pip install ${missing.join(' ')}`;
}

/** Writes a model below `folder`, unless it is there from before. */
export async function exportModel(
  model: string,
  { python, requestFile, folder }: { python: string; requestFile: string; folder: string },
): Promise<void> {
  if (existsSync(join(folder, model))) return;
  note(`exporting ${model}`);
  const script = join(import.meta.dirname, 'peer.py');
  const args = [script, 'export', model, requestFile, folder];
  const child = spawn(python, args, { stdio: ['ignore', process.stderr, process.stderr] });
  const status = await new Promise<string>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(String(signal ?? code)));
  });
  if (status === '0') return;
  throw new BookendError(
    'io',
    `Exporting the model ${model} ended with ${status}; see its messages above.`,
  );
}
