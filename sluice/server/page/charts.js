// Pictures of numbers: lines over the last minutes, and a bar of parts. Values are also there as words.
import { h, svg } from './dom.js';
import { WINDOW } from './series.js';

const WIDTH = 600; // of a chart's own units
const HEIGHT = 120;

/** Lines over time. `format(value)` gives the words for a value; `top` fixes the scale. */
export class LineChart {
  constructor(title, format, { top = null } = {}) {
    Object.assign(this, { title, format, top });
    this.scale = h('span', { class: 'scale' });
    this.legend = h('ul', { class: 'legend' });
    this.picture = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img' });
    const span = h('p', { class: 'span', 'aria-hidden': 'true' }, h('span', {}, `${WINDOW / 60} minutes ago`), h('span', {}, 'now'));
    this.element = h('section', { class: 'panel chart' }, h('h2', {}, title), this.legend, h('div', { class: 'plot' }, this.scale, this.picture), span);
  }

  /** `lines`: [{name, points: [{at, value}]}], seconds; without any value the chart hides. */
  update(lines, now) {
    const drawn = lines.map((line, i) => ({ ...line, i })).filter(({ points }) => points.some(({ value }) => value !== null));
    this.element.hidden = drawn.length === 0;
    const values = drawn.flatMap(({ points }) => points.map(({ value }) => value ?? 0));
    const top = this.top ?? niceTop(Math.max(...values, 0));
    this.scale.textContent = this.format(top);
    const grid = [0.25, 0.5, 0.75].map((part) => svg('line', { class: 'grid', x1: 0, x2: WIDTH, y1: HEIGHT * part, y2: HEIGHT * part }));
    this.picture.replaceChildren(...grid, ...drawn.map(({ points, i }) => svg('path', { class: `line colour-${i}`, d: path(points, now, top) })));
    const said = drawn.map(({ name, points, i }) => ({ name, i, words: words(points, this.format) }));
    this.legend.replaceChildren(...said.map(({ name, i, words: value }) => h('li', { class: `colour-${i}` }, `${name} `, h('b', {}, value))));
    this.picture.setAttribute('aria-label', `${this.title}: ${said.map(({ name, words: value }) => `${name} ${value}`).join(', ')}`);
  }
}

function words(points, format) {
  const last = points.findLast(({ value }) => value !== null);
  return last ? format(last.value) : '–';
}

function path(points, now, top) {
  let d = '';
  let pen = 'M';
  for (const { at, value } of points) {
    if (value === null) {
      pen = 'M';
      continue;
    }
    const x = WIDTH * (1 - (now - at) / WINDOW);
    const y = HEIGHT - 2 - (HEIGHT - 6) * Math.min(value / top, 1);
    d += `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = 'L';
  }
  return d;
}

/** The next of 1, 2, 5, 10, ... */
function niceTop(value) {
  if (!(value > 0)) return 1;
  const unit = 10 ** Math.floor(Math.log10(value));
  return unit * [1, 2, 5, 10].find((step) => step * unit >= value);
}

/** One bar of parts: [{name, value}], and the whole it is measured by. */
export class PartsBar {
  constructor(title, format) {
    Object.assign(this, { title, format });
    this.bar = svg('svg', { viewBox: '0 0 100 6', preserveAspectRatio: 'none', role: 'img' });
    this.legend = h('ul', { class: 'legend' });
    this.note = h('p', { class: 'note' });
    this.element = h('section', { class: 'panel parts' }, h('h2', {}, title), this.bar, this.legend, this.note);
  }

  update(parts, whole, note) {
    const sum = parts.reduce((all, { value }) => all + value, 0);
    const scale = 100 / Math.max(whole ?? 0, sum, 1);
    this.element.hidden = parts.length === 0;
    let x = 0;
    const pieces = parts.map(({ value }, i) => {
      const piece = svg('rect', { class: `colour-${i % 6}`, x, y: 0, width: value * scale, height: 6 });
      x += value * scale;
      return piece;
    });
    this.bar.replaceChildren(...pieces);
    this.legend.replaceChildren(...parts.map(({ name, value }, i) => h('li', { class: `colour-${i % 6}` }, `${name} `, h('b', {}, this.format(value)))));
    this.bar.setAttribute('aria-label', `${this.title}: ${parts.map(({ name, value }) => `${name} ${this.format(value)}`).join(', ')}`);
    this.note.textContent = note;
  }
}
