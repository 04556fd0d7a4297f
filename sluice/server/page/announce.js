// What a screen reader hears of a stream: whole paragraphs, never tokens, and no more than one message in three seconds.
import { byId } from './dom.js';

const PAUSE = 3000; // ms
let waiting = [];
let timer = null;

export function announce(text) {
  waiting.push(text);
  timer ??= setTimeout(say, 100);
}

function say() {
  byId('spoken').textContent = waiting.join(' ');
  waiting = [];
  timer = setTimeout(() => {
    timer = null;
    if (waiting.length > 0) say();
  }, PAUSE);
}

/** Announces the paragraphs of a growing text as they are finished. */
export class Reader {
  constructor() {
    this.read = 0;
  }

  grow(text) {
    const end = text.lastIndexOf('\n\n');
    if (end > this.read) this.speak(text, end);
  }

  finish(text, ending) {
    this.speak(text, text.length);
    announce(ending);
  }

  speak(text, end) {
    const part = text.slice(this.read, end).trim();
    this.read = end;
    if (part) announce(part);
  }
}
