import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesOf, messagesOf, readMessage, textsOf } from '../../test/support/read-protobuf.ts';
import { ProtoWriter } from './protobuf.ts';

test('whole numbers of every size come back', () => {
  const numbers = [0n, 1n, 127n, 128n, 300n, 2n ** 31n, 2n ** 53n + 1n, 2n ** 63n - 1n, -1n];
  const writer = new ProtoWriter();
  for (const number of numbers) writer.int(3, number);
  assert.deepEqual(readMessage(writer.finish()).get(3), numbers);
});

test('the bytes are those of the examples in the format’s description', () => {
  const hex = (writer: ProtoWriter) => Buffer.from(writer.finish()).toString('hex');
  assert.equal(hex(new ProtoWriter().int(1, 150)), '089601');
  assert.equal(hex(new ProtoWriter().text(2, 'testing')), '120774657374696e67');
  assert.equal(hex(new ProtoWriter().message(3, (w) => w.int(1, 150))), '1a03089601');
  assert.equal(hex(new ProtoWriter().int(1, -2)), '08feffffffffffffffff01');
  assert.equal(hex(new ProtoWriter().float(20, 1)), 'a5010000803f');
});

test('text, bytes and nested messages come back, in order', () => {
  const long = new Uint8Array(1000).map((_, i) => i);
  const bytes = new ProtoWriter()
    .text(1, 'Größe')
    .bytes(17, long)
    .message(2, (w) => w.text(1, 'first').message(2, (inner) => inner.text(1, 'inner')))
    .message(2, (w) => w.text(1, ''))
    .finish();
  const message = readMessage(bytes);
  assert.deepEqual(textsOf(message, 1), ['Größe']);
  assert.deepEqual(bytesOf(message, 17), [long]);
  const [first, second] = messagesOf(message, 2);
  assert.deepEqual(textsOf(first, 1), ['first']);
  assert.deepEqual(textsOf(messagesOf(first, 2)[0], 1), ['inner']);
  assert.deepEqual(textsOf(second, 1), ['']);
});
