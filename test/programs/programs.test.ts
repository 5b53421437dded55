import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { printedPrograms } from './programs.ts';

describe('printed programs', () => {
  for (const [file, text] of printedPrograms()) {
    it(`${file} is up to date`, () => {
      const stored = readFileSync(`${import.meta.dirname}/${file}`, 'utf8').split('\n');
      const lines = text.split('\n');
      const at = lines.findIndex((line, i) => line !== stored[i]);
      const same = at < 0 && lines.length === stored.length;
      assert.ok(
        same,
        `${file} differs from the built graph at line ${at + 1}: ${JSON.stringify(stored[at])} became ${JSON.stringify(lines[at])}; if that is meant, run npm run update-programs and review the diff.`,
      );
    });
  }
});
