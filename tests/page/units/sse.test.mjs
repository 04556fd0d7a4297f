import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SseReader } from '../page/sse.js';

function read(pieces) {
  const events = [];
  let comments = 0;
  const reader = new SseReader((event) => events.push(event), () => ++comments);
  for (const piece of pieces) reader.feed(piece);
  return { events, comments };
}

const STREAM = ': hello\r\n\r\nevent: a\r\ndata: one\r\ndata:two\r\n\r\ndata: {"x": "é🦆"}\n\n:\n\nid: 7\n\ndata\n\ndata: cut';
const WANTED = [{ event: 'a', data: 'one\ntwo' }, { event: 'message', data: '{"x": "é🦆"}' }, { event: 'message', data: '' }];

test('a stream gives the same events however it is cut', () => {
  assert.deepEqual(read([STREAM]).events, WANTED);
  assert.deepEqual(read([...STREAM]).events, WANTED);
  for (let at = 1; at < STREAM.length; ++at) assert.deepEqual(read([STREAM.slice(0, at), STREAM.slice(at)]).events, WANTED, `cut at ${at}`);
  assert.equal(read([STREAM]).comments, 2);
});

test('a lone carriage return ends a line', () => {
  assert.deepEqual(read(['data: a\rdata: b\r\rdata: c\n\n']).events.map(({ data }) => data), ['a\nb', 'c']);
});

test('an event without end is refused, not kept', () => {
  const reader = new SseReader(() => {});
  assert.throws(() => { for (let i = 0; i < 300; ++i) reader.feed('x'.repeat(65536)); }, /too large/);
});
