// Conversations as files: JSON, which can be read again, and Markdown for people.
import { ROOT, newConversation, newId, shownPath } from './conversation.js';

const FORMAT = 'sluice-conversations-1';

export function toJson(conversations) {
  return JSON.stringify({ format: FORMAT, conversations }, null, 1);
}

/** The conversation's shown branch. */
export function toMarkdown(conversation) {
  const lines = [`# ${conversation.title || 'Conversation'}`, ''];
  if (conversation.settings.system) lines.push('## System', '', conversation.settings.system, '');
  for (const message of shownPath(conversation)) {
    lines.push(`## ${{ user: 'Question', assistant: 'Answer', tool: 'Tool' }[message.role] ?? message.role}`, '');
    if (message.reasoning) lines.push('<details><summary>Reasoning</summary>', '', message.reasoning, '', '</details>', '');
    lines.push(message.content, '');
    for (const call of message.toolCalls ?? []) lines.push(fenced(`${call.name}(${call.arguments})`), '');
  }
  return lines.join('\n');
}

function fenced(text) {
  const longest = Math.max(2, ...(text.match(/`+/g) ?? []).map((run) => run.length));
  const fence = '`'.repeat(longest + 1);
  return `${fence}\n${text}\n${fence}`;
}

/** The conversations of an exported file, with new ids. Throws Error, in words, when it is none. */
export function fromJson(text) {
  let file;
  try {
    file = JSON.parse(text);
  } catch {
    throw new Error('The file is no JSON: choose one that was exported here.');
  }
  if (file?.format !== FORMAT || !Array.isArray(file.conversations)) {
    throw new Error('The file has no conversations of Sluice: choose one that was exported here as JSON.');
  }
  return file.conversations.map(checked);
}

const string = (value) => (typeof value === 'string' ? value : '');
const number = (value) => (Number.isFinite(value) ? value : 0);

/** Only what is known, of the right types: whatever the file holds, the page can show the result. */
function checked(one) {
  const messages = Array.isArray(one?.messages) ? one.messages : [];
  const ids = new Map(messages.map((message) => [string(message?.id), newId()]));
  const idOf = (old) => ids.get(old) ?? ROOT;
  const chosen = Object.entries(one?.chosen ?? {}).map(([parent, child]) => [idOf(parent), idOf(child)]);
  return {
    ...newConversation(checkedSettings(one?.settings)),
    title: string(one?.title).slice(0, 200),
    created: number(one?.created),
    updated: number(one?.updated),
    messages: messages.map((message) => checkedMessage(message, idOf)),
    chosen: Object.fromEntries(chosen),
  };
}

function checkedMessage(message, idOf) {
  const calls = Array.isArray(message?.toolCalls) ? message.toolCalls : [];
  const toolCalls = calls.map((call) => ({ id: string(call?.id), name: string(call?.name), arguments: string(call?.arguments) }));
  const role = ['user', 'assistant', 'tool'].includes(message?.role) ? message.role : 'user';
  const known = { role, content: string(message?.content), reasoning: string(message?.reasoning), model: string(message?.model) };
  const ends = { finish: string(message?.finish) || null, toolCallId: string(message?.toolCallId) || undefined };
  const usage = message?.usage ? Object.fromEntries(['prompt', 'completion', 'cached', 'reasoning'].map((key) => [key, number(message.usage[key])])) : null;
  return { id: idOf(string(message?.id)), parent: idOf(message?.parent), created: number(message?.created), toolCalls, usage, ...known, ...ends };
}

function checkedSettings(settings) {
  const entries = Object.entries(settings ?? {}).filter(([, value]) => ['string', 'number', 'boolean'].includes(typeof value));
  return Object.fromEntries(entries.filter(([name]) => name !== '__proto__'));
}

/** Offers `text` as a file. */
export function download(name, type, text) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

export function fileName(title, ending) {
  const words = title.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-|-$/g, '').slice(0, 60);
  return `${words || 'conversation'}.${ending}`;
}
