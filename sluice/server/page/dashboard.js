// /metrics and /slots, each second while it is looked at. What the server does not tell is not shown.
import { metricsText, readSlots } from './api.js';
import { seconds } from './answer.js';
import { LineChart, PartsBar } from './charts.js';
import { h } from './dom.js';
import { parseMetrics, total, totalsBy } from './prometheus.js';
import { History } from './series.js';
import { Timeline } from './timeline.js';

const EVERY = 1000; // ms

export class Dashboard {
  constructor(place, state) {
    Object.assign(this, { place, state, timer: null, history: new History() });
    this.tiles = h('section', { class: 'tiles', 'aria-label': 'Now' });
    this.memory = new PartsBar('Memory', bytes);
    this.speed = new LineChart('Tokens a second', rounded);
    this.hits = new LineChart('Found in a cache', percent, { top: 1 });
    this.disk = new LineChart('Disk', (value) => `${bytes(value)}/s`);
    this.queue = new LineChart('Requests', rounded);
    this.timeline = new Timeline();
    this.slots = new Table('In the engine', ['Model', 'State', 'Prompt', 'Cached', 'Written', 'Since']);
    this.requests = new Table('Answered since the start', ['API', 'Status', 'Requests']);
    const parts = [this.memory, this.timeline, this.speed, this.queue, this.hits, this.disk, this.slots, this.requests];
    place.append(this.tiles, ...parts.map(({ element }) => element));
  }

  /** Begins or ends reading. */
  run(shown) {
    clearTimeout(this.timer);
    this.timer = null;
    this.shown = shown;
    if (shown) this.read();
  }

  async read() {
    const [metrics, slots] = await Promise.allSettled([metricsText(), readSlots(this.timeline.seq)]);
    if (metrics.status === 'fulfilled') this.history.add(Date.now() / 1000, parseMetrics(metrics.value));
    const said = metrics.status === 'rejected' ? `Nothing can be read: ${metrics.reason.message}` : '';
    if (this.state.textContent !== said) this.state.textContent = said;
    this.draw();
    if (slots.status === 'fulfilled') this.drawSlots(slots.value);
    if (this.shown) this.timer = setTimeout(() => this.read(), document.hidden ? 5 * EVERY : EVERY);
  }

  draw() {
    const { history } = this;
    const now = history.samples.at(-1)?.at ?? 0;
    this.drawTiles();
    this.drawMemory();
    this.speed.update([
      { name: 'written', points: history.rate('sluice_generated_tokens_total') },
      { name: 'read', points: history.rate('sluice_prompt_tokens_computed_total') },
    ], now);
    this.queue.update([
      { name: 'running', points: history.gauge('sluice_requests_running') },
      { name: 'waiting', points: history.gauge('sluice_requests_waiting') },
    ], now);
    this.hits.update([
      { name: 'prompts', points: history.hitRate('prompt') },
      { name: 'experts', points: history.hitRate('experts') },
    ], now);
    this.disk.update([
      { name: 'read', points: history.rate('sluice_disk_read_bytes_total') },
      { name: 'written', points: history.rate('sluice_disk_written_bytes_total') },
    ], now);
    this.requests.update(requestRows(history.latest));
  }

  drawTiles() {
    const { history } = this;
    const { latest } = history;
    const last = (points) => points.slice(-5).map(({ value }) => value).filter((value) => value !== null);
    const mean = (values) => (values.length > 0 ? values.reduce((sum, value) => sum + value, 0) / values.length : null);
    const quantiles = (name) => [0.5, 0.95].map((q) => history.quantile(name, q)).map((value) => (value === null ? null : seconds(value * 1000)));
    const pair = ([middle, high]) => (middle === null ? null : `${middle} · ${high}`);
    const prompt = total(latest, 'sluice_prompt_tokens_total');
    const cached = total(latest, 'sluice_prompt_tokens_cached_total');
    const tiles = [
      ['Tokens a second', format(mean(last(history.rate('sluice_generated_tokens_total'))), rounded)],
      ['Running', format(total(latest, 'sluice_requests_running'), rounded)],
      ['Waiting', format(total(latest, 'sluice_requests_waiting'), rounded)],
      ['To the first token, median · 95 %', pair(quantiles('sluice_time_to_first_token_seconds'))],
      ['Between tokens, median · 95 %', pair(quantiles('sluice_inter_token_seconds'))],
      ['Of prompts not computed again', prompt > 0 && cached !== null ? percent(cached / prompt) : null],
    ];
    this.tiles.replaceChildren(...tiles.filter(([, value]) => value !== null).map(([name, value]) =>
      h('dl', {}, h('dt', {}, name), h('dd', {}, value))));
  }

  drawMemory() {
    const { latest } = this.history;
    const owners = [...totalsBy(latest, 'sluice_memory_bytes', 'owner')].map(([name, value]) => ({ name: name.replaceAll('_', ' '), value }));
    const budget = total(latest, 'sluice_memory_budget_bytes');
    const sum = owners.reduce((all, { value }) => all + value, 0);
    this.memory.update(owners, budget, budget > 0 ? `${bytes(sum)} of ${bytes(budget)}` : bytes(sum));
  }

  drawSlots({ slots, steps }) {
    const busy = slots.filter((slot) => slot.state !== 'idle' && slot.is_processing !== false);
    this.slots.update(busy.map((slot) => [
      slot.model ?? '–', slot.state ?? '–', progress(slot), slot.cached_tokens ?? '–',
      slot.generated ?? '–', slot.seconds === undefined ? '–' : seconds(slot.seconds * 1000),
    ]));
    if (steps) this.timeline.add(steps);
  }
}

class Table {
  constructor(title, columns) {
    this.body = h('tbody');
    this.element = h('section', { class: 'panel', hidden: true }, h('h2', {}, title),
      h('div', { class: 'table', tabindex: '0', role: 'region', 'aria-label': title },
        h('table', {}, h('thead', {}, h('tr', {}, columns.map((name) => h('th', { scope: 'col' }, name)))), this.body)));
  }

  update(rows) {
    this.element.hidden = rows.length === 0;
    this.body.replaceChildren(...rows.slice(0, 200).map((row) => h('tr', {}, row.map((cell) => h('td', {}, String(cell))))));
  }
}

function requestRows(metrics) {
  const samples = metrics.get('sluice_requests_total') ?? [];
  const rows = samples.map(({ labels, value }) => [labels.api ?? '', labels.status ?? '', value]);
  return rows.filter(([, , value]) => value > 0).sort((a, b) => b[2] - a[2]);
}

function progress({ prompt_tokens: all, prompt_done: done, state }) {
  if (all === undefined) return '–';
  return state === 'prefill' && done !== undefined ? `${done} of ${all}` : all;
}

const format = (value, words) => (value === null ? null : words(value));
const percent = (value) => `${Math.round(value * 100)} %`;
const rounded = (value) => (value < 10 && value % 1 ? value.toFixed(1) : String(Math.round(value)));

function bytes(value) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(value > 0 ? Math.max(0, Math.floor(Math.log2(value) / 10)) : 0, units.length - 1);
  const scaled = value / 1024 ** power;
  return `${scaled >= 100 || power === 0 ? Math.round(scaled) : scaled.toFixed(1)} ${units[power]}`;
}
