import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trainingCacheFolder } from './cache-folder.ts';
import { MemoryCache } from './memory-cache.ts';

/** Values are their sizes; `made` says for which keys. */
function counted(capacity: number) {
  const cache = new MemoryCache<number>(capacity, (value) => value);
  const made: string[] = [];
  const get = (key: string, bytes = 10) =>
    cache.get(key, async () => {
      made.push(key);
      return bytes;
    });
  return { get, made };
}

test('values stay until there is no place for them, the latest longest', async () => {
  const { get, made } = counted(30);
  for (const key of ['a', 'b', 'c', 'a', 'd', 'a', 'c', 'b']) assert.equal(await get(key), 10);
  assert.deepEqual(made, ['a', 'b', 'c', 'd', 'b']);
  assert.equal(await get('large', 99), 99);
  assert.equal(await get('large', 99), 99);
  await get('a');
  assert.deepEqual(made.slice(5), ['large', 'a']);
});

test('calls at once share one making, and failures are forgotten', async () => {
  const { get, made } = counted(30);
  assert.deepEqual(await Promise.all([get('a'), get('a'), get('a')]), [10, 10, 10]);
  assert.deepEqual(made, ['a']);
  const cache = new MemoryCache<number>(30, () => 1);
  const fail = () => cache.get('a', () => Promise.reject(new Error('no')));
  await assert.rejects(Promise.all([fail(), fail()]), /no/);
  assert.equal(await cache.get('a', async () => 5), 5);
});

test('the cache lies where the user keeps caches', () => {
  assert.match(trainingCacheFolder({ XDG_CACHE_HOME: '/c' }), /^.c.bookend.training$/);
  assert.match(trainingCacheFolder({}), /\.cache.bookend.training$/);
});
