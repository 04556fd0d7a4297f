// Keys. Alt with a letter works everywhere, by the key's place, so that a Mac's Alt letters do too.
import { h } from './dom.js';
import { openDialog } from './settings.js';

/** `actions`: {name: function}; names are those of KEYS. */
export function listen(actions) {
  document.addEventListener('keydown', (event) => {
    if (event.isComposing || document.querySelector('dialog[open]')) return;
    const name = nameOf(event);
    if (!name || !actions[name]) return;
    event.preventDefault();
    actions[name]();
  });
}

// What to press, its code with Alt, and what it does.
const KEYS = [
  ['Alt N', 'KeyN', 'new', 'New conversation'],
  ['Alt K', 'KeyK', 'search', 'Search conversations'],
  ['Alt I', 'KeyI', 'question', 'To the question'],
  ['Alt U', 'KeyU', 'edit', 'Edit the last question'],
  ['Alt R', 'KeyR', 'retry', 'Answer again'],
  ['Alt C', 'KeyC', 'copy', 'Copy the last answer'],
  ['Alt O', 'KeyO', 'settings', 'Settings'],
  ['Alt B', 'KeyB', 'board', 'Chat or dashboard'],
  ['Alt T', 'KeyT', 'theme', 'Dark or light'],
  ['Alt H', 'KeyH', 'help', 'These keys'],
];

function nameOf(event) {
  if (event.key === 'Escape') return 'escape';
  if (!event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return null;
  return KEYS.find(([, code]) => code === event.code)?.[2];
}

export function showShortcuts() {
  const rows = [...KEYS, ['Enter', '', '', 'Send'], ['Shift Enter', '', '', 'New line'], ['Escape', '', '', 'Stop the answer, close what is open']];
  openDialog('Keys', h('dl', { class: 'keys' }, rows.map(([keys, , , text]) =>
    h('div', {}, h('dt', {}, keys.split(' ').map((key) => h('kbd', {}, key))), h('dd', {}, text)))));
}
