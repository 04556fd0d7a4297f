import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addChunk, describeCost, emptyAnswer } from '../page/answer.js';

const delta = (fields, more = {}) => ({ choices: [{ index: 0, delta: fields, ...more }] });

test('text, reasoning, parallel calls, ending and usage come together', () => {
  const answer = emptyAnswer();
  const chunks = [
    delta({ role: 'assistant', content: '' }), delta({ reasoning_content: 'hm' }), delta({ content: 'Ye' }), delta({ content: 's' }),
    delta({ tool_calls: [{ index: 0, id: 'a', type: 'function', function: { name: 'look', arguments: '' } }] }),
    delta({ tool_calls: [{ index: 1, id: 'b', function: { name: 'find', arguments: '{}' } }] }),
    delta({ tool_calls: [{ index: 0, function: { arguments: '{"x":' } }] }), delta({ tool_calls: [{ index: 0, function: { arguments: '1}' } }] }),
    delta({}, { finish_reason: 'tool_calls' }), { choices: [{ index: 1, delta: { content: 'another' } }] },
    { choices: [], usage: { prompt_tokens: 9, completion_tokens: 3, prompt_tokens_details: { cached_tokens: 8 } } },
  ];
  for (const chunk of chunks) addChunk(answer, chunk);
  assert.equal(answer.content, 'Yes');
  assert.equal(answer.reasoning, 'hm');
  assert.deepEqual(answer.toolCalls, [{ id: 'a', name: 'look', arguments: '{"x":1}' }, { id: 'b', name: 'find', arguments: '{}' }]);
  assert.equal(answer.finish, 'tool_calls');
  assert.deepEqual(answer.usage, { prompt: 9, completion: 3, cached: 8, reasoning: 0 });
});

test('an error event is thrown in the words of the server', () => {
  assert.throws(() => addChunk(emptyAnswer(), { error: { message: 'out of memory', code: 'over_budget' } }), /out of memory/);
});

test('a call of number 10^9 makes no array of that length', () => {
  const answer = emptyAnswer();
  addChunk(answer, delta({ tool_calls: [{ index: 1e9, id: 'x' }] }));
  assert.equal(answer.toolCalls.length, 0);
});

test('the cost is told with the server’s timings, else with the browser’s clock', () => {
  const usage = { prompt: 20, completion: 11, cached: 16, reasoning: 0 };
  assert.deepEqual(describeCost({ usage, timings: { predicted_per_second: 42.4 } }), ['20 tokens read (16 cached)', '11 written', '42 tok/s']);
  assert.deepEqual(describeCost({ usage, clock: { first: 500, last: 2500 } }), ['20 tokens read (16 cached)', '11 written', '5.0 tok/s', 'first after 500 ms']);
});
