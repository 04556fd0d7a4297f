// A conversation is a tree of messages: an edited question or a second answer is a sibling of the first.
// {id, title, created, updated, settings, messages: [{id, parent, role, content, ...}], chosen: {parent: child}}
// `chosen` has the branch that is shown below each message; ROOT stands above the first one.

export const ROOT = 'root';

export function newConversation(settings = {}) {
  const now = Date.now();
  return { id: newId(), title: '', created: now, updated: now, settings, messages: [], chosen: {} };
}

export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
}

/** Adds a message below `parent` and shows it; returns it. */
export function addMessage(conversation, parent, fields) {
  const message = { id: newId(), parent, created: Date.now(), ...fields };
  conversation.messages.push(message);
  conversation.chosen[parent] = message.id;
  conversation.updated = Date.now();
  if (!conversation.title && message.role === 'user') conversation.title = titleFrom(message.content);
  return message;
}

export function titleFrom(text) {
  const line = text.trim().split('\n', 1)[0].replace(/\s+/g, ' ');
  return line.length > 60 ? line.slice(0, 59).trimEnd() + '…' : line;
}

export function siblings(conversation, message) {
  return conversation.messages.filter((other) => other.parent === message.parent);
}

/** The messages that are shown, first to last. */
export function shownPath(conversation) {
  const children = new Map();
  for (const message of conversation.messages) {
    if (!children.has(message.parent)) children.set(message.parent, []);
    children.get(message.parent).push(message);
  }
  const path = [];
  const seen = new Set(); // an imported file may hold a circle
  let parent = ROOT;
  while (children.has(parent) && !seen.has(parent)) {
    seen.add(parent);
    const among = children.get(parent);
    const next = among.find((one) => one.id === conversation.chosen[parent]) ?? among.at(-1);
    path.push(next);
    parent = next.id;
  }
  return path;
}

/** Shows the sibling `step` places further on; returns whether there was one. */
export function showSibling(conversation, message, step) {
  const all = siblings(conversation, message);
  const next = all[all.indexOf(message) + step];
  if (next) conversation.chosen[message.parent] = next.id;
  return Boolean(next);
}

/** The request's messages up to and including `last`, which is on the shown path. */
export function requestMessages(conversation, last) {
  const messages = [];
  const system = conversation.settings.system?.trim();
  if (system) messages.push({ role: 'system', content: system });
  for (const message of shownPath(conversation)) {
    const nothing = message.role === 'assistant' && !message.content && !message.toolCalls?.length; // failed or stopped
    if (!nothing) messages.push(wireMessage(message));
    if (message === last) break;
  }
  return messages;
}

function wireMessage({ role, content, toolCalls, toolCallId }) {
  const wire = { role, content };
  if (toolCalls?.length) {
    wire.tool_calls = toolCalls.map((call) => ({
      id: call.id,
      type: 'function',
      function: { name: call.name, arguments: call.arguments },
    }));
  }
  if (toolCallId) wire.tool_call_id = toolCallId;
  return wire;
}

/** Whether all of the query's words are in the title or in a message. */
export function matches(conversation, query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return true;
  const texts = [conversation.title, ...conversation.messages.map((message) => message.content)];
  const all = texts.join('\n').toLowerCase();
  return words.every((word) => all.includes(word));
}
