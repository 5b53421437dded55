#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import { addBenchCommand } from './bench.ts';
import { addDoctorCommand } from './doctor.ts';
import { addGenerateCommand } from './generate.ts';
import { addInspectCommand } from './inspect.ts';
import { packageRoot } from './models.ts';
import { describeError, EXIT, exitStatus } from './output.ts';

const { version } = JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8'));

const program = new Command('bookend')
  .description('Stable Diffusion on CPUs')
  .version(version)
  .showHelpAfterError('(bookend --help lists what there is)')
  .exitOverride();

for (const add of [addGenerateCommand, addInspectCommand, addBenchCommand, addDoctorCommand]) {
  add(program);
}
for (const command of program.commands) command.exitOverride().showHelpAfterError(false);

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has said what is wrong; help and version are no errors.
    process.exitCode = error.exitCode === 0 ? EXIT.done : EXIT.usage;
  } else {
    process.stderr.write(`${describeError(error)}\n`);
    process.exitCode = exitStatus(error);
  }
}
