import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { arch, platform } from 'node:process';
import { fileURLToPath } from 'node:url';
import { BookendError } from '../../core/errors.ts';
import type { NativeAddon } from './addon.ts';
import { asBookendError } from './native-errors.ts';

let loaded: NativeAddon | undefined;

/**
 * The native addon: the one built here, else the one that came with the package for this platform.
 *
 * @throws BookendError `native` when there is none, or when it does not load
 */
export function loadAddon(): NativeAddon {
  loaded ??= load();
  return loaded;
}

function load(): NativeAddon {
  const root = packageRoot();
  const candidates = [
    join(root, 'build', 'Release', 'bookend.node'),
    join(root, 'prebuilds', `${platform}-${arch}`, 'bookend.node'),
  ];
  const path = candidates.find((candidate) => existsSync(candidate));
  if (!path) {
    throw new BookendError(
      'native',
      `The native kernels for ${platform}-${arch} are not in ${root}; build them there with: node scripts/build-native.mjs`,
    );
  }
  try {
    return createRequire(import.meta.url)(path);
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw new BookendError(
      'native',
      `${path} does not load (${reason}); build it again with: node scripts/build-native.mjs`,
      { cause: error },
    );
  }
}

/** The nearest folder above this file with a package.json: sources and builds lie at other depths. */
function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json')) && dirname(folder) !== folder) {
    folder = dirname(folder);
  }
  return folder;
}

/** Calls into the addon; what it throws becomes a BookendError. */
export function callAddon<T>(call: (addon: NativeAddon) => T): T {
  const addon = loadAddon();
  try {
    return call(addon);
  } catch (error) {
    throw asBookendError(error);
  }
}
