// One message on the page: its text, what can be done with it, what it cost.
import { describeCost, seconds } from './answer.js';
import { siblings } from './conversation.js';
import { copyFrom } from './copy.js';
import { button, h } from './dom.js';
import { icon } from './icons.js';
import { renderMarkdown } from './render.js';

const NAMES = { user: 'You', assistant: 'Answer', tool: 'Tool result' };

export class MessageView {
  /** `actions`: {edit(message, text), retry(message), branch(message, step), answerCall(message, call, text), running(message)} */
  constructor(conversation, message, actions) {
    Object.assign(this, { conversation, message, actions });
    this.body = h('div', { class: 'body' });
    this.foot = h('div', { class: 'foot' });
    const name = h('h2', { class: message.role === 'assistant' ? 'who' : 'who unseen' }, NAMES[message.role] ?? message.role);
    this.name = name;
    this.element = h('article', { class: `message ${message.role}`, 'data-id': message.id }, name, this.body, this.foot);
    this.update();
  }

  /** Draws what has changed. */
  update() {
    const { message } = this;
    if (message.role === 'assistant') this.updateAnswer();
    else this.body.replaceChildren(h('div', { class: 'plain', dir: 'auto' }, message.content));
    this.updateFoot();
  }

  updateAnswer() {
    const { message } = this;
    if (message.model) this.name.textContent = message.model;
    this.updateReasoning();
    this.text ??= this.body.appendChild(h('div', { class: 'text' }));
    renderMarkdown(this.text, message.content);
    this.calls ??= this.body.appendChild(h('div', { class: 'calls' }));
    if (message.toolCalls?.length) this.calls.replaceChildren(...message.toolCalls.map((call) => this.drawCall(call)));
    this.state ??= this.body.appendChild(h('div', { class: 'state' }));
    this.state.replaceChildren(...this.describeState());
  }

  updateReasoning() {
    const { reasoning, content } = this.message;
    if (!reasoning) return;
    if (!this.reasoning) {
      this.reasoning = h('div', { class: 'text' });
      this.summary = h('summary', {});
      this.body.prepend(h('details', { class: 'reasoning' }, this.summary, this.reasoning));
    }
    const thinking = this.actions.running(this.message) && !content;
    this.summary.textContent = thinking ? 'Thinking…' : 'Thoughts';
    renderMarkdown(this.reasoning, reasoning);
  }

  drawCall(call) {
    const { message, actions } = this;
    const answered = this.conversation.messages.some((one) => one.toolCallId === call.id && one.parent === message.id);
    const result = h('textarea', { rows: '2', 'aria-label': `Result of ${call.name}`, placeholder: 'What the tool answers' });
    const give = button('Give the result', () => actions.answerCall(message, call, result.value), { text: 'Give the result' });
    const form = answered || actions.running(message) ? null : h('details', {}, h('summary', {}, 'Answer this call'), result, give);
    return h('section', { class: 'call', 'aria-label': `Call of ${call.name}` },
      h('p', {}, 'Calls ', h('code', {}, call.name)), h('pre', { tabindex: '0' }, pretty(call.arguments)), form);
  }

  describeState() {
    const { message, actions } = this;
    const run = actions.running(message);
    if (run) {
      if (message.content || message.reasoning || message.toolCalls?.length) return [];
      return [h('p', { class: 'waiting' }, `Waiting for the first token${run.waited ? `, ${seconds(run.waited)}` : ''}`)];
    }
    if (message.error) {
      const retry = button('Try again', () => actions.retry(message), { text: 'Try again', class: 'link' });
      return [h('p', { class: 'error' }, h('span', {}, message.error), retry)];
    }
    const endings = { length: 'Cut off: the limit of tokens was reached.', content_filter: 'Cut off by a filter.' };
    const ending = message.finish ? endings[message.finish] : 'Stopped here.';
    return ending ? [h('p', { class: 'ending' }, ending)] : [];
  }

  updateFoot() {
    const { message, actions } = this;
    if (actions.running(message)) {
      this.foot.replaceChildren();
      this.footKey = null;
      return;
    }
    const all = siblings(this.conversation, message);
    const key = JSON.stringify([all.length, all.indexOf(message), message.usage, message.finish, message.error]);
    if (key === this.footKey) return; // keeps the focus where it is
    this.footKey = key;
    this.foot.replaceChildren(...this.branchButtons(all), ...this.actionButtons(), h('span', { class: 'cost' }, describeCost(message).join(' · ')));
  }

  branchButtons(all) {
    if (all.length < 2) return [];
    const { message, actions } = this;
    const at = all.indexOf(message);
    const go = (label, name, step) =>
      button(label, () => actions.branch(message, step), { icon: icon(name), class: 'quiet', disabled: !all[at + step] });
    return [h('span', { class: 'branch', role: 'group', 'aria-label': `Version ${at + 1} of ${all.length}` },
      go('Previous version', 'previous', -1), h('span', { 'aria-hidden': 'true' }, `${at + 1}/${all.length}`), go('Next version', 'next', 1))];
  }

  actionButtons() {
    const { message, actions } = this;
    const copy = button('Copy', () => copyFrom(copy, message.content), { icon: icon('copy'), class: 'quiet copy' });
    const retry = () => button('Answer again', () => actions.retry(message), { icon: icon('again'), class: 'quiet' });
    const edit = () => button('Edit', () => this.beginEdit(), { icon: icon('edit'), class: 'quiet' });
    return [copy, message.role === 'assistant' ? retry() : null, message.role === 'user' ? edit() : null].filter(Boolean);
  }

  /** A field in the question's place; what it sends becomes a branch. */
  beginEdit() {
    const { message, actions } = this;
    const field = h('textarea', { 'aria-label': 'Edit your question', dir: 'auto' });
    field.value = message.content;
    const end = () => {
      this.body.replaceChildren(h('div', { class: 'plain', dir: 'auto' }, message.content));
      this.foot.hidden = false;
      this.foot.querySelector('[aria-label="Edit"]')?.focus();
    };
    const send = () => (field.value.trim() ? actions.edit(message, field.value) : end());
    field.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') event.stopPropagation(), end();
      if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) event.preventDefault(), send();
    });
    const buttons = h('div', { class: 'row' }, button('Send', send, { text: 'Send', class: 'strong' }), button('Cancel', end, { text: 'Cancel' }));
    this.body.replaceChildren(field, buttons);
    this.foot.hidden = true;
    field.rows = Math.min(12, message.content.split('\n').length + 1);
    field.focus();
  }
}

function pretty(json) {
  try {
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    return json;
  }
}
