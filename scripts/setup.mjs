// Brings a clean clone to the point where the sources run: dependencies, then the native addon.
// Plain JavaScript for the Node 20 that may be all there is; everything after it runs on the
// newer Node that is one of the dependencies.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

function run(command, args) {
  const result = spawnSync(command, args, {
    cwd: root,
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
  });
  if (result.status !== 0) process.exit(result.status ?? 1);
}

// npm writes the hidden lock file at the end of a complete install.
function dependenciesAreCurrent() {
  const installed = join(root, 'node_modules', '.package-lock.json');
  const wanted = join(root, 'package-lock.json');
  if (!existsSync(installed) || statSync(installed).mtimeMs < statSync(wanted).mtimeMs) return false;
  return readFileSync(installed).length > 0;
}

const buildNative = join(root, 'scripts', 'build-native.mjs');
if (!dependenciesAreCurrent()) {
  // Before npm, which would bury the sentence about a missing compiler in lines of its own.
  run(process.execPath, [buildNative, '--check']);
  run('npm', ['ci', '--no-audit', '--no-fund']);
}
run(process.execPath, [buildNative]);
