import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClipTokenizer } from './clip-tokenizer.ts';
import { encodePrompt, equalizeChunks } from './encode-prompt.ts';
import { parsePrompt } from './prompt-weights.ts';

function parsed(prompt: string): [string, number][] {
  return parsePrompt(prompt).map((fragment) =>
    fragment === 'break' ? ['BREAK', -1] : [fragment.text, Number(fragment.weight.toFixed(4))],
  );
}

test('brackets, weights, nesting and escapes', () => {
  const cases: [string, [string, number][]][] = [
    ['', []],
    ['plain text: with, colons', [['plain text: with, colons', 1]]],
    [
      'a (cat) b',
      [
        ['a ', 1],
        ['cat', 1.1],
        [' b', 1],
      ],
    ],
    [
      'a (cat:1.3) b',
      [
        ['a ', 1],
        ['cat', 1.3],
        [' b', 1],
      ],
    ],
    ['(cat : .5 )', [['cat ', 0.5]]],
    ['(cat:-1)', [['cat', -1]]],
    ['(cat:0)', [['cat', 0]]],
    ['[cat]', [['cat', 0.9091]]],
    ['((cat))', [['cat', 1.21]]],
    [
      '(a (b:2) c:1.5)',
      [
        ['a ', 1.5],
        ['b', 3],
        [' c', 1.5],
      ],
    ],
    ['([a])', [['a', 1]]],
    ['[a:1.3]', [['a:1.3', 0.9091]]],
    ['\\(a\\) \\[b\\] \\\\', [['(a) [b] \\', 1]]],
    ['a\\b', [['a\\b', 1]]],
    ['(a', [['a', 1.1]]],
    [
      '[a (b',
      [
        ['a ', 0.9091],
        ['b', 1],
      ],
    ],
    ['a) b]', [['a) b]', 1]]],
    ['a:1.3)', [['a:1.3)', 1]]],
    ['(a]b)', [['a]b', 1.1]]],
    ['(a:1.2.3)', [['a:1.2.3', 1.1]]],
    ['(a:b:1.2)', [['a:b', 1.2]]],
    ['()', []],
    ['a (b:1) c', [['a b c', 1]]],
  ];
  for (const [prompt, expected] of cases) assert.deepEqual(parsed(prompt), expected, prompt);
});

test('BREAK splits as a word only', () => {
  assert.deepEqual(parsed('a BREAK (b BREAK c)'), [
    ['a ', 1],
    ['BREAK', -1],
    [' ', 1],
    ['b ', 1.1],
    ['BREAK', -1],
    [' c', 1.1],
  ]);
  assert.deepEqual(parsed('BREAKFAST break'), [['BREAKFAST break', 1]]);
});

test('hostile prompts are refused or cheap', () => {
  const refused = { code: 'invalid-argument' };
  assert.throws(() => parsePrompt('('.repeat(101)), refused);
  assert.throws(() => parsePrompt('(a:1000)'), refused);
  assert.throws(() => parsePrompt('((a:20):20)'), refused);
  assert.throws(() => parsePrompt(' '.repeat(100_001)), refused);
  const start = performance.now();
  for (const unit of ['()', '(a:', ':1', ': ', '\\', ')', '(a)[b]', 'BREAK ']) {
    parsePrompt(unit.repeat(unit === '(a:' ? 40 : 100_000 / unit.length));
  }
  parsePrompt(`:${' '.repeat(99_000)}`);
  parsePrompt(`(a:${'1'.repeat(99_000)}`);
  parsePrompt(`(a:1${' '.repeat(99_000)}`);
  assert.ok(performance.now() - start < 5_000);
});

/** One token per word: a=0, b=1; start 2, end 3, padding 4. */
const tokenizer = new ClipTokenizer({
  folder: 'tiny',
  vocabulary: new Map([
    ['a</w>', 0],
    ['b</w>', 1],
    ['<s>', 2],
    ['<e>', 3],
    ['<p>', 4],
  ]),
  merges: [],
  special: [],
  bosToken: '<s>',
  eosToken: '<e>',
  padToken: '<p>',
  unknownToken: '<e>',
  maxLength: 6,
});

function encoded(prompt: string) {
  return encodePrompt(tokenizer, prompt).map(({ ids, weights }) => [
    [...ids],
    [...weights].map((w) => Number(w.toFixed(4))),
  ]);
}

test('a plain short prompt is one window with weights of 1', () => {
  for (const prompt of ['', 'a', 'a b b a']) {
    const chunks = encodePrompt(tokenizer, prompt);
    assert.equal(chunks.length, 1);
    assert.deepEqual(chunks[0].ids, tokenizer.encodePadded(prompt));
    assert.deepEqual([...chunks[0].weights], [1, 1, 1, 1, 1, 1]);
  }
});

test('weights stay aligned across windows', () => {
  assert.deepEqual(encoded('a a (b b b:1.5) a'), [
    [
      [2, 0, 0, 1, 1, 3],
      [1, 1, 1, 1.5, 1.5, 1],
    ],
    [
      [2, 1, 0, 3, 4, 4],
      [1, 1.5, 1, 1, 1, 1],
    ],
  ]);
});

test('BREAK ends a window, empty ones are left out', () => {
  const [a, b] = [
    [2, 0, 3, 4, 4, 4],
    [2, 1, 3, 4, 4, 4],
  ];
  const ids = (prompt: string) => encoded(prompt).map(([first]) => first);
  assert.deepEqual(ids('a BREAK b'), [a, b]);
  assert.deepEqual(ids('BREAK a BREAK BREAK b BREAK'), [a, b]);
  assert.deepEqual(ids('BREAK'), [[2, 3, 4, 4, 4, 4]]);
});

test('prompts are brought to one number of windows', () => {
  const prompts = [encodePrompt(tokenizer, 'a a a a a'), encodePrompt(tokenizer, '')];
  const [long, short] = equalizeChunks(tokenizer, prompts);
  assert.equal(long.length, 2);
  assert.deepEqual([...short[1].ids], [2, 3, 4, 4, 4, 4]);
});
