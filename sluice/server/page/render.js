// A tree of markdown.js to elements. A model's text only ever becomes text nodes and checked addresses.
import { copyFrom } from './copy.js';
import { button, h, mathElement } from './dom.js';
import { highlight } from './highlight.js';
import { icon } from './icons.js';
import { parseMarkdown } from './markdown.js';
import { texToMathml } from './maths.js';

/** Draws `text` into `element`; blocks whose source is what it was are left as they are. */
export function renderMarkdown(element, text) {
  const blocks = parseMarkdown(text);
  const old = element.drawn ?? [];
  blocks.forEach((block, i) => {
    const key = `${block.type}\n${block.closed}\n${block.source}`;
    if (old[i]?.key === key) return;
    const node = drawBlock(block);
    if (old[i]) old[i].node.replaceWith(node);
    else element.append(node);
    old[i] = { key, node };
  });
  for (const extra of old.splice(blocks.length)) extra.node.remove();
  element.drawn = old;
}

function drawBlock(block) {
  switch (block.type) {
    case 'heading': return h(`h${Math.min(block.level + 2, 6)}`, { dir: 'auto' }, drawInline(block.inline)); // below the page's own
    case 'code': return drawCode(block);
    case 'quote': return h('blockquote', { dir: 'auto' }, block.blocks.map(drawBlock));
    case 'list': return drawList(block);
    case 'table': return drawTable(block);
    case 'rule': return h('hr');
    case 'maths': return drawMaths(block.tex, true);
    default: return h('p', { dir: 'auto' }, drawInline(block.inline));
  }
}

function drawCode({ language, text }) {
  const copy = button('Copy code', () => copyFrom(copy, text), { icon: icon('copy'), class: 'quiet copy' });
  const pieces = highlight(text, language).map(({ kind, text: piece }) => {
    const shown = visibleControls(piece);
    return kind ? h('span', { class: `code-${kind}` }, shown) : shown;
  });
  const label = language ? `${language} code` : 'code';
  const code = h('pre', { tabindex: '0', role: 'region', 'aria-label': label }, h('code', { dir: 'ltr' }, pieces));
  return h('div', { class: 'code' }, h('div', { class: 'code-head' }, h('span', {}, language || 'text'), copy), code);
}

// Characters that turn the direction of text or take no room can make code look like other code.
const HIDDEN = /([\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff])/;

function visibleControls(text) {
  if (!HIDDEN.test(text)) return [text];
  return text.split(HIDDEN).map((part) => {
    if (part.length !== 1 || !HIDDEN.test(part)) return part;
    const name = `U+${part.charCodeAt(0).toString(16).toUpperCase()}`;
    return h('span', { class: 'control', title: `The invisible character ${name}` }, name);
  });
}

function drawList({ ordered, start, loose, items }) {
  const tag = ordered ? 'ol' : 'ul';
  const list = h(tag, { dir: 'auto', class: loose ? 'loose' : null, start: ordered && start !== 1 ? start : null });
  for (const { checked, blocks } of items) {
    const box = checked === null ? null : h('input', { type: 'checkbox', disabled: true, checked, 'aria-label': checked ? 'done' : 'to do' });
    const inner = blocks.map((block) => (!loose && block.type === 'paragraph' ? h('span', { dir: 'auto' }, drawInline(block.inline)) : drawBlock(block)));
    list.append(h('li', { class: box ? 'task' : null }, box, inner));
  }
  return list;
}

function drawTable({ align, head, rows, rest }) {
  const cell = (tag) => (inline, i) => h(tag, { class: `to-${align[i]}`, dir: 'auto', scope: tag === 'th' ? 'col' : null }, drawInline(inline));
  const table = h('table', {},
    h('thead', {}, h('tr', {}, head.map(cell('th')))),
    h('tbody', {}, rows.map((row) => h('tr', {}, row.map(cell('td'))))));
  const box = h('div', { class: 'table', tabindex: '0', role: 'region', 'aria-label': 'table' }, table);
  return rest ? h('div', {}, box, h('pre', { tabindex: '0' }, rest)) : box;
}

function drawMaths(tex, display) {
  const tree = texToMathml(tex, display);
  if (!tree) return h('code', { class: 'tex' }, tex);
  const math = mathElement(tree);
  return display ? h('div', { class: 'maths', tabindex: '0', role: 'region', 'aria-label': 'formula' }, math) : math;
}

function drawInline(nodes) {
  return nodes.map((node) => {
    switch (node.type) {
      case 'text': return node.text;
      case 'code': return h('code', { dir: 'ltr' }, visibleControls(node.text));
      case 'maths': return drawMaths(node.tex, node.display);
      case 'break': return h('br');
      case 'link': return drawLink(node);
      default: return h(node.type, {}, drawInline(node.children)); // strong, em, del
    }
  });
}

function drawLink({ href, children }) {
  return h('a', { href, target: '_blank', rel: 'noopener noreferrer nofollow', title: href }, drawInline(children));
}
