// The engine's steps side by side: as wide as they took, prompts' tokens above, rows that decode below.
import { h } from './dom.js';

const SHOWN = 30000; // ms
const HEIGHT = 140; // CSS pixels
const MAX_STEPS = 20000;

export class Timeline {
  constructor() {
    this.steps = [];
    this.canvas = h('canvas', { height: HEIGHT, role: 'img', 'aria-label': 'No steps yet' });
    this.names = ['rows that decode', 'tokens of prompts'].map((name, i) => h('span', { class: `colour-${i}` }, name));
    this.element = h('section', { class: 'panel wide', hidden: true }, h('h2', {}, 'Steps'),
      h('p', { class: 'legend-line' }, this.names, h('span', { class: 'span' }, `the last ${SHOWN / 1000} seconds`)), this.canvas);
  }

  /** The number of the last step that is known. */
  get seq() {
    return this.steps.at(-1)?.seq ?? 0;
  }

  /** `steps` as /slots tells them, `now` on their clock. A server that was started anew counts from the beginning. */
  add(steps) {
    if (steps.length > 0 && steps[0].seq <= this.seq) this.steps = [];
    this.steps.push(...steps);
    const newest = this.steps.at(-1)?.at_ms ?? 0;
    const begin = this.steps.findIndex(({ at_ms }) => at_ms > newest - SHOWN);
    this.steps.splice(0, Math.max(begin, this.steps.length - MAX_STEPS));
    this.element.hidden = this.steps.length === 0;
    this.draw(newest);
  }

  draw(newest) {
    const ratio = devicePixelRatio || 1;
    const width = this.canvas.clientWidth;
    if (width === 0) return;
    Object.assign(this.canvas, { width: width * ratio, height: HEIGHT * ratio });
    const pen = this.canvas.getContext('2d');
    const [below, above] = this.names.map((name) => getComputedStyle(name, '::before').backgroundColor);
    const most = (of) => this.steps.reduce((all, step) => Math.max(all, of(step) ?? 0), 1);
    const rows = most(({ decode_rows: value }) => value);
    const tokens = most(({ prefill_tokens: value }) => value);
    const middle = Math.round((HEIGHT * ratio) / 2);
    const place = (at) => width * ratio * (1 - (newest - at) / SHOWN);
    for (const { at_ms: at, ms, decode_rows: decode = 0, prefill_tokens: prefill = 0 } of this.steps) {
      const left = Math.floor(place(at - ms)); // whole dots: no seams between steps
      const wide = Math.max(Math.ceil(place(at)) - left, 1);
      const up = Math.round((prefill / tokens) * (middle - 6));
      pen.fillStyle = above;
      pen.fillRect(left, middle - 1 - up, wide, up);
      pen.fillStyle = below;
      pen.fillRect(left, middle + 1, wide, Math.round((decode / rows) * (middle - 6)));
    }
    const mean = this.steps.reduce((sum, { ms }) => sum + ms, 0) / Math.max(this.steps.length, 1);
    this.canvas.setAttribute('aria-label',
      `${this.steps.length} steps, ${mean.toFixed(1)} milliseconds each; at most ${rows} rows decoding and ${tokens} prompt tokens in one`);
  }
}
