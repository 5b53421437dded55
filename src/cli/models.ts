import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The name of the model that comes with the package. */
export const EMBEDDED_MODEL = 'emoji';

/** The package's own root, whether this runs from `src/` or from `dist/`. */
export function packageRoot(): string {
  return join(dirname(fileURLToPath(import.meta.url)), '..', '..');
}

/** What package.json says. */
export function packageVersion(): string {
  return JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')).version;
}

/** A name of the command line to what `loadModel` takes; a path of that name comes first. */
export async function resolveModel(name: string): Promise<string> {
  if (name === EMBEDDED_MODEL && !existsSync(name)) {
    return join(packageRoot(), 'models', EMBEDDED_MODEL);
  }
  return name;
}
