// The field for a question, as high as its text; its button sends or stops.
import { button, byId } from './dom.js';
import { icon } from './icons.js';

export class Composer {
  constructor({ onSend, onStop }) {
    Object.assign(this, { onSend, onStop, busy: false });
    this.field = byId('question');
    this.button = button('Send', () => this.press(), { icon: icon('send'), class: 'strong round' });
    byId('send-place').replaceWith(this.button);
    byId('composer').addEventListener('submit', (event) => event.preventDefault());
    this.field.addEventListener('input', () => this.fit());
    this.field.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      if (!this.busy) this.press();
    });
    this.fit();
  }

  press() {
    if (this.busy) {
      this.onStop();
      return;
    }
    const text = this.field.value;
    if (!text.trim()) return;
    this.field.value = '';
    this.fit();
    this.onSend(text);
  }

  setBusy(busy) {
    if (busy === this.busy) return;
    this.busy = busy;
    const label = busy ? 'Stop' : 'Send';
    this.button.replaceChildren(icon(busy ? 'stop' : 'send'));
    this.button.setAttribute('aria-label', label);
    this.button.title = label;
  }

  fit() {
    this.field.style.height = 'auto';
    this.field.style.height = `${Math.min(this.field.scrollHeight, innerHeight * 0.4)}px`;
  }
}
