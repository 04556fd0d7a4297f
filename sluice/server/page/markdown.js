// Blocks of Markdown, as models write it, to a tree: CommonMark's without HTML, indented code and link definitions, with
// tables, task lists and display maths of GitHub's. Nothing here is ever markup: HTML is text.
//   {type: paragraph|heading|code|quote|list|table|rule|maths, source, ...}
import { parseInline } from './inline.js';

const MAX_DEPTH = 10; // of quotes and lists in each other
const MAX_COLUMNS = 64;
const MAX_ROWS = 1000;
const MAX_MATHS_LINES = 100;

const FENCE = /^ {0,3}(`{3,}|~{3,})(?![`~])([^\n`]*)$/;
const HEADING = /^ {0,3}(#{1,6})(?:[ \t]+|$)/;
const RULE = /^ {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])(?:( +)|$)/;
const QUOTE = /^ {0,3}> ?/;

/** The blocks of `text`; a block's `source` is what it was made from, so that an unchanged one need not be drawn again. */
export function parseMarkdown(text) {
  return parseBlocks(text.replace(/\r\n?/g, '\n').replace(/\t/g, '    ').split('\n'), 0);
}

function parseBlocks(lines, depth) {
  const blocks = [];
  let at = 0;
  while (at < lines.length) {
    if (lines[at].trim() === '') {
      ++at;
      continue;
    }
    const begin = at;
    const block = parseBlock(lines, at, depth);
    at = block.end;
    delete block.end;
    block.source = lines.slice(begin, at).join('\n');
    blocks.push(block);
  }
  return blocks;
}

/** The block that begins at a line that is not blank; `end` is the line behind it. */
function parseBlock(lines, at, depth) {
  return (
    fence(lines, at) ??
    maths(lines, at) ??
    heading(lines, at) ??
    (RULE.test(lines[at]) ? { type: 'rule', end: at + 1 } : null) ??
    (depth < MAX_DEPTH ? quote(lines, at, depth) ?? list(lines, at, depth) : null) ??
    table(lines, at) ??
    paragraph(lines, at, depth)
  );
}

function fence(lines, at) {
  const open = FENCE.exec(lines[at]);
  if (!open) return null;
  const [, marker, info] = open;
  const indent = lines[at].indexOf(marker);
  const closes = (line) => {
    const text = line.trim();
    return text.length >= marker.length && text === marker[0].repeat(text.length) && line.search(/\S/) < indent + 4;
  };
  const code = [];
  let end = at + 1;
  while (end < lines.length && !closes(lines[end])) code.push(unindent(lines[end++], indent));
  const closed = end < lines.length; // not while it is still being written
  return { type: 'code', language: info.trim().split(/\s+/)[0], text: code.join('\n'), closed, end: closed ? end + 1 : end };
}

const DISPLAY = [['$$', '$$'], ['\\[', '\\]']];

function maths(lines, at) {
  const first = lines[at].trim();
  for (const [open, close] of DISPLAY) {
    if (!first.startsWith(open)) continue;
    const body = [];
    for (let end = at; end === at || (end < lines.length && lines[end].trim() !== ''); ++end) {
      if (end - at > MAX_MATHS_LINES) return null;
      const line = end === at ? first.slice(2) : lines[end].trim();
      const closing = line.indexOf(close);
      if (closing >= 0) {
        if (line.slice(closing + 2).trim() !== '') return null; // in a sentence: the inline parser's
        body.push(line.slice(0, closing));
        return { type: 'maths', tex: body.join('\n').trim(), end: end + 1 };
      }
      body.push(line);
    }
  }
  return null;
}

function heading(lines, at) {
  const match = HEADING.exec(lines[at]);
  if (!match) return null;
  const text = lines[at].slice(match[0].length).trim();
  const bare = text.endsWith('#') ? text.slice(0, lastBefore(text, '#')).trimEnd() : text;
  return { type: 'heading', level: match[1].length, inline: parseInline(bare), end: at + 1 };
}

function lastBefore(text, character) {
  let end = text.length;
  while (end > 0 && text[end - 1] === character) --end;
  return end === 0 || text[end - 1] === ' ' ? end : text.length; // "C#" keeps its sign
}

function quote(lines, at, depth) {
  if (!QUOTE.test(lines[at])) return null;
  const inner = [];
  let end = at;
  for (; end < lines.length && lines[end].trim() !== ''; ++end) {
    if (!QUOTE.test(lines[end]) && beginsBlock(lines, end)) break;
    inner.push(lines[end].replace(QUOTE, ''));
  }
  return { type: 'quote', blocks: parseBlocks(inner, depth + 1), end };
}

function list(lines, at, depth) {
  const first = ITEM.exec(lines[at]);
  if (!first || first[1].length > 3) return null;
  const kind = kindOf(first[2]);
  const block = { type: 'list', ordered: kind === '.' || kind === ')', start: parseInt(first[2], 10) || 0, loose: false, items: [] };
  let end = at;
  while (end < lines.length) {
    const marker = RULE.test(lines[end]) ? null : ITEM.exec(lines[end]);
    if (!marker || kindOf(marker[2]) !== kind || marker[1].length > 3) break;
    const item = itemLines(lines, end, marker);
    block.items.push(parseItem(item.lines, depth));
    block.loose ||= item.blankInside || (item.blankAfter && continues(lines, item.end, kind));
    end = item.end;
  }
  return { ...block, end };
}

const kindOf = (marker) => marker.at(-1);

function continues(lines, at, kind) {
  const next = at < lines.length ? ITEM.exec(lines[at]) : null;
  return next !== null && kindOf(next[2]) === kind;
}

/** The lines of the item whose marker is at `at`, without its indentation. Two spaces are enough to be inside. */
function itemLines(lines, at, marker) {
  const indent = marker[1].length + marker[2].length + Math.min(Math.max(marker[3]?.length ?? 1, 1), 4);
  const inside = marker[1].length + 2;
  const own = [lines[at].slice(Math.min(indent, lines[at].length))];
  let blanks = 0;
  let blankInside = false;
  let end = at + 1;
  for (let i = end; i < lines.length; ++i) {
    const line = lines[i];
    if (line.trim() === '') {
      ++blanks;
      continue;
    }
    const deep = line.search(/\S/) >= inside;
    if (!deep && (blanks > 0 || beginsBlock(lines, i))) break;
    if (blanks > 0 && !ITEM.test(line)) blankInside = true;
    while (blanks > 0) own.push(''), --blanks;
    own.push(unindent(line, indent));
    end = i + 1;
  }
  while (end < lines.length && lines[end].trim() === '') ++end;
  return { lines: own, end, blankInside, blankAfter: blanks > 0 };
}

function parseItem(lines, depth) {
  const task = /^\[([ xX])\] /.exec(lines[0]);
  if (task) lines[0] = lines[0].slice(4);
  return { checked: task ? task[1] !== ' ' : null, blocks: parseBlocks(lines, depth + 1) };
}

function table(lines, at) {
  if (at + 1 >= lines.length || !lines[at].includes('|')) return null;
  const rule = splitRow(lines[at + 1]);
  const head = splitRow(lines[at]);
  if (rule.length !== head.length || !rule.every((cell) => /^:?-+:?$/.test(cell)) || !lines[at + 1].includes('-')) return null;
  if (rule.length === 1 && !lines[at + 1].includes('|')) return null;
  if (head.length > MAX_COLUMNS) return null;
  const block = { type: 'table', align: rule.map(alignment), head: head.map(parseInline), rows: [], rest: '' };
  let end = at + 2;
  for (; end < lines.length && lines[end].includes('|'); ++end) {
    if (block.rows.length === MAX_ROWS) break;
    const cells = splitRow(lines[end]).slice(0, head.length);
    while (cells.length < head.length) cells.push('');
    block.rows.push(cells.map(parseInline));
  }
  const begin = end;
  while (end < lines.length && lines[end].includes('|')) ++end;
  block.rest = lines.slice(begin, end).join('\n'); // too long to be drawn as a table
  return { ...block, end };
}

function alignment(cell) {
  if (cell.endsWith(':')) return cell.startsWith(':') ? 'center' : 'right';
  return 'left';
}

/** Cells between bars; not at an escaped bar nor in a code span. */
function splitRow(line) {
  const cells = [];
  let cell = '';
  let code = false;
  const text = line.trim();
  for (let i = text[0] === '|' ? 1 : 0; i < text.length; ++i) {
    if (text[i] === '\\' && text[i + 1] === '|') {
      cell += '|';
      ++i;
    } else if (text[i] === '|' && !code) {
      cells.push(cell.trim());
      cell = '';
    } else {
      if (text[i] === '`') code = !code && text.indexOf('`', i + 1) > 0;
      cell += text[i];
    }
    if (cells.length > MAX_COLUMNS) return cells;
  }
  if (cell.trim() !== '' || cells.length === 0) cells.push(cell.trim());
  return cells;
}

function paragraph(lines, at, depth) {
  let end = at + 1;
  while (end < lines.length && lines[end].trim() !== '') {
    if (/^ {0,3}(={3,}|-{3,})$/.test(lines[end].trimEnd())) {
      const level = lines[end].trim()[0] === '=' ? 1 : 2;
      return { type: 'heading', level, inline: inlineOf(lines, at, end), end: end + 1 };
    }
    const numbered = /^ *(\d+)[.)] /.exec(lines[end]);
    if (numbered && numbered[1] !== '1') ++end; // "in\n1986. What a year" is no list
    else if (beginsBlock(lines, end) && (depth < MAX_DEPTH || FENCE.test(lines[end]))) break;
    else ++end;
  }
  return { type: 'paragraph', inline: inlineOf(lines, at, end), end };
}

const inlineOf = (lines, begin, end) => parseInline(lines.slice(begin, end).map((line) => line.trimStart()).join('\n').trimEnd());

/** Whether a line ends a paragraph, or a lazily continued quote or item, before it. */
function beginsBlock(lines, at) {
  const line = lines[at];
  const first = line.trimStart()[0];
  if (!'`~#*-_>+$\\|0123456789'.includes(first)) return line.includes('|') && table(lines.slice(at, at + 2), 0) !== null;
  const item = ITEM.exec(line);
  return (
    FENCE.test(line) ||
    HEADING.test(line) ||
    RULE.test(line) ||
    QUOTE.test(line) ||
    (item !== null && item[3] !== undefined) ||
    maths(lines, at) !== null ||
    table(lines.slice(at, at + 2), 0) !== null
  );
}

function unindent(line, width) {
  let i = 0;
  while (i < width && line[i] === ' ') ++i;
  return line.slice(i);
}
