import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { readExportedData } from './js-data.ts';
import { readTfjsModel } from './tfjs-model.ts';

const REFUSED = { code: 'invalid-checkpoint' };

describe('data in scripts', () => {
  const read = (data: string) => readExportedData(`!function(){n.exports=${data}},{}]`, 'x.js');

  it('is read as minifiers write it', () => {
    const text = `{a:!0,b1:!1,"c d":[.5,-1e-3,+2.25,0],'e':{$f:null, _:[]} , g:"q\\"\\u0041\\\\",h:{}}`;
    assert.deepEqual(read(text), {
      a: true,
      b1: false,
      'c d': [0.5, -0.001, 2.25, 0],
      e: { $f: null, _: [] },
      g: 'q"A\\',
      h: {},
    });
    assert.equal(read("'text'"), 'text');
  });

  it('is nothing but data', () => {
    const hostile = ['{a:process}', '{a:f()}', '[1,,2]', '{a:1;', '["a', '{a 1}', '[1 2]', '{1:2}'];
    for (const text of [...hostile, '{a:"\\x41"}', '['.repeat(1000), '{"a":`x`}']) {
      assert.throws(() => read(text), REFUSED, text);
    }
    assert.throws(() => readExportedData('n.exports=require("fs")', 'x.js'), REFUSED);
    const own = read('{__proto__:{polluted:1},"constructor":2}');
    assert.equal((own as { polluted?: number }).polluted, undefined);
    assert.deepEqual(Object.keys(own as object), ['__proto__', 'constructor']);
  });
});

describe('layers-models of TensorFlow.js', () => {
  const folders: string[] = [];
  after(() => {
    for (const folder of folders) rmSync(folder, { recursive: true });
  });

  function folderOf(files: Record<string, string | Uint8Array>): string {
    const folder = mkdtempSync(join(tmpdir(), 'bookend-tfjs-'));
    folders.push(folder);
    for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
    return folder;
  }

  const bytes = new Uint8Array(2 * 4 + 3 + 2 * 2);
  new DataView(bytes.buffer).setFloat32(0, 1.5, true);
  new DataView(bytes.buffer).setFloat32(4, -2, true);
  bytes.set([0, 10, 255], 8);
  new DataView(bytes.buffer).setUint16(11, 1000, true);
  const weights = [
    { name: 'a', shape: [2], dtype: 'float32' },
    {
      name: 'b/kernel',
      shape: [3, 1],
      dtype: 'float32',
      quantization: { min: -1, scale: 0.5, dtype: 'uint8' },
    },
    {
      name: 'c',
      shape: [2],
      dtype: 'float32',
      quantization: { min: 0.25, scale: 0.001, dtype: 'uint16' },
    },
  ];
  const model = (entries: readonly object[] = weights) => ({
    modelTopology: { keras_version: '2' },
    weightsManifest: [{ paths: ['s1', 's2'], weights: entries }],
  });
  const [first, second] = [bytes.subarray(0, 9), bytes.subarray(9)];

  async function assertReadable(folder: string): Promise<void> {
    const read = await readTfjsModel(folder);
    assert.deepEqual(
      [...read.shapes],
      [
        ['a', [2]],
        ['b/kernel', [3, 1]],
        ['c', [2]],
      ],
    );
    assert.deepEqual([...read.read('a').data], [1.5, -2]);
    assert.deepEqual([...read.read('b/kernel').data], [-1, 4, 126.5]);
    assert.deepEqual([...read.read('c').data], [1.25, 0.25]);
    assert.throws(() => read.read('d'), { code: 'missing-tensor' });
  }

  it('are read from JSON and shards', async () => {
    await assertReadable(
      folderOf({ 'model.json': JSON.stringify(model()), s1: first, s2: second }),
    );
  });

  it('are read from scripts', async () => {
    const script = (data: unknown) => `!function(){e.exports=${JSON.stringify(data)}}();`;
    const base64 = (part: Uint8Array) => Buffer.from(part).toString('base64');
    await assertReadable(
      folderOf({
        'model.min.js': script(model()),
        's1.min.js': script(base64(first)),
        's2.min.js': script(base64(second)),
      }),
    );
    const bad = { 'model.min.js': script(model()), 's1.min.js': script('no base64!') };
    await assert.rejects(readTfjsModel(folderOf({ ...bad, 's2.min.js': script('') })), REFUSED);
  });

  it('are refused where shards and manifest disagree', async () => {
    const withModel = (json: object) =>
      readTfjsModel(folderOf({ 'model.json': JSON.stringify(json), s1: first, s2: second }));
    await assert.rejects(withModel(model(weights.slice(1))), REFUSED);
    await assert.rejects(withModel(model([...weights, weights[0]])), REFUSED);
    await assert.rejects(withModel(model([{ ...weights[0], dtype: 'int32' }])), REFUSED);
    const outside = { ...model(), weightsManifest: [{ paths: ['../s1'], weights }] };
    await assert.rejects(withModel(outside), REFUSED);
    await assert.rejects(withModel({}), REFUSED);
    await assert.rejects(readTfjsModel(folderOf({})), { code: 'not-found' });
    await assert.rejects(readTfjsModel(join(tmpdir(), 'bookend-is-not-there')), {
      code: 'not-found',
    });
  });
});
