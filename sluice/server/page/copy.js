// To the clipboard.
import { announce } from './announce.js';
import { h } from './dom.js';

/** Copies text; `target`, a button, says so for a moment, and a screen reader hears it. */
export async function copyFrom(target, text) {
  let said = 'Copied';
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    said = copyBySelection(text) ? 'Copied' : 'Copying is not allowed here';
  }
  announce(said);
  target.dataset.said = said;
  setTimeout(() => delete target.dataset.said, 1500);
}

// Pages that came by plain HTTP from another machine have no navigator.clipboard.
function copyBySelection(text) {
  const area = h('textarea', { class: 'unseen', 'aria-hidden': 'true', tabindex: '-1' });
  area.value = text;
  const focused = document.activeElement;
  document.body.append(area);
  area.select();
  const copied = document.execCommand('copy');
  area.remove();
  focused?.focus();
  return copied;
}
