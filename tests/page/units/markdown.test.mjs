import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseInline, safeHref } from '../page/inline.js';
import { parseMarkdown } from '../page/markdown.js';

/** A tree in short: p[…], em(…), text as it is. */
function inline(nodes) {
  return nodes.map((node) => {
    if (node.type === 'text') return node.text;
    if (node.type === 'break') return '⏎';
    if (node.children) return `${node.type}(${node.href ? `${node.href}: ` : ''}${inline(node.children)})`;
    return `${node.type}(${node.text ?? node.tex})`;
  }).join('');
}

function block(node) {
  if (node.blocks) return `quote[${node.blocks.map(block).join(' ')}]`;
  if (node.items) return `${node.ordered ? `ol${node.start}` : 'ul'}[${node.items.map((item) => item.blocks.map(block).join(' ')).join(' | ')}]`;
  if (node.type === 'code') return `code:${node.language}(${node.text})`;
  if (node.type === 'table') return `table[${[node.head, ...node.rows].map((row) => row.map(inline).join(',')).join(' | ')}]`;
  if (node.type === 'maths') return `maths(${node.tex})`;
  if (node.type === 'rule') return 'rule';
  return `${node.type === 'heading' ? `h${node.level}` : 'p'}[${inline(node.inline)}]`;
}

const blocks = (text) => parseMarkdown(text).map(block).join(' ');
const line = (text) => inline(parseInline(text));

test('emphasis pairs as CommonMark has it', () => {
  assert.equal(line('*a* **b** ***c*** ~~d~~ _e_'), 'em(a) strong(b) em(strong(c)) del(d) em(e)');
  assert.equal(line('snake_case_name and 2 * 3 * 4'), 'snake_case_name and 2 * 3 * 4');
  assert.equal(line('**bold *and* more** *open'), 'strong(bold em(and) more) *open');
  assert.equal(line('*a **b*'), '*a *em(b)');
  assert.equal(line('**“quoted”**, then'), 'strong(“quoted”), then');
});

test('code, escapes and entities are literal', () => {
  assert.equal(line('`a*b*` ``x`y`` \\*no\\* &lt;b&gt; &bogus;'), 'code(a*b*) code(x`y) *no* <b> &bogus;');
  assert.equal(line('`open *em*'), '`open em(em)');
});

test('links lead to http, https and mailto only', () => {
  assert.equal(line('[a](https://x.y/(z)) <https://q.r> see https://s.t/u.'), 'link(https://x.y/(z): a) link(https://q.r: https://q.r) see link(https://s.t/u: https://s.t/u).');
  assert.equal(line('[a](javascript:alert(1))'), '[a](javascript:alert(1))');
  assert.equal(line('![alt](https://x.y/p.png)'), 'link(https://x.y/p.png: alt)');
  assert.equal(line('[![badge](https://a.b/c.svg)](https://d.e)'), 'link(https://d.e: badge)');
  for (const bad of ['javascript:x', 'JavaScript:x', ' javascript:x', 'java\nscript:x', 'data:text/html,x', 'vbscript:x', '//x', '/x', 'https://a\u202eb'])
    assert.equal(safeHref(bad), null, bad);
});

test('dollars are maths only where they are not money', () => {
  assert.equal(line('costs $5 and $6, but $x^2$ and \\(y\\)'), 'costs $5 and $6, but maths(x^2) and maths(y)');
});

test('blocks of all kinds', () => {
  assert.equal(blocks('# T\n\ntext\nmore\n\n---\n> q\nlazy'), 'h1[T] p[text⏎more] rule quote[p[q⏎lazy]]');
  assert.equal(blocks('```py\na\n\nb\n```\nafter'), 'code:py(a\n\nb) p[after]');
  assert.equal(blocks('text\n```\nunclosed\n# no heading'), 'p[text] code:(unclosed\n# no heading)');
  assert.equal(blocks('$$\na\n$$\n\\[b\\]'), 'maths(a) maths(b)');
  assert.equal(blocks('## C#\n\n## done ##'), 'h2[C#] h2[done]');
  assert.equal(blocks('in\n1986. What a year'), 'p[in⏎1986. What a year]');
});

test('lists nest with two, three or four spaces', () => {
  for (const indent of ['  ', '   ', '    ']) assert.equal(blocks(`1. a\n${indent}- b\n${indent}- c\n2. d`), 'ol1[p[a] ul[p[b] | p[c]] | p[d]]', indent);
  assert.equal(blocks('- a\n\n  more\n- b'), 'ul[p[a] p[more] | p[b]]');
  assert.equal(blocks('3. a\n4. b\n\ntext'), 'ol3[p[a] | p[b]] p[text]');
  assert.equal(blocks('- a\n  ```\n  code\n  ```\n- b'), 'ul[p[a] code:(code) | p[b]]');
  assert.deepEqual(parseMarkdown('- [x] done\n- [ ] open').at(0).items.map(({ checked }) => checked), [true, false]);
});

test('tables need their rule; bars in code do not part cells', () => {
  assert.equal(blocks('|a|b|\n|-|:-:|\n|1|`x|y`|\n|2|'), 'table[a,b | 1,code(x|y) | 2,]');
  assert.equal(blocks('a | b\nc | d'), 'p[a | b⏎c | d]');
  assert.equal(blocks('text\n| a |\n|---|\n| 1 |\nafter'), 'p[text] table[a | 1] p[after]');
});

test('a table of 100 000 rows is drawn to its first thousand', () => {
  const [table] = parseMarkdown('|a|\n|-|\n' + '|x|\n'.repeat(100000));
  assert.equal(table.rows.length, 1000);
  assert.equal(table.rest.split('\n').length, 99000);
});

test('whatever is begun of an answer can be drawn', () => {
  const text = '# A\n\n1. **b** `c`\n   - [d](https://e.f)\n\n| x | y |\n|---|---|\n| $z$ | <b> |\n\n```js\nlet a;\n```\n> \\[q\\]\n';
  for (let end = 0; end <= text.length; ++end) parseMarkdown(text.slice(0, end));
});

/** Processor time, since other programs may be running; a quadratic parser would need a minute. */
function seconds(action) {
  const begun = process.cpuUsage();
  action();
  const { user, system } = process.cpuUsage(begun);
  return (user + system) / 1e6;
}

test('hostile text takes linear time', () => {
  const shapes = ['*', '**a', '_a_', '[', '![', '[](', '`a``', '$a ', '$$', '\\(', '<', '&', '> ', '- ', '* a\n  ', '|', '|-|\n', '~~', '#', '~',
    '```\n', '\\[\n', 'https://', '![a](', '1. ', '*a _b ', 'a*b_'];
  const texts = [...shapes.map((shape) => shape.repeat(Math.ceil(200000 / shape.length))), '```' + ' '.repeat(200000) + '`'];
  for (const text of texts) {
    const took = seconds(() => parseMarkdown(text));
    assert.ok(took < 5, `${JSON.stringify(text.slice(0, 12))} took ${took} s`);
  }
});
