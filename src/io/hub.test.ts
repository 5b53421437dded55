import assert from 'node:assert/strict';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { inFolder } from '../../test/fuzz/in-folder.ts';
import { neededFiles, resolveModel } from './hub.ts';
import { hubCacheFolder, parseHubId } from './hub-cache.ts';

const COMMIT = 'a'.repeat(40);

test('hub ids are told from paths', () => {
  assert.deepEqual(parseHubId('owner/some-model.v1'), {
    repository: 'owner/some-model.v1',
    revision: 'main',
  });
  assert.deepEqual(parseHubId('owner/name@refs/pr/1')?.revision, 'refs/pr/1');
  for (const text of [
    'name',
    './a/b',
    '/a/b',
    'a/b/c',
    'a/../b',
    'a/b@../c',
    'a/b.safetensors',
    'a/b@',
    'a--b/c',
    '',
  ]) {
    assert.equal(parseHubId(text), undefined, text);
  }
});

test('the cache folder follows the environment', () => {
  const all = { HF_HUB_CACHE: '/1', HF_HOME: '/2', XDG_CACHE_HOME: '/3' };
  assert.equal(hubCacheFolder(all), '/1');
  assert.equal(hubCacheFolder({ ...all, HF_HUB_CACHE: '' }), join('/2', 'hub'));
  assert.equal(hubCacheFolder({ XDG_CACHE_HOME: '/3' }), join('/3', 'huggingface', 'hub'));
  assert.match(hubCacheFolder({}), /\.cache.huggingface.hub$/);
});

/** Lays out what huggingface_hub leaves behind: a ref, a snapshot of links, and blobs. */
async function makeCache(cacheFolder: string): Promise<string> {
  const repository = join(cacheFolder, 'models--owner--name');
  const snapshot = join(repository, 'snapshots', COMMIT);
  for (const path of [snapshot, join(repository, 'blobs'), join(repository, 'refs')]) {
    await mkdir(path, { recursive: true });
  }
  await writeFile(join(repository, 'refs/main'), COMMIT);
  await writeFile(join(repository, 'blobs/1'), '{}');
  await symlink('../../blobs/1', join(snapshot, 'model_index.json'));
  return snapshot;
}

test('a cached model is found by branch and by commit', async () => {
  await inFolder(async (cacheFolder) => {
    const path = await makeCache(cacheFolder);
    for (const reference of ['owner/name', 'owner/name@main', `owner/name@${COMMIT}`]) {
      assert.deepEqual(await resolveModel(reference, { cacheFolder }), { kind: 'folder', path });
    }
  });
});

test('what is not cached is an error that names the folder and the command', async () => {
  await inFolder(async (cacheFolder) => {
    await makeCache(cacheFolder);
    for (const reference of ['owner/other', 'owner/name@dev', `owner/name@${'b'.repeat(40)}`]) {
      await assert.rejects(resolveModel(reference, { cacheFolder }), (error: Error) => {
        assert.ok(error.message.includes(cacheFolder));
        assert.match(
          error.message,
          /pass --download .* run: hf download owner\/(name|other) --revision/,
        );
        return (error as { code?: string }).code === 'not-found';
      });
    }
    await assert.rejects(resolveModel('no-such-thing', { cacheFolder }), {
      code: 'not-found',
      message: /neither an existing folder or file nor a hub id/,
    });
    await writeFile(join(cacheFolder, 'models--owner--name/refs/odd'), '../..');
    await assert.rejects(resolveModel('owner/name@odd', { cacheFolder }), {
      code: 'invalid-checkpoint',
    });
  });
});

test('existing paths win', async () => {
  await inFolder(async (folder) => {
    await writeFile(join(folder, 'a.safetensors'), '');
    assert.deepEqual(await resolveModel(folder), { kind: 'folder', path: folder });
    const path = join(folder, 'a.safetensors');
    assert.deepEqual(await resolveModel(path), { kind: 'file', path });
  });
});

const FILES = [
  'README.md',
  'model_index.json',
  'v1-5-pruned.safetensors',
  'unet/config.json',
  'unet/diffusion_pytorch_model.safetensors',
  'unet/diffusion_pytorch_model.fp16.safetensors',
  'unet/diffusion_pytorch_model.bin',
  'unet/diffusion_pytorch_model-00001-of-00002.safetensors',
  'unet/diffusion_pytorch_model.safetensors.index.json',
  'text_encoder/model.safetensors',
  'text_encoder/flax_model.msgpack',
  'tokenizer/merges.txt',
  'safety_checker/model.safetensors',
];

test('only the files of one variant are needed', () => {
  const common = ['model_index.json', 'unet/config.json'];
  const index = 'unet/diffusion_pytorch_model.safetensors.index.json';
  assert.deepEqual(neededFiles(FILES, undefined), [
    ...common,
    'unet/diffusion_pytorch_model.safetensors',
    'unet/diffusion_pytorch_model-00001-of-00002.safetensors',
    index,
    'text_encoder/model.safetensors',
    'tokenizer/merges.txt',
  ]);
  assert.deepEqual(neededFiles(FILES, 'fp16'), [
    ...common,
    'unet/diffusion_pytorch_model.fp16.safetensors',
    index,
    'tokenizer/merges.txt',
  ]);
});

test('of a single model, the files at the top are needed', () => {
  const weights = [
    'model.safetensors',
    'pytorch_model.bin',
    'tf_model.h5',
    'model.fp16.safetensors',
  ];
  const texts = [
    'config.json',
    'preprocessor_config.json',
    'vocab.json',
    'merges.txt',
    'README.md',
  ];
  assert.deepEqual(neededFiles([...texts, ...weights, 'onnx/config.json'], undefined, 'model'), [
    ...texts.slice(0, 4),
    'model.safetensors',
  ]);
});

/** As much of the hub's interface as a download uses. */
function startHub(contents: Record<string, string>, asked: string[]): Promise<Server> {
  const entry = (path: string) => ({
    type: 'file',
    path,
    size: contents[path].length,
    oid: Buffer.from(path).toString('hex').padEnd(40, '0').slice(0, 40),
    lastCommit: { id: 'c'.repeat(40), title: '', date: '2024-01-01T00:00:00.000Z' },
  });
  const server = createServer(async (request, response) => {
    const url = decodeURIComponent(request.url ?? '');
    asked.push(url);
    const body = (await request.toArray()).join('');
    const json = (value: unknown) => {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(value));
    };
    const [, file] = /\/resolve\/[^/]+\/([^?]+)/.exec(url) ?? [];
    if (url.includes('/paths-info/')) json(JSON.parse(body).paths.map(entry));
    else if (url.includes('/tree/')) json(Object.keys(contents).map(entry));
    else if (file) {
      const content = Buffer.from(contents[file]);
      response.setHeader('etag', '"1"');
      const ranged = request.headers.range !== undefined;
      if (ranged)
        response.setHeader('content-range', `bytes 0-${content.length - 1}/${content.length}`);
      response.statusCode = ranged ? 206 : 200;
      response.end(content);
    } else if (url.startsWith('/api/models/owner/name')) {
      json({
        _id: '1',
        id: 'owner/name',
        sha: COMMIT,
        private: false,
        downloads: 0,
        likes: 0,
        gated: false,
        lastModified: '2024-01-01T00:00:00.000Z',
      });
    } else {
      response.statusCode = 404;
      response.end();
    }
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

test('a download fetches the needed files into one snapshot, then works offline', async () => {
  await inFolder(async (cacheFolder) => {
    const contents = {
      'model_index.json': '{"_class_name":"X"}',
      'README.md': 'not needed',
      'unet/config.json': '{}',
    };
    const asked: string[] = [];
    const server = await startHub(contents, asked);
    const hubUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      const options = { cacheFolder, hubUrl, download: true };
      const { path } = await resolveModel('owner/name', options);
      assert.ok(path.endsWith(join('snapshots', COMMIT)));
      assert.equal(await readFile(join(path, 'unet/config.json'), 'utf8'), '{}');
      await assert.rejects(readFile(join(path, 'README.md')), { code: 'ENOENT' });
      const before = asked.length;
      assert.deepEqual(await resolveModel('owner/name', { cacheFolder, hubUrl }), {
        kind: 'folder',
        path,
      });
      assert.equal(asked.length, before);
      await assert.rejects(resolveModel('owner/gone', options), {
        code: 'io',
        message: /Cannot download owner\/gone at revision main/,
      });
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });
});
