import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ROOT, addMessage, matches, newConversation, requestMessages, showSibling, shownPath, siblings } from '../page/conversation.js';
import { highlight } from '../page/highlight.js';
import { fileName, fromJson, toJson, toMarkdown } from '../page/transfer.js';

function talk() {
  const conversation = newConversation({ system: ' Be brief. ', temperature: 0 });
  const first = addMessage(conversation, ROOT, { role: 'user', content: 'One?' });
  const answer = addMessage(conversation, first.id, { role: 'assistant', content: 'Yes.' });
  const second = addMessage(conversation, answer.id, { role: 'user', content: 'Two?' });
  return { conversation, first, answer, second };
}
const texts = (conversation) => shownPath(conversation).map(({ content }) => content);

test('an edited question is a branch, and the old one is kept with what followed it', () => {
  const { conversation, first } = talk();
  const edited = addMessage(conversation, ROOT, { role: 'user', content: 'Uno?' });
  assert.deepEqual(texts(conversation), ['Uno?']);
  assert.deepEqual(siblings(conversation, edited), [first, edited]);
  assert.equal(showSibling(conversation, edited, -1), true);
  assert.deepEqual(texts(conversation), ['One?', 'Yes.', 'Two?']);
  assert.equal(showSibling(conversation, first, -1), false);
});

test('a request has the system prompt and the shown branch, without answers that failed', () => {
  const { conversation, second } = talk();
  const failed = addMessage(conversation, second.id, { role: 'assistant', content: '', error: 'x' });
  const third = addMessage(conversation, failed.id, { role: 'user', content: 'Three?' });
  assert.deepEqual(requestMessages(conversation, third).map(({ role, content }) => `${role}: ${content}`),
    ['system: Be brief.', 'user: One?', 'assistant: Yes.', 'user: Two?', 'user: Three?']);
});

test('what is exported can be imported', () => {
  const { conversation } = talk();
  const [back] = fromJson(toJson([conversation]));
  assert.notEqual(back.id, conversation.id);
  assert.deepEqual(texts(back), texts(conversation));
  assert.deepEqual(back.settings, conversation.settings);
  assert.match(toMarkdown(conversation), /^# One\?\n\n## System\n\n Be brief\. \n\n## Question\n\nOne\?\n\n## Answer\n\nYes\./);
  assert.equal(fileName('Why? <script>/../', 'md'), 'why-script.md');
});

test('a hostile file is refused or made harmless', () => {
  for (const text of ['', '{', '[]', '{"format": "other"}', 'null']) assert.throws(() => fromJson(text), /file/);
  const circle = { format: 'sluice-conversations-1', conversations: [{ id: 5, title: {}, settings: { __proto__: 1, system: [] }, chosen: { root: 'a', a: 'a' }, messages: [null, { id: 'a', parent: 'a', role: 'evil', content: 7 }, { id: 'b', parent: 'root' }] }] };
  const [read] = fromJson(JSON.stringify(circle));
  assert.equal(read.title, '');
  assert.deepEqual(shownPath(read).map(({ role, content }) => [role, content]), [['user', '']]);
});

test('search wants all words, wherever they stand', () => {
  const { conversation } = talk();
  assert.equal(matches(conversation, 'YES two'), true);
  assert.equal(matches(conversation, 'yes three'), false);
});

test('highlighting keeps every character', () => {
  const code = '// a "b"\nint x = 0x1F; /* open\nchar c = \'\\\'\'; "unclosed\n#if 🦆';
  for (const name of ['cpp', 'python', 'js', 'sql', 'bash', 'diff', 'rust', 'nonsense', '']) assert.equal(highlight(code, name).map(({ text }) => text).join(''), code, name);
  assert.deepEqual(highlight('return 1 # x', 'py').map(({ kind }) => kind), ['keyword', null, 'number', null, 'comment']);
});
