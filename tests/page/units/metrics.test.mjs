import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseMetrics, total, totalsBy } from '../page/prometheus.js';
import { History } from '../page/series.js';

test('samples with labels, escapes and special values; bad lines are passed over', () => {
  const metrics = parseMetrics('# HELP a b\na 1\na{x="1",y="q\\"\\\\\\n,}"} 2.5e3 1700000000\nb{x="y"} +Inf\nbad{x=1} 2\nc{x="\n1 2\nd\n=\n');
  assert.deepEqual(metrics.get('a'), [{ labels: {}, value: 1 }, { labels: { x: '1', y: 'q"\\\n,}' }, value: 2500 }]);
  assert.equal(metrics.get('b')[0].value, Infinity);
  assert.deepEqual([...metrics.keys()], ['a', 'b']);
  assert.equal(total(metrics, 'a'), 2501);
  assert.equal(total(metrics, 'none'), null);
  assert.deepEqual([...totalsBy(metrics, 'a', 'x')], [['', 1], ['1', 2500]]);
});

test('rates survive a server that was started anew', () => {
  const history = new History();
  [10, 30, 5].forEach((count, i) => history.add(i * 2, parseMetrics(`n ${count}`)));
  assert.deepEqual(history.rate('n').map(({ value }) => value), [10, 2.5]);
  assert.deepEqual(history.rate('missing').map(({ value }) => value), [null, null].map(() => 0).map(() => null));
});

test('hit rates are of each second’s lookups, and none where there were none', () => {
  const history = new History();
  const text = (hits, misses) => `sluice_cache_lookups_total{cache="prompt",result="hit"} ${hits}\nsluice_cache_lookups_total{cache="prompt",result="miss"} ${misses}`;
  [[0, 0], [3, 1], [3, 1]].forEach(([hits, misses], i) => history.add(i, parseMetrics(text(hits, misses))));
  assert.deepEqual(history.hitRate('prompt').map(({ value }) => value), [0.75, null]);
});

test('quantiles are interpolated in a histogram’s buckets', () => {
  const history = new History();
  history.add(0, parseMetrics('t_bucket{le="0.1"} 0\nt_bucket{le="0.2"} 10\nt_bucket{le="+Inf"} 10'));
  assert.ok(Math.abs(history.quantile('t', 0.5) - 0.15) < 1e-9);
  assert.equal(history.quantile('none', 0.5), null);
});
