import assert from 'node:assert/strict';
import { test } from 'node:test';
import { texToMathml } from '../page/maths.js';

/** The tree in short, tag(children); letters, numbers and operators as they are. */
function short(node) {
  if (typeof node === 'string') return node;
  const [tag, , ...children] = node;
  const inner = children.map(short).join(tag === 'mrow' || tag === 'math' || tag === 'mtd' ? '' : ',');
  return ['mi', 'mn', 'mo', 'mrow', 'math'].includes(tag) ? inner : `${tag.slice(1)}(${inner})`;
}
const maths = (tex, display) => { const tree = texToMathml(tex, display); return tree && short(tree); };

test('fractions, roots, scripts, Greek', () => {
  assert.equal(maths('\\frac{-b \\pm \\sqrt{b^2-4ac}}{2a}'), 'frac(−b±sqrt(sup(b,2)−4ac),2a)');
  assert.equal(maths('\\sqrt[3]{x}'), 'root(x,3)');
  assert.equal(maths('\\alpha_i^2 + x^{10} + x^12'), 'subsup(α,i,2)+sup(x,10)+sup(x,1)2');
  assert.equal(maths("f'(x)"), 'sup(f,′)(x)');
});

test('sums have limits above and below in display only', () => {
  assert.equal(maths('\\sum_{i=1}^n i', true), 'underover(∑,i=1,n)i');
  assert.equal(maths('\\sum_{i=1}^n i', false), 'subsup(∑,i=1,n)i');
  assert.equal(maths('\\lim_{x \\to 0} \\sin x', true), 'under(lim,x→0)sinx');
  assert.equal(maths('\\int_0^1', true), 'subsup(∫,0,1)');
});

test('matrices, cases and aligned rows', () => {
  assert.equal(maths('\\begin{pmatrix} 1 & 0 \\\\ 0 & 1 \\end{pmatrix}'), '(table(tr(td(1),td(0)),tr(td(0),td(1))))');
  assert.equal(maths('\\begin{cases} 1 & x > 0 \\\\ 0 \\end{cases}'), '{table(tr(td(1),td(x>0)),tr(td(0)))');
  assert.equal(maths('a &= b \\\\ &= c'), 'table(tr(td(a),td(=b)),tr(td(),td(=c)))');
  assert.equal(maths('\\left( \\frac12 \\right]'), '(frac(1,2)]');
});

test('alphabets, text and accents', () => {
  assert.equal(maths('\\mathbb{R} \\mathbf{v} \\mathcal{L}'), 'ℝ𝐯ℒ');
  assert.equal(maths('\\text{if } x \\hat{y}'), 'text(if )xover(y,^)');
});

test('an unknown command is shown as it was written', () => {
  assert.equal(maths('\\frobnicate{x}'), 'text(\\frobnicate)x');
  assert.equal(maths('\\href{javascript:x}{y}').startsWith('text(\\href)'), true);
});

test('what cannot be read gives nothing', () => {
  for (const tex of ['{', '}', '\\frac{1}', 'x_a_b', '\\left(', '\\begin{x}', '\\begin{matrix} 1', '\\sqrt', 'x^', '{'.repeat(1000), '\\sqrt'.repeat(500), '\\frac'.repeat(900)])
    assert.equal(maths(tex), null, tex.slice(0, 30));
});

test('every beginning of a formula can be read or refused', () => {
  const tex = '\\begin{bmatrix} \\frac{a}{\\sqrt[n]{b}} & \\sum_{i}^{n} \\\\ \\left\\{ x \\right. & \\text{é} \\end{bmatrix}';
  for (let end = 0; end <= tex.length; ++end) texToMathml(tex.slice(0, end));
});
