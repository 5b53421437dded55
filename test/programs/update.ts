/** `npm run update-programs`: writes the printed graphs of programs.ts beside it. */
import { writeFileSync } from 'node:fs';
import { printedPrograms } from './programs.ts';

for (const [file, text] of printedPrograms()) {
  writeFileSync(`${import.meta.dirname}/${file}`, text);
  process.stderr.write(`wrote test/programs/${file}\n`);
}
