#!/usr/bin/env node
import process, { exit, stdout } from 'node:process';
import { Command, CommanderError } from 'commander';
import { addBenchCommand } from './bench.ts';
import { addDoctorCommand } from './doctor.ts';
import { addEvaluateCommand } from './evaluate.ts';
import { addExportCommand } from './export.ts';
import { addGenerateCommand } from './generate.ts';
import { addInspectCommand } from './inspect.ts';
import { packageVersion } from './models.ts';
import { describeError, EXIT, exitStatus, note } from './output.ts';
import { addQuantizeCommand } from './quantize.ts';
import { addSweepCommand } from './sweep.ts';
import { addTrainCommand } from './train.ts';

const program = new Command('bookend')
  .description('Stable Diffusion on CPUs')
  .version(packageVersion())
  .showHelpAfterError('(bookend --help lists what there is)')
  .exitOverride();

for (const add of [
  addGenerateCommand,
  addQuantizeCommand,
  addTrainCommand,
  addEvaluateCommand,
  addSweepCommand,
  addExportCommand,
  addInspectCommand,
  addBenchCommand,
  addDoctorCommand,
]) {
  add(program);
}
for (const command of program.commands) command.exitOverride().showHelpAfterError(false);

// Whoever reads our output may have seen enough: `bookend inspect … | head`.
stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  exit(EXIT.done);
});

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has said what is wrong; help and version are no errors.
    process.exitCode = error.exitCode === 0 ? EXIT.done : EXIT.usage;
  } else {
    note(describeError(error));
    process.exitCode = exitStatus(error);
  }
}
