// Keys: Alt with a letter, by the key's place on a keyboard. A Mac's Alt writes letters, so there it is Ctrl Shift.
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

const ON_MAC = /^(Mac|iP)/.test(navigator.platform);
const MODIFIER = ON_MAC ? 'Ctrl Shift' : 'Alt';
const KEYS = [ // a letter, its action, what it does
  ['N', 'new', 'New conversation'],
  ['K', 'search', 'Search conversations'],
  ['I', 'question', 'To the question'],
  ['U', 'edit', 'Edit the last question'],
  ['R', 'retry', 'Answer again'],
  ['C', 'copy', 'Copy the last answer'],
  ['O', 'settings', 'Settings'],
  ['B', 'board', 'Chat or dashboard'],
  ['T', 'theme', 'Dark or light'],
  ['H', 'help', 'These keys'],
];

function nameOf(event) {
  if (event.key === 'Escape') return 'escape';
  const { altKey, ctrlKey, shiftKey, metaKey } = event;
  if (metaKey || altKey === ON_MAC || ctrlKey !== ON_MAC || shiftKey !== ON_MAC) return null;
  return KEYS.find(([letter]) => event.code === `Key${letter}`)?.[1];
}

export function showShortcuts() {
  const fixed = [['Enter', 'Send'], ['Shift Enter', 'New line'], ['Escape', 'Stop the answer, close what is open']];
  const rows = [...KEYS.map(([letter, , text]) => [`${MODIFIER} ${letter}`, text]), ...fixed];
  openDialog('Keys', h('dl', { class: 'keys' }, rows.map(([keys, text]) =>
    h('div', {}, h('dt', {}, keys.split(' ').map((key) => h('kbd', {}, key))), h('dd', {}, text)))));
}
