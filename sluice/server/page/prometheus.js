// The Prometheus text format (exposition format 0.0.4). Lines that are none of it are passed over.

const MAX_SAMPLES = 20000;
const NAME = /[a-zA-Z_:][a-zA-Z0-9_:]*/y;

/** Samples by name: Map of name to [{labels, value}]. */
export function parseMetrics(text) {
  const metrics = new Map();
  let count = 0;
  for (const line of text.split('\n')) {
    const sample = line[0] === '#' ? null : parseSample(line.trim());
    if (!sample) continue;
    if (++count > MAX_SAMPLES) break;
    if (!metrics.has(sample.name)) metrics.set(sample.name, []);
    metrics.get(sample.name).push({ labels: sample.labels, value: sample.value });
  }
  return metrics;
}

function parseSample(line) {
  NAME.lastIndex = 0;
  const name = NAME.exec(line)?.[0];
  if (!name) return null;
  const labels = {};
  let at = name.length;
  if (line[at] === '{') at = parseLabels(line, at + 1, labels);
  const value = at < 0 ? NaN : parseValue(line.slice(at).trim().split(/\s+/)[0]);
  return value === null || at < 0 ? null : { name, labels, value };
}

function parseValue(word) {
  const special = { '+Inf': Infinity, '-Inf': -Infinity, NaN }[word];
  if (special !== undefined) return special;
  return word && Number.isFinite(Number(word)) ? Number(word) : null;
}

/** Reads `name="value",...}`; returns where the brace has ended, -1 where it has not. */
function parseLabels(line, at, labels) {
  for (;;) {
    while (line[at] === ' ' || line[at] === ',') ++at;
    if (line[at] === '}') return at + 1;
    NAME.lastIndex = at;
    const name = NAME.exec(line)?.[0];
    if (!name) return -1;
    at += name.length;
    if (line.slice(at, at + 2) !== '="') return -1;
    let value = '';
    for (at += 2; line[at] !== '"'; ++at) {
      if (at >= line.length) return -1;
      if (line[at] !== '\\') value += line[at];
      else value += line[++at] === 'n' ? '\n' : line[at] ?? '';
    }
    ++at;
    labels[name] = value;
  }
}

/** The sum over the samples of a series that have these labels; null where there is none. */
export function total(metrics, name, labels = {}) {
  const wanted = Object.entries(labels);
  const found = (metrics.get(name) ?? []).filter((one) => wanted.every(([key, value]) => one.labels[key] === value));
  return found.length === 0 ? null : found.reduce((sum, one) => sum + one.value, 0);
}

/** Sums by one label: Map of its value to the sum. */
export function totalsBy(metrics, name, label) {
  const sums = new Map();
  for (const { labels, value } of metrics.get(name) ?? []) {
    const key = labels[label] ?? '';
    sums.set(key, (sums.get(key) ?? 0) + value);
  }
  return sums;
}
