import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BookendError } from '../../src/core/errors.ts';
import { fuzz } from './fuzz.ts';
import { fuzzParquet } from './parquet.ts';
import { fuzzPng } from './png.ts';
import { fuzzQuantization } from './quantization.ts';
import { fuzzSafetensors } from './safetensors.ts';

test('mutated safetensors files are read or refused', async () => {
  const report = await fuzzSafetensors(2_000, 1);
  assert.ok(report.refused['invalid-checkpoint'] > 1_000, JSON.stringify(report));
  assert.ok(report.accepted > 20, JSON.stringify(report));
});

test('mutated images are read or refused', async () => {
  const report = await fuzzPng(500, 1);
  assert.ok(report.refused['invalid-image'] > 250, JSON.stringify(report));
  assert.ok(report.accepted > 10, JSON.stringify(report));
});

test('mutated Parquet files are read or refused', async () => {
  const report = await fuzzParquet(500, 1);
  assert.ok(report.refused['invalid-argument'] > 200, JSON.stringify(report));
  assert.ok(report.accepted > 20, JSON.stringify(report));
});

test('mutated quantized models are read or refused', async () => {
  const report = await fuzzQuantization(500, 1);
  assert.ok(report.refused['invalid-checkpoint'] > 250, JSON.stringify(report));
  assert.ok(report.accepted > 10, JSON.stringify(report));
});

test('the fuzzer itself notices a crash and a message that is no sentence', async () => {
  const crash = () => {
    throw new TypeError('crash');
  };
  await assert.rejects(fuzz(1, 1, crash), /Input 0 of seed 1 gave TypeError: crash/);
  const rambling = () => {
    throw new BookendError('io', 'two\nlines');
  };
  await assert.rejects(fuzz(1, 1, rambling), /gave the message/);
});
