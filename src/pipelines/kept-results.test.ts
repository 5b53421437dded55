import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { z } from 'zod';
import { KeptResults } from './kept-results.ts';

const scratch = mkdtempSync(join(tmpdir(), 'bookend-kept-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const open = (folder: string, seed: number) =>
  KeptResults.open(join(scratch, folder), 'numbers', { seed }, z.number());

test('results are there when they are asked for again, those of other settings are not', async () => {
  const first = await open('again', 1);
  assert.equal(first.get('a'), undefined);
  await first.set('a', 2.5);
  await first.set('__proto__', 4);
  const again = await open('again', 1);
  assert.deepEqual([again.get('a'), again.get('__proto__'), again.get('b')], [2.5, 4, undefined]);
  const other = await open('again', 2);
  assert.equal(other.get('a'), undefined);
  await other.set('a', 9);
  assert.equal((await open('again', 1)).get('a'), 2.5);
  assert.equal(readdirSync(join(scratch, 'again')).length, 2);
});

test('a file that holds something else is refused by name', async () => {
  const kept = await open('damaged', 1);
  await kept.set('a', 1);
  const text = readFileSync(kept.path, 'utf8');
  for (const damaged of [text.slice(0, -5), text.replace('1]]', '"1"]]'), '[]', '']) {
    writeFileSync(kept.path, damaged);
    await assert.rejects(open('damaged', 1), {
      code: 'invalid-checkpoint',
      message: /numbers-[0-9a-f]{12}\.json does not hold the results .* delete it/,
    });
  }
});
