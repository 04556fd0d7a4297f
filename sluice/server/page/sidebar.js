// The list of conversations: open, search, rename, export, delete.
import { matches } from './conversation.js';
import { button, byId, h } from './dom.js';
import { icon } from './icons.js';
import { download, fileName, toJson, toMarkdown } from './transfer.js';

export class Sidebar {
  /** `hooks`: {open(conversation), rename(conversation, title), remove(conversation), current(), busy(conversation)} */
  constructor(store, hooks) {
    Object.assign(this, { store, hooks, unfolded: null });
    byId('search').addEventListener('input', () => this.draw());
  }

  draw() {
    const query = byId('search').value;
    const found = this.store.list().filter((one) => matches(one, query));
    const list = byId('conversations');
    const focused = list.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    list.replaceChildren(...found.map((one) => this.item(one)));
    if (found.length === 0) list.append(h('li', { class: 'none' }, query ? 'Nothing found' : 'No conversations yet'));
    if (focused) list.querySelector(`[data-key="${focused}"]`)?.focus();
  }

  item(conversation) {
    const current = conversation === this.hooks.current();
    const unfolded = this.unfolded === conversation.id;
    const title = conversation.title || 'New conversation';
    const open = button(title, () => this.hooks.open(conversation),
      { text: h('span', { dir: 'auto' }, title), class: 'title', 'aria-current': current ? 'true' : null, 'data-key': conversation.id });
    const more = button(`More about ${title}`, () => this.unfold(unfolded ? null : conversation.id),
      { icon: icon('more'), class: 'quiet', 'aria-expanded': String(unfolded), 'data-key': `${conversation.id}-more` });
    const working = this.hooks.busy(conversation) ? h('span', { class: 'working', role: 'img', 'aria-label': 'is being answered' }) : null;
    const item = h('li', { class: current ? 'current' : null }, h('div', { class: 'line' }, open, working, more));
    if (unfolded) item.append(this.menu(conversation, item));
    return item;
  }

  unfold(id) {
    this.unfolded = id;
    this.draw();
  }

  menu(conversation, item) {
    const action = (text, run) => button(text, run, { text, class: 'link', 'data-key': `${conversation.id}-${text}` });
    const save = (ending, type, text) => download(fileName(conversation.title, ending), type, text);
    return h('div', { class: 'menu', role: 'group', 'aria-label': `Actions for ${conversation.title}` },
      action('Rename', () => this.rename(conversation, item)),
      action('As Markdown', () => save('md', 'text/markdown', toMarkdown(conversation))),
      action('As JSON', () => save('json', 'application/json', toJson([conversation]))),
      action('Delete', () => this.hooks.remove(conversation)));
  }

  rename(conversation, item) {
    const input = h('input', { type: 'text', 'aria-label': 'New title', maxlength: '200' });
    input.value = conversation.title;
    let ended = false;
    const end = (keep) => {
      if (ended) return;
      ended = true;
      if (keep && input.value.trim()) this.hooks.rename(conversation, input.value.trim());
      this.unfold(null);
      byId('conversations').querySelector(`[data-key="${conversation.id}"]`)?.focus();
    };
    input.addEventListener('keydown', (event) => {
      if (event.key === 'Enter') end(true);
      if (event.key === 'Escape') event.stopPropagation(), end(false);
    });
    input.addEventListener('blur', () => end(true));
    item.replaceChildren(input);
    input.select();
  }
}
