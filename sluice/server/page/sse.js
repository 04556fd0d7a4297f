// Server-sent events (WHATWG HTML, section 9.2) from text that arrives in pieces of any length.

const MAX_EVENT = 16 * 1024 * 1024; // characters

/** Calls `onEvent({event, data})` for each event that has data, `onComment()` for each comment (a sign of life). */
export class SseReader {
  constructor(onEvent, onComment = () => {}) {
    this.onEvent = onEvent;
    this.onComment = onComment;
    this.rest = ''; // of a line whose end has not come
    this.searched = 0; // of rest, without a line's end
    this.reset();
  }

  reset() {
    this.event = 'message';
    this.data = [];
    this.size = 0;
  }

  /** Throws Error on an event larger than 16 Mi characters. */
  feed(text) {
    const all = this.rest + text;
    let begin = 0;
    let at = this.searched;
    for (; at < all.length; ++at) {
      const c = all.charCodeAt(at);
      if (c !== 10 && c !== 13) continue;
      if (c === 13 && at + 1 === all.length) break; // perhaps the first half of CR LF
      this.line(all.slice(begin, at));
      if (c === 13 && all.charCodeAt(at + 1) === 10) ++at;
      begin = at + 1;
    }
    this.rest = all.slice(begin);
    this.searched = at - begin;
    if (this.rest.length + this.size > MAX_EVENT) throw new Error('the server sent an event that is too large');
  }

  line(text) {
    if (text === '') return this.dispatch();
    if (text[0] === ':') return this.onComment();
    const colon = text.indexOf(':');
    const field = colon < 0 ? text : text.slice(0, colon);
    let value = colon < 0 ? '' : text.slice(colon + 1);
    if (value[0] === ' ') value = value.slice(1);
    if (field === 'event') this.event = value;
    if (field === 'data') {
      this.data.push(value);
      this.size += value.length;
    }
  }

  dispatch() {
    const { event, data } = this;
    this.reset();
    if (data.length > 0) this.onEvent({ event, data: data.join('\n') });
  }
}
