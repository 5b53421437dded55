import { execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';
import { BookendError } from '../../src/core/errors.ts';

/** Prints those of the packages named that are missing, one a line. */
const PROBE = `
import importlib.util, sys
for name in sys.argv[1:]:
    if importlib.util.find_spec(name) is None:
        print(name)
`;

/**
 * The Python interpreter with `packages`: BOOKEND_PYTHON, or else python3.
 *
 * @throws BookendError `not-found` naming the interpreter or the packages that are missing
 */
export async function findPython(packages: readonly string[]): Promise<string> {
  const python = process.env.BOOKEND_PYTHON || 'python3';
  const missing = await probe(python, packages);
  if (missing.length === 0) return python;
  throw new BookendError(
    'not-found',
    `${python} lacks ${missing.join(', ')}; run ${python} -m pip install ${missing.join(' ')}, or set BOOKEND_PYTHON to an interpreter that has them.`,
  );
}

async function probe(python: string, packages: readonly string[]): Promise<string[]> {
  try {
    const { stdout } = await promisify(execFile)(python, ['-c', PROBE, ...packages]);
    return stdout.split('\n').filter((line) => line !== '');
  } catch (cause) {
    throw new BookendError(
      'not-found',
      `${python} does not start; install Python 3 or set BOOKEND_PYTHON to an interpreter with ${packages.join(', ')}.`,
      { cause },
    );
  }
}

/** Runs a Python script; what it prints goes to stderr. Throws `io` when it fails. */
export async function runPython(python: string, args: readonly string[]): Promise<void> {
  const child = spawn(python, args, { stdio: ['ignore', process.stderr, process.stderr] });
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>(
    (resolve, reject) => {
      child.on('error', reject);
      child.on('close', (...result) => resolve(result));
    },
  );
  if (code === 0) return;
  const how = code === null ? `was ended by ${signal}` : `failed with exit status ${code}`;
  throw new BookendError('io', `${args[0]} ${how}; see its messages above.`);
}
