// Starts the page and ties its parts together.
import { announce } from './announce.js';
import { ApiError, apiKey, listModels, setApiKey } from './api.js';
import { Chat } from './chat.js';
import { Composer } from './composer.js';
import { newConversation, shownPath } from './conversation.js';
import { copyFrom } from './copy.js';
import { Dashboard } from './dashboard.js';
import { button, byId, h } from './dom.js';
import { icon } from './icons.js';
import { keep, kept } from './keep.js';
import { notice } from './notices.js';
import { defaultSettings, openDialog, openSettings } from './settings.js';
import { listen, showShortcuts } from './shortcuts.js';
import { Sidebar } from './sidebar.js';
import { Store } from './store.js';
import { switchTheme } from './theme.js';
import { download, fromJson, toJson } from './transfer.js';

const MODEL = 'sluice-model';

const store = new Store((text) => notice(text, { stays: true }), (id) => changedElsewhere(id));
const chat = new Chat(store, { changed: () => refresh(), needKey: () => askForKey(), model: () => byId('model').value });
const composer = new Composer({ onSend: (text) => chat.ask(text), onStop: () => chat.stop() });
const sidebar = new Sidebar(store, {
  open: (conversation) => open(conversation),
  rename: (conversation, title) => rename(conversation, title),
  remove: (conversation) => remove(conversation),
  current: () => chat.conversation,
  busy: (conversation) => conversation.messages.some((message) => chat.runs.has(message.id)),
});
const dashboard = new Dashboard(byId('panels'), byId('dashboard-state'));

function refresh() {
  composer.setBusy(Boolean(chat.running()));
  sidebar.draw();
  document.title = chat.conversation.title ? `${chat.conversation.title} · Sluice` : 'Sluice';
}

function open(conversation) {
  chat.show(conversation);
  showSidebar(false);
  location.hash = '#chat';
  byId('chat-title').focus({ preventScroll: true });
}

function begin() {
  chat.show(newConversation(defaultSettings()));
  showSidebar(false);
  location.hash = '#chat';
  byId('question').focus();
}

function rename(conversation, title) {
  conversation.title = title;
  store.save(conversation);
  chat.draw();
}

async function remove(conversation) {
  for (const message of conversation.messages) chat.runs.get(message.id)?.controller.abort();
  await store.remove(conversation.id);
  if (conversation === chat.conversation) begin();
  else sidebar.draw();
  const undo = async () => {
    await store.save(conversation);
    open(conversation);
  };
  notice(`“${conversation.title || 'New conversation'}” is deleted.`, { action: { text: 'Undo', run: undo } });
}

function changedElsewhere(id) {
  if (chat.conversation.id === id && !chat.running()) {
    const fresh = store.get(id);
    if (fresh) chat.show(fresh);
  }
  sidebar.draw();
}

async function readModels() {
  const select = byId('model');
  try {
    const models = await listModels();
    const wanted = kept(MODEL);
    select.replaceChildren(...models.map(({ id, context }) =>
      h('option', { value: id, selected: id === wanted }, context ? `${id} · ${contextText(context)}` : id)));
    if (models.length === 0) notice('The server has no model.');
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.kind === 'key') askForKey();
    else notice(error.message, { action: { text: 'Try again', run: readModels }, stays: true });
  }
}

const contextText = (tokens) => (tokens >= 1024 ? `${Math.round(tokens / 1024)}k` : `${tokens} tokens`);

function askForKey() {
  if (document.querySelector('dialog.key')) return;
  const input = h('input', { id: 'api-key', type: 'password', autocomplete: 'off', required: true });
  input.value = apiKey();
  const keep = (event) => {
    event.preventDefault();
    setApiKey(input.value.trim());
    dialog.close();
    readModels();
  };
  const form = h('form', { onsubmit: keep },
    h('p', {}, 'This server answers only those who have its key. It is kept until this tab is closed.'),
    h('div', { class: 'field' }, h('label', { for: 'api-key' }, 'API key'), input),
    h('div', { class: 'row' }, h('button', { type: 'submit', class: 'strong' }, 'Use it')));
  const dialog = openDialog('An API key is needed', form, 'key');
  input.focus();
}

function editSettings() {
  openSettings(chat.conversation.settings, (settings) => {
    chat.conversation.settings = settings;
    if (chat.conversation.messages.length > 0) store.save(chat.conversation);
  });
}

function showSidebar(shown) {
  byId('frame').classList.toggle('with-sidebar', shown);
  byId('shade').hidden = !shown;
  menu.setAttribute('aria-expanded', String(shown));
  if (shown) byId('search').focus();
}

async function importFile() {
  const input = byId('import-file');
  const [file] = input.files;
  input.value = '';
  if (!file) return;
  try {
    const read = fromJson(await file.text());
    for (const conversation of read) await store.save(conversation);
    if (read.length > 0) open(read[0]);
    notice(read.length === 1 ? 'One conversation is imported.' : `${read.length} conversations are imported.`);
  } catch (error) {
    notice(error.message);
  }
}

function showView() {
  const board = location.hash === '#dashboard';
  byId('chat').hidden = board;
  byId('dashboard').hidden = !board;
  for (const link of document.querySelectorAll('#views a')) {
    if ((link.hash === '#dashboard') === board) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  dashboard.run(board);
  if (board) byId('dashboard-title').focus({ preventScroll: true });
}

function escape() {
  if (byId('frame').classList.contains('with-sidebar')) {
    showSidebar(false);
    menu.focus();
  } else chat.stop();
}

function copyLast() {
  const last = shownPath(chat.conversation).findLast((message) => message.role === 'assistant');
  if (last) copyFrom(byId('question'), last.content);
}

const menu = button('Conversations', () => showSidebar(!byId('frame').classList.contains('with-sidebar')),
  { icon: icon('menu'), class: 'quiet', id: 'menu', 'aria-expanded': 'false', 'aria-controls': 'sidebar' });
byId('menu-place').replaceWith(menu);
byId('new-place').replaceWith(button('New conversation', begin, { icon: icon('plus'), class: 'quiet' }));
byId('tools-place').replaceWith(
  button('Settings', editSettings, { icon: icon('sliders'), class: 'quiet' }),
  button('Dark or light', () => announce(`${switchTheme()} theme`), { icon: icon('theme'), class: 'quiet' }),
  button('Keys', showShortcuts, { icon: icon('keys'), class: 'quiet', id: 'keys' }));
byId('transfer-place').replaceWith(
  button('Import', () => byId('import-file').click(), { text: 'Import', class: 'link' }),
  button('Export all', () => download('sluice-conversations.json', 'application/json', toJson(store.list())), { text: 'Export all', class: 'link' }));
byId('import-file').addEventListener('change', importFile);
byId('shade').addEventListener('click', () => showSidebar(false));
byId('model').addEventListener('change', () => keep(MODEL, byId('model').value));
addEventListener('hashchange', showView);
listen({
  new: begin,
  search: () => (showSidebar(matchMedia('(max-width: 50rem)').matches), byId('search').focus()),
  question: () => byId('question').focus(),
  edit: () => chat.editLast(),
  retry: () => chat.retryLast(),
  copy: copyLast,
  settings: editSettings,
  board: () => (location.hash = location.hash === '#dashboard' ? '#chat' : '#dashboard'),
  theme: () => announce(`${switchTheme()} theme`),
  help: showShortcuts,
  escape,
});

await store.open();
const [newest] = store.list();
chat.show(newest ?? newConversation(defaultSettings()));
showView();
readModels();
