// A conversation's system prompt and sampling. What is empty is left to the server and the model.
import { button, h } from './dom.js';
import { icon } from './icons.js';
import { keep, kept } from './keep.js';

const DEFAULTS = 'sluice-settings';

// name, label, what the number may be, and what it does.
const NUMBERS = [
  ['temperature', 'Temperature', { min: 0, max: 2, step: 'any' }, '0 always takes the likeliest token'],
  ['top_p', 'Top p', { min: 0, max: 1, step: 'any' }, 'likeliest tokens up to this share'],
  ['min_p', 'Min p', { min: 0, max: 1, step: 'any' }, 'least share of the likeliest token’s'],
  ['top_k', 'Top k', { min: 0, step: 1 }, 'at most so many tokens'],
  ['seed', 'Seed', { min: 0, max: Number.MAX_SAFE_INTEGER, step: 1 }, 'the same again'],
  ['max_tokens', 'Longest answer', { min: 1, step: 1 }, 'tokens'],
];

/** What a new conversation begins with: what was set last. */
export function defaultSettings() {
  try {
    return JSON.parse(kept(DEFAULTS)) ?? {};
  } catch {
    return {};
  }
}

/** The request's fields; the system prompt is a message instead. */
export function requestFields(settings) {
  const fields = {};
  for (const [name] of NUMBERS) if (Number.isFinite(settings[name])) fields[name] = settings[name];
  const stop = (settings.stop ?? '').split('\n').filter(Boolean);
  if (stop.length > 0) fields.stop = stop;
  if (settings.thinking === 'on' || settings.thinking === 'off') {
    fields.chat_template_kwargs = { enable_thinking: settings.thinking === 'on' };
  }
  const tools = parseTools(settings.tools ?? '');
  if (tools?.length) fields.tools = tools;
  return fields;
}

/** An array, or null where the text is none. */
function parseTools(text) {
  try {
    const tools = JSON.parse(text.trim() || '[]');
    return Array.isArray(tools) ? tools : null;
  } catch {
    return null;
  }
}

/** Opens the dialog; `onSave(settings)` is called when it is closed with Save. */
export function openSettings(settings, onSave) {
  const system = h('textarea', { id: 'set-system', rows: '5', dir: 'auto' });
  system.value = settings.system ?? '';
  const numbers = NUMBERS.map(([name, label, limits, hint]) => numberField(name, label, limits, hint, settings[name]));
  const stop = h('textarea', { id: 'set-stop', rows: '2', 'aria-describedby': 'stop-hint' });
  stop.value = settings.stop ?? '';
  const thinking = h('select', { id: 'set-thinking' },
    [['', 'as the model has it'], ['on', 'on'], ['off', 'off']].map(([value, text]) => h('option', { value, selected: (settings.thinking ?? '') === value }, text)));
  const tools = h('textarea', { id: 'set-tools', rows: '3', spellcheck: 'false', placeholder: '[{"type": "function", "function": {"name": …}}]' });
  tools.value = settings.tools ?? '';

  const save = () => {
    tools.setCustomValidity(parseTools(tools.value) ? '' : 'Not a JSON array');
    if (!form.reportValidity()) return;
    const chosen = { system: system.value, stop: stop.value, thinking: thinking.value, tools: tools.value };
    for (const { name, input } of numbers) if (input.value !== '') chosen[name] = Number(input.value);
    keep(DEFAULTS, JSON.stringify(chosen));
    onSave(chosen);
    dialog.close();
  };
  const form = h('form', { novalidate: false, onsubmit: (event) => (event.preventDefault(), save()) },
    field('set-system', 'System prompt', system),
    h('div', { class: 'numbers' }, numbers.map(({ element }) => element)),
    field('set-stop', 'Stop at', stop, h('p', { id: 'stop-hint', class: 'hint' }, 'one text a line')),
    field('set-thinking', 'Thinking', thinking),
    h('details', {}, h('summary', {}, 'Tools'), field('set-tools', 'Definitions, as JSON', tools)),
    h('div', { class: 'row' }, h('button', { type: 'submit', class: 'strong' }, 'Save'), button('Cancel', () => dialog.close(), { text: 'Cancel' })));
  const dialog = openDialog('Settings of this conversation', form, 'side');
}

function numberField(name, label, limits, hint, value) {
  const input = h('input', { id: `set-${name}`, type: 'number', inputmode: 'decimal', ...limits, placeholder: 'default', 'aria-describedby': `${name}-hint` });
  if (Number.isFinite(value)) input.value = value;
  return { name, input, element: field(`set-${name}`, label, input, h('p', { id: `${name}-hint`, class: 'hint' }, hint)) };
}

const field = (id, label, ...inner) => h('div', { class: 'field' }, h('label', { for: id }, label), inner);

/** A modal dialog with a title, removed when it closes. */
export function openDialog(title, content, kind = '') {
  const close = button('Close', () => dialog.close(), { icon: icon('close'), class: 'quiet' });
  const dialog = h('dialog', { class: kind, 'aria-labelledby': 'dialog-title', onclose: () => dialog.remove() },
    h('div', { class: 'bar' }, h('h2', { id: 'dialog-title' }, title), close), content);
  dialog.addEventListener('click', (event) => event.target === dialog && dialog.close()); // beside it
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
