import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { readPrompts } from './prompts.ts';

const folder = mkdtempSync(join(tmpdir(), 'bookend-prompts-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const captions = (...annotations: unknown[]) => JSON.stringify({ images: [], annotations });

describe('prompts', () => {
  it('come one on each line', async () => {
    const path = file('lines.txt', '\uFEFFa red apple\r\n\n  two pears \n{"prompt": "braces"}');
    const prompts = (await readPrompts(path)).map(({ prompt }) => prompt);
    assert.deepEqual(prompts, ['a red apple', 'two pears', '{"prompt": "braces"}']);
  });

  it('come as JSON objects on lines, with seed and id', async () => {
    const lines = [
      '{"prompt": "a", "text": "no", "seed": 7, "id": "x", "other": []}',
      '',
      '{"text": " b ", "id": 3}',
      '{"caption": "c \\ud800"}',
    ];
    assert.deepEqual(await readPrompts(file('a.jsonl', lines.join('\n'))), [
      { prompt: 'a', seed: 7, id: 'x' },
      { prompt: 'b', id: '3' },
      { prompt: 'c \uFFFD' },
    ]);
  });

  it("come as COCO's captions, the first of each image", async () => {
    const content = captions(
      { image_id: 9, id: 1, caption: 'A dog.\n' },
      { image_id: 4, id: 2, caption: 'A cat.' },
      { image_id: 9, id: 3, caption: 'Another dog.' },
    );
    assert.deepEqual(await readPrompts(file('captions.json', content)), [
      { prompt: 'A dog.', id: '9' },
      { prompt: 'A cat.', id: '4' },
    ]);
  });

  const hostile: Readonly<Record<string, readonly [string, string | Uint8Array, RegExp]>> = {
    nothing: ['a.txt', ' \n\n', /holds no prompt/],
    'no captions': ['b.json', captions(), /holds no prompt/],
    'bytes that are no text': ['c.txt', Uint8Array.of(0x61, 0xff, 0xfe), /UTF-8/],
    NUL: ['d.txt', 'fine\na\0b', /^Line 2 of .*d\.txt/],
    'a prompt without end': ['e.txt', 'x'.repeat(100_001), /^Line 1 /],
    'half an object': ['f.jsonl', '{"prompt": "a"}\n{"prompt"', /^Line 2 /],
    'an object without a prompt': ['g.jsonl', '{"seed": 1}', /^Line 1 /],
    'an array': ['h.jsonl', '["a"]', /^Line 1 /],
    'an empty prompt': ['i.jsonl', '{"prompt": " ", "text": "b"}', /^Line 1 /],
    'a broken seed': ['j.jsonl', '{"prompt": "a", "seed": 1.5}', /^Line 1 /],
    'a seed beyond numbers': ['k.jsonl', '{"prompt": "a", "seed": 9007199254740993}', /^Line 1 /],
    'a list instead of captions': ['l.json', '["a"]', /COCO.*the whole/],
    'a caption that is none': ['m.json', captions({ image_id: 1, caption: 5 }), /annotations\.0/],
    'no JSON at all': ['n.json', 'a red apple', /COCO/],
  };
  for (const [what, [name, content, message]] of Object.entries(hostile)) {
    it(`are refused: ${what}`, async () => {
      const path = file(name, content);
      await assert.rejects(readPrompts(path), (error: Error & { code?: string }) => {
        assert.equal(error.code, 'invalid-argument');
        assert.match(error.message, message);
        assert.ok(error.message.length < 600);
        return true;
      });
    });
  }

  it('are not found where there are none', async () => {
    await assert.rejects(readPrompts(join(folder, 'absent.txt')), { code: 'not-found' });
    await assert.rejects(readPrompts(folder), { code: 'io' });
  });
});
