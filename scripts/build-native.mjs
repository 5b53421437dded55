// Builds the native addon with CMake, into build/Release/bookend.node. Plain JavaScript, since it
// also runs when the package is installed, on any Node that npm may be using.
//
//   node scripts/build-native.mjs                builds unless sources are older than the result
//   node scripts/build-native.mjs --if-missing   does nothing where a prebuilt addon is there
//   node scripts/build-native.mjs --check        says what a build would lack, and builds nothing

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { arch, argv, env, exit, platform, stderr } from 'node:process';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const build = join(root, 'build');
const result = join(build, 'Release', 'bookend.node');
const stampFile = join(build, 'native-sources');
const prebuilt = join(root, 'prebuilds', `${platform}-${arch}`, 'bookend.node');

// Per platform: what installs everything that is needed. winget has no single such package.
const INSTALL = {
  darwin: () => 'xcode-select --install && brew install cmake',
  linux: () => {
    if (works('apt-get', ['--version'])) return 'sudo apt-get install -y g++ make cmake';
    if (works('dnf', ['--version'])) return 'sudo dnf install -y gcc-c++ make cmake';
    if (works('apk', ['--version'])) return 'sudo apk add g++ make cmake linux-headers';
    return 'the package manager of your distribution (g++, make, cmake)';
  },
  win32: () => 'wsl --install, then npm inside that Linux',
};

class BuildError extends Error {}

function works(command, args) {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

function need(what) {
  const command = INSTALL[platform]?.() ?? 'your package manager (a C++20 compiler, make, cmake)';
  throw new BuildError(`Building Bookend's native kernels needs ${what}; install it with: ${command}`);
}

/** The compiler that CMake would take: $CXX, else the usual names. */
function findCompiler() {
  const names = env.CXX ? [env.CXX] : ['c++', 'g++', 'clang++'];
  const found = names.find((name) => works(name, ['--version']));
  if (!found) need(`a C++20 compiler, and none of ${names.join(', ')} is there`);
  const flags = ['-std=c++20', ...(arch === 'x64' ? ['-mavx512bf16', '-mamx-bf16'] : [])];
  const probe = ['-fsyntax-only', '-x', 'c++', ...flags, '/dev/null'];
  if (!works(found, probe)) need(`GCC 11, Clang 12 or newer, and ${found} does not take ${flags.join(' ')}`);
  return found;
}

function checkTools() {
  if (platform === 'win32') need('Linux or macOS, and this is Windows');
  const compiler = findCompiler();
  if (!works('cmake', ['--version'])) need('CMake, which is not there');
  if (!works('make', ['--version'])) need('make, which is not there');
  return compiler;
}

/** Names, sizes and times of everything the build reads. */
function fingerprint() {
  const hash = createHash('sha256');
  const visit = (path) => {
    const status = statSync(path);
    if (status.isDirectory()) {
      for (const name of readdirSync(path).sort()) visit(join(path, name));
    } else {
      hash.update(`${path}\0${status.size}\0${status.mtimeMs}\n`);
    }
  };
  visit(join(root, 'native'));
  visit(join(root, 'CMakeLists.txt'));
  return hash.digest('hex');
}

function run(command, args, what) {
  const shell = spawnSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 2 ** 28 });
  if (shell.status === 0) return;
  stderr.write(`${shell.stdout ?? ''}${shell.stderr ?? ''}`);
  throw new BuildError(`${what} failed; the lines above say why.`);
}

function compile(compiler) {
  const require = createRequire(import.meta.url);
  const headers = require('node-api-headers').include_dir;
  const addonApi = dirname(require.resolve('node-addon-api/package.json'));
  const jobs = String(availableParallelism?.() ?? 2);
  stderr.write(`Building the native kernels with ${compiler} (${jobs} jobs; a minute or two)...\n`);
  run(
    'cmake',
    [
      ...['-S', root, '-B', build, '-G', 'Unix Makefiles', '-DCMAKE_BUILD_TYPE=Release'],
      `-DCMAKE_CXX_COMPILER=${compiler}`,
      `-DCMAKE_LIBRARY_OUTPUT_DIRECTORY=${dirname(result)}`,
      `-DNODE_API_HEADERS=${headers}`,
      `-DNODE_ADDON_API=${addonApi}`,
    ],
    'Configuring the native build',
  );
  run('cmake', ['--build', build, '--target', 'bookend', '-j', jobs], 'The native build');
}

function main() {
  if (argv.includes('--if-missing') && existsSync(prebuilt)) return;
  const sources = fingerprint();
  const upToDate =
    existsSync(result) && existsSync(stampFile) && readFileSync(stampFile, 'utf8') === sources;
  if (upToDate) return;
  const compiler = checkTools();
  if (argv.includes('--check')) return;
  mkdirSync(build, { recursive: true });
  compile(compiler);
  writeFileSync(stampFile, sources);
}

try {
  main();
} catch (error) {
  if (!(error instanceof BuildError)) throw error;
  stderr.write(`${error.message}\n`);
  exit(1);
}
