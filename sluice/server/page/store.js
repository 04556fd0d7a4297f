// Conversations in the browser's IndexedDB; in memory alone where that is not allowed. Other tabs hear of changes.

const DATABASE = 'sluice';
const TABLE = 'conversations';

export class Store {
  /** `onProblem(text)`: something could not be kept. `onChange()`: another tab has changed something. */
  constructor(onProblem, onChange) {
    this.onProblem = onProblem;
    this.conversations = new Map();
    this.database = null;
    this.channel = typeof BroadcastChannel === 'undefined' ? null : new BroadcastChannel(DATABASE);
    this.channel?.addEventListener('message', async ({ data }) => {
      await this.reread(data);
      onChange(data);
    });
  }

  async open() {
    try {
      this.database = await openDatabase();
      for (const one of await this.run('readonly', (table) => table.getAll())) this.conversations.set(one.id, one);
    } catch {
      this.onProblem('This browser keeps nothing for this page: conversations end with the tab.');
    }
  }

  /** Newest first. */
  list() {
    return [...this.conversations.values()].sort((a, b) => b.updated - a.updated);
  }

  get(id) {
    return this.conversations.get(id);
  }

  async save(conversation) {
    this.conversations.set(conversation.id, conversation);
    await this.write((table) => table.put(conversation), conversation.id);
  }

  async remove(id) {
    this.conversations.delete(id);
    await this.write((table) => table.delete(id), id);
  }

  async write(change, id) {
    if (!this.database) return;
    try {
      await this.run('readwrite', change);
      this.channel?.postMessage(id);
    } catch (error) {
      const full = error?.name === 'QuotaExceededError';
      this.onProblem(full
        ? 'The browser has no more room: this conversation is not kept. Export it, or delete others.'
        : 'The browser could not keep this conversation. Export it before you close the tab.');
    }
  }

  async reread(id) {
    if (!this.database) return;
    const found = await this.run('readonly', (table) => table.get(id)).catch(() => undefined);
    if (found) this.conversations.set(id, found);
    else this.conversations.delete(id);
  }

  /** One transaction; its result when it is complete, since a full disk is found out only then. */
  run(mode, action) {
    return new Promise((resolve, reject) => {
      const transaction = this.database.transaction(TABLE, mode);
      const request = action(transaction.objectStore(TABLE));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = transaction.onerror = () => reject(transaction.error ?? request.error);
    });
  }
}

function openDatabase() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(TABLE, { keyPath: 'id' });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
