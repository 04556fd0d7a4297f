// What has been read of /metrics, for as long as a chart shows.
import { total } from './prometheus.js';

export const WINDOW = 300; // samples, one a second

export class History {
  constructor() {
    this.samples = []; // [{at: seconds, metrics}], oldest first
  }

  add(at, metrics) {
    this.samples.push({ at, metrics });
    if (this.samples.length > WINDOW) this.samples.shift();
  }

  get latest() {
    return this.samples.at(-1)?.metrics ?? new Map();
  }

  gauge(name, labels) {
    return this.samples.map(({ at, metrics }) => ({ at, value: total(metrics, name, labels) }));
  }

  /** A counter's growth per second between neighbours; a counter that fell was begun anew. */
  rate(name, labels) {
    return this.pairs((before, after, seconds) => {
      const grown = growth(before, after, name, labels);
      return grown === null ? null : grown / seconds;
    });
  }

  /** hits / (hits + misses) among the lookups of each second; null where there were none. */
  hitRate(cache) {
    const name = 'sluice_cache_lookups_total';
    return this.pairs((before, after) => {
      const hits = growth(before, after, name, { cache, result: 'hit' }) ?? 0;
      const misses = growth(before, after, name, { cache, result: 'miss' }) ?? 0;
      return hits + misses > 0 ? hits / (hits + misses) : null;
    });
  }

  pairs(valueOf) {
    const points = [];
    for (let i = 1; i < this.samples.length; ++i) {
      const [before, after] = [this.samples[i - 1], this.samples[i]];
      const value = valueOf(before.metrics, after.metrics, Math.max(after.at - before.at, 0.001));
      points.push({ at: after.at, value });
    }
    return points;
  }

  /** The q-th quantile of a histogram over all that is remembered, as Prometheus interpolates it; null without data. */
  quantile(name, q) {
    const [first, last] = [this.samples[0]?.metrics, this.latest];
    const buckets = (last.get(`${name}_bucket`) ?? []).map(({ labels }) => labels.le);
    const bounds = [...new Set(buckets)].map((le) => ({ le, bound: le === '+Inf' ? Infinity : Number(le) }));
    bounds.sort((a, b) => a.bound - b.bound);
    const counts = bounds.map(({ le }) => growth(first, last, `${name}_bucket`, { le }) ?? 0);
    // Nothing new since the page was opened: all since the server's start.
    const since = counts.at(-1) > 0 ? counts : bounds.map(({ le }) => total(last, `${name}_bucket`, { le }) ?? 0);
    return interpolate(bounds.map(({ bound }) => bound), since, q);
  }
}

function interpolate(bounds, counts, q) {
  const wanted = q * (counts.at(-1) ?? 0);
  const at = counts.findIndex((count) => count >= wanted);
  if (!(wanted > 0) || at < 0) return null;
  const low = at > 0 ? bounds[at - 1] : 0;
  if (bounds[at] === Infinity) return low;
  const below = at > 0 ? counts[at - 1] : 0;
  return low + ((bounds[at] - low) * (wanted - below)) / Math.max(counts[at] - below, 1);
}

function growth(before, after, name, labels) {
  const [from, to] = [total(before, name, labels), total(after, name, labels)];
  if (to === null) return null;
  return from === null || to < from ? to : to - from;
}
