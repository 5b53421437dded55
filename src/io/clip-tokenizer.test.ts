import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { inFolder } from '../../test/fuzz/in-folder.ts';
import { loadClipTokenizer } from './clip-tokenizer.ts';

const PUBLISHED = fileURLToPath(new URL('../../../shared/stable-diffusion/', import.meta.url));
const GOLDEN = new URL('../../test/golden/tokenizer/ids.json', import.meta.url);
const skip = existsSync(join(PUBLISHED, 'v1-4/tokenizer/vocab.json'))
  ? false
  : `the published CLIP vocabulary is not at ${PUBLISHED}`;

/** The published tokenizer; 2.1's folder lacks the vocabulary that it shares with 1.4. */
async function inTokenizerFolder(version: string, body: (folder: string) => Promise<void>) {
  await inFolder(async (folder) => {
    for (const source of ['v1-4', version]) {
      const from = join(PUBLISHED, source, 'tokenizer');
      for (const name of await readdir(from)) {
        const content = await readFile(join(from, name));
        await writeFile(join(folder, name), content);
      }
    }
    await body(folder);
  });
}

for (const version of ['v1-4', 'v2-1']) {
  test(`the ids of ${version} equal those of transformers`, { skip }, async () => {
    const cases = JSON.parse(await readFile(GOLDEN, 'utf8'));
    await inTokenizerFolder(version, async (folder) => {
      const tokenizer = await loadClipTokenizer(folder);
      for (const golden of cases) {
        const expected = golden[version] ?? golden['v1-4'];
        assert.deepEqual(tokenizer.encode(golden.text), expected, JSON.stringify(golden.text));
      }
      assert.deepEqual([...tokenizer.encodePadded('a cat')], cases[0][`${version} padded`]);
      const long = tokenizer.encodePadded('cat '.repeat(90));
      assert.deepEqual([...long], cases[0][`${version} truncated`]);
    });
  });
}

test('the longest prompts take milliseconds, longer ones are refused', { skip }, async () => {
  const tokenizer = await loadClipTokenizer(join(PUBLISHED, 'v1-4/tokenizer'));
  for (const unit of ['a', 'ab', '😀', '!', "'", 'the ', '<|endoftext|>', 'zq']) {
    const text = unit.repeat(100_000 / unit.length);
    const start = performance.now();
    tokenizer.encode(text);
    assert.ok(performance.now() - start < 5_000, `${unit} took ${performance.now() - start} ms`);
  }
  assert.throws(() => tokenizer.encode('a'.repeat(100_001)), {
    code: 'invalid-argument',
    message: /100001 characters/,
  });
});

const TINY = {
  'vocab.json': JSON.stringify({
    a: 0,
    'a</w>': 1,
    'b</w>': 2,
    'ab</w>': 3,
    '<|startoftext|>': 4,
    '<|endoftext|>': 5,
  }),
  'merges.txt': '#version: 0.2\na b</w>\n',
};

async function inTinyFolder(
  changes: Record<string, string | undefined>,
  body: (folder: string) => Promise<void>,
) {
  await inFolder(async (folder) => {
    for (const [name, content] of Object.entries({ ...TINY, ...changes })) {
      if (content !== undefined) await writeFile(join(folder, name), content);
    }
    await body(folder);
  });
}

test('a small vocabulary of its own works, with unknown bytes', async () => {
  await inTinyFolder({}, async (folder) => {
    const tokenizer = await loadClipTokenizer(folder);
    assert.deepEqual(tokenizer.encode('AB aab a c'), [3, 0, 3, 1, 5]);
    assert.deepEqual([...tokenizer.encodePadded('ab').subarray(0, 4)], [4, 3, 5, 5]);
    assert.equal(tokenizer.maxLength, 77);
  });
});

test('tokenizer.json alone is enough', async () => {
  const json = JSON.stringify({
    added_tokens: [{ content: '<|endoftext|>', normalized: true }],
    model: {
      vocab: JSON.parse(TINY['vocab.json']),
      merges: [['a', 'b</w>']],
      end_of_word_suffix: '</w>',
    },
  });
  const files = { 'tokenizer.json': json, 'vocab.json': undefined, 'merges.txt': undefined };
  await inTinyFolder(files, async (folder) => {
    const tokenizer = await loadClipTokenizer(folder);
    assert.deepEqual(tokenizer.encode('ab <|ENDOFTEXT|>'), [3, 5]);
  });
});

test('broken tokenizers are refused in one sentence', async () => {
  const broken: [Record<string, string | undefined>, RegExp][] = [
    [{ 'vocab.json': '{' }, /not valid JSON/],
    [{ 'vocab.json': '{"a":-1}' }, /the id -1/],
    [{ 'merges.txt': 'a b c\n' }, /the merge "a b c"/],
    [{ 'merges.txt': 'a c</w>\n' }, /uses the token "c<\/w>"/],
    [{ 'tokenizer_config.json': '{"pad_token":"?"}' }, /uses the token "\?"/],
    [{ 'vocab.json': undefined, 'tokenizer.json': '{}' }, /no model of vocab and merges/],
  ];
  for (const [changes, message] of broken) {
    await inTinyFolder(changes, async (folder) => {
      await assert.rejects(loadClipTokenizer(folder), { code: 'invalid-checkpoint', message });
    });
  }
  await inTinyFolder({ 'vocab.json': undefined, 'merges.txt': undefined }, async (folder) => {
    await assert.rejects(loadClipTokenizer(folder), { code: 'not-found' });
  });
});
