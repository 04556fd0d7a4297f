// The conversation that is shown, and answers on their way, also of conversations that are not shown.
import { Reader, announce } from './announce.js';
import { ApiError, streamChat } from './api.js';
import { ROOT, addMessage, newConversation, requestMessages, showSibling, shownPath } from './conversation.js';
import { byId, h } from './dom.js';
import { MessageView } from './message.js';
import { requestFields } from './settings.js';

const SAVE_EVERY = 2000; // ms, while an answer comes

export class Chat {
  /** `hooks`: {changed(), needKey(), model()} */
  constructor(store, hooks) {
    Object.assign(this, { store, hooks, runs: new Map(), views: new Map(), conversation: newConversation() });
    this.scroll = byId('scroll');
    this.follows = true;
    this.scroll.addEventListener('scroll', () => {
      this.follows = this.scroll.scrollHeight - this.scroll.scrollTop - this.scroll.clientHeight < 40;
    });
  }

  show(conversation) {
    this.conversation = conversation;
    this.views.clear();
    byId('messages').replaceChildren();
    this.draw();
    this.toEnd();
  }

  /** Draws the shown branch; views of messages that stay are kept. */
  draw() {
    const path = shownPath(this.conversation);
    const views = path.map((message) => this.views.get(message.id) ?? new MessageView(this.conversation, message, this.actions()));
    const list = byId('messages');
    views.forEach(({ element }, i) => list.children[i] !== element && list.insertBefore(element, list.children[i] ?? null));
    while (list.children.length > views.length) list.lastChild.remove();
    if (views.length === 0) list.append(h('p', { class: 'welcome' }, 'What would you like to know?'));
    this.views = new Map(views.map((view) => [view.message.id, view]));
    for (const view of views) view.update();
    byId('chat-title').textContent = this.conversation.title || 'New conversation';
    this.hooks.changed();
  }

  actions() {
    return {
      edit: (message, text) => this.answer(this.add(message.parent, { role: 'user', content: text })),
      retry: (message) => this.answer(this.parentOf(message)),
      branch: (message, step) => this.branch(message, step),
      answerCall: (message, call, text) => this.answer(this.add(message.id, { role: 'tool', content: text, toolCallId: call.id })),
      running: (message) => this.runs.get(message.id),
    };
  }

  parentOf(message) {
    return this.conversation.messages.find((one) => one.id === message.parent);
  }

  add(parent, fields) {
    const message = addMessage(this.conversation, parent, fields);
    this.store.save(this.conversation);
    return message;
  }

  ask(text) {
    const last = shownPath(this.conversation).at(-1);
    this.answer(this.add(last?.id ?? ROOT, { role: 'user', content: text }));
  }

  async branch(message, step) {
    if (!showSibling(this.conversation, message, step)) return;
    this.draw();
    const shown = shownPath(this.conversation).find((one) => one.parent === message.parent);
    const article = this.views.get(shown.id).element;
    const again = article.querySelector(`.branch button:${step < 0 ? 'first' : 'last'}-of-type`);
    (again?.disabled ? article.querySelector('.branch button:not([disabled])') : again)?.focus();
    await this.store.save(this.conversation);
  }

  retryLast() {
    const last = shownPath(this.conversation).at(-1);
    if (last && !this.running()) this.answer(last.role === 'assistant' ? this.parentOf(last) : last);
  }

  editLast() {
    const last = shownPath(this.conversation).findLast((message) => message.role === 'user');
    if (last && !this.running()) this.views.get(last.id).beginEdit();
  }

  /** The run of the shown conversation's last message, if it is on its way. */
  running() {
    return this.runs.get(shownPath(this.conversation).at(-1)?.id);
  }

  stop() {
    this.running()?.controller.abort();
  }

  /** Has the model answer `question`, in a new message below it. */
  async answer(question) {
    const { conversation } = this;
    const body = { model: this.hooks.model(), messages: requestMessages(conversation, question), ...requestFields(conversation.settings) };
    const message = addMessage(conversation, question.id, { role: 'assistant', content: '', reasoning: '', toolCalls: [], finish: null, model: body.model });
    const run = { controller: new AbortController(), begun: performance.now(), waited: 0 };
    this.runs.set(message.id, run);
    this.draw();
    this.toEnd();
    announce('Asked.');
    const reader = new Reader();
    const ticking = setInterval(() => this.tick(conversation, message, run), 500);
    try {
      const answer = await streamChat(body, run.controller.signal, (soFar) => {
        take(message, soFar);
        reader.grow(message.content);
        this.drawSoon(message);
      });
      take(message, answer);
      reader.finish(message.content, 'The answer is complete.');
    } catch (error) {
      this.fail(message, error);
    }
    clearInterval(ticking);
    this.runs.delete(message.id);
    conversation.updated = Date.now();
    await this.store.save(conversation);
    if (conversation === this.conversation) this.draw();
    else this.hooks.changed();
  }

  fail(message, error) {
    if (error.name === 'AbortError') {
      announce('Stopped.');
      return;
    }
    if (!(error instanceof ApiError)) console.error(error);
    message.error = error.message;
    announce(`The answer failed: ${error.message}`);
    if (error.kind === 'key') this.hooks.needKey();
  }

  tick(conversation, message, run) {
    run.waited = performance.now() - run.begun;
    if (!message.content && !message.reasoning) this.views.get(message.id)?.update();
    else if (run.waited - (run.saved ?? 0) > SAVE_EVERY) {
      run.saved = run.waited;
      this.store.save(conversation);
    }
  }

  /** At most once a frame, and for long answers less often, so that drawing takes a small part of the time. */
  drawSoon(message) {
    if (this.drawing || !this.views.has(message.id)) return;
    this.drawing = true;
    const pause = Math.min(500, message.content.length / 200); // ms
    setTimeout(() => requestAnimationFrame(() => {
      this.drawing = false;
      this.views.get(message.id)?.update();
      if (this.follows) this.toEnd();
    }), pause);
  }

  toEnd() {
    this.scroll.scrollTop = this.scroll.scrollHeight;
    this.follows = true;
  }
}

function take(message, { content, reasoning, toolCalls, finish, usage, timings, clock, model }) {
  Object.assign(message, { content, reasoning, toolCalls, finish, usage, timings, clock: { ...clock } });
  if (model) message.model = model;
}
