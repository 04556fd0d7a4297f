// Short sentences above the question: what went wrong, what can be undone.
import { button, byId, h } from './dom.js';
import { icon } from './icons.js';

const SHOWN = 10000; // ms

/** Shows `text`, with a button when `action` is {text, run}; it goes by itself unless `stays`. */
export function notice(text, { action = null, stays = false } = {}) {
  const close = () => box.remove();
  const act = action && button(action.text, () => (close(), action.run()), { text: action.text, class: 'link' });
  const box = h('p', { class: 'notice' }, h('span', {}, text), act, button('Dismiss', close, { icon: icon('close'), class: 'quiet' }));
  const same = [...byId('notices').children].find((one) => one.firstChild.textContent === text);
  same?.remove();
  byId('notices').append(box);
  if (!stays) setTimeout(close, SHOWN);
}
