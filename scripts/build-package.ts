/**
 * Makes what the package ships beside its sources: `dist/` (JavaScript and type declarations) and
 * `prebuilds/<platform>-<arch>/bookend.node`, the addon with every instruction set inside.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

function run(command: string, args: readonly string[]): void {
  const result = spawnSync(command, args, { stdio: ['ignore', 2, 2] });
  if (result.status !== 0) process.exit(result.status ?? 1);
}

rmSync('dist', { recursive: true, force: true });
rmSync('prebuilds', { recursive: true, force: true });
run('tsc', ['-p', 'tsconfig.build.json']);
run(process.execPath, ['scripts/build-native.mjs']);
const folder = join('prebuilds', `${process.platform}-${process.arch}`);
mkdirSync(folder, { recursive: true });
copyFileSync(join('build', 'Release', 'bookend.node'), join(folder, 'bookend.node'));
