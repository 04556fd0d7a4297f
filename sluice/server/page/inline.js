// What is inside a paragraph: code, emphasis, links, maths. Emphasis follows CommonMark's delimiter runs, without the rule
// of three. Every search is bounded, so that the time is linear whatever the text.
//   {type: text|code|maths|break|strong|em|del|link, text | tex, display | children, href}

const MAX_DEPTH = 12; // of emphasis in each other
const MAX_URL = 2048;
const MAX_PARENTHESES = 8; // in an address, in each other
const MAX_MATHS = 1000; // characters
const PUNCTUATION = /[!-/:-@[-`{-~\p{P}\p{S}]/u;
const URL_START = /https?:\/\/[^\s<>"'`|\u202a-\u202e\u2066-\u2069]{1,2048}/y;
const PLAIN = /[^\\`$\n*_~[\]<&h]+/y;
const ENTITIES = { '&amp;': '&', '&lt;': '<', '&gt;': '>', '&quot;': '"', '&#39;': "'", '&nbsp;': '\u00a0' };

export function parseInline(text) {
  return new InlineParser(text).parse();
}

/** The address if a link may lead there, else null: http, https and mailto only. */
export function safeHref(address) {
  if (/[\u0000-\u0020\u202a-\u202e\u2066-\u2069]/.test(address)) return null;
  return /^(https?:\/\/|mailto:)./i.test(address) ? address : null;
}

class InlineParser {
  constructor(text) {
    this.text = text;
    this.at = 0;
    this.nodes = [];
    this.brackets = []; // places of "[" in nodes
    this.found = new Map();
    this.noCloser = new Set(); // of these lengths no run of backticks follows
  }

  parse() {
    while (this.at < this.text.length) this.step();
    return resolveEmphasis(this.nodes);
  }

  step() {
    PLAIN.lastIndex = this.at;
    const run = PLAIN.exec(this.text)?.[0];
    if (run) {
      this.at += run.length;
      this.plain(run);
      return;
    }
    const c = this.text[this.at];
    const done =
      (c === '\\' && this.escape()) ||
      (c === '`' && this.code()) ||
      (c === '$' && this.dollars()) ||
      (c === '\n' && this.newline()) ||
      ('*_~'.includes(c) && this.delimiter(c)) ||
      (c === '[' && this.bracket()) ||
      (c === ']' && this.closeBracket()) ||
      (c === '<' && this.angle()) ||
      (c === '&' && this.entity()) ||
      (c === 'h' && this.bareUrl());
    if (!done) this.plain(this.text[this.at++]);
  }

  plain(text) {
    const last = this.nodes.at(-1);
    if (last?.type === 'text' && !last.bracket) last.text += text;
    else this.nodes.push({ type: 'text', text });
    return true;
  }

  escape() {
    const next = this.text[this.at + 1];
    if (next === '(') return this.maths('\\(', '\\)', false) || this.literal(next);
    if (next === '[') return this.maths('\\[', '\\]', true) || this.literal(next);
    if (next === '\n') {
      ++this.at;
      return this.newline();
    }
    return next !== undefined && /[!-/:-@[-`{-~]/.test(next) && this.literal(next);
  }

  literal(character) {
    this.at += 2;
    return this.plain(character);
  }

  code() {
    const run = this.runLength('`');
    const begin = this.at + run;
    const end = this.noCloser.has(run) || run > 32 ? -1 : this.findRun(run, begin);
    if (end < 0) {
      this.noCloser.add(run);
      this.plain('`'.repeat(run));
      this.at = begin;
      return true;
    }
    let code = this.text.slice(begin, end).replace(/\n/g, ' ');
    if (code.startsWith(' ') && code.endsWith(' ') && code.trim()) code = code.slice(1, -1);
    this.nodes.push({ type: 'code', text: code });
    this.at = end + run;
    return true;
  }

  runLength(character) {
    let end = this.at;
    while (this.text[end] === character) ++end;
    return end - this.at;
  }

  findRun(length, from) {
    for (let i = this.text.indexOf('`', from); i >= 0; i = this.text.indexOf('`', i)) {
      let end = i;
      while (this.text[end] === '`') ++end;
      if (end - i === length) return i;
      i = end;
    }
    return -1;
  }

  /** "$" as Pandoc has it: no space inside it, no digit behind it; "$5 and $6" is money. */
  dollars() {
    if (this.text[this.at + 1] === '$') return this.maths('$$', '$$', true);
    if (/\s|^$/.test(this.text[this.at + 1] ?? '')) return false;
    const limit = Math.min(this.text.length, this.at + MAX_MATHS);
    for (let i = this.at + 1; i < limit; ++i) {
      if (this.text[i] === '\\') ++i;
      else if (this.text[i] === '$') {
        if (/\s/.test(this.text[i - 1]) || /\d/.test(this.text[i + 1] ?? '')) return false;
        return this.addMaths(this.text.slice(this.at + 1, i), i + 1, false);
      }
    }
    return false;
  }

  maths(open, close, display) {
    const begin = this.at + open.length;
    const end = this.find(close, begin);
    if (end <= begin || end - begin > MAX_MATHS) return false;
    return this.addMaths(this.text.slice(begin, end), end + close.length, display);
  }

  /** Where `text` next stands at or behind `from`, which never goes back; -1 if nowhere. Each place is searched once. */
  find(text, from) {
    const known = this.found.get(text);
    if (known !== undefined && (known < 0 || known >= from)) return known;
    this.found.set(text, this.text.indexOf(text, from));
    return this.found.get(text);
  }

  addMaths(tex, end, display) {
    this.nodes.push({ type: 'maths', tex: tex.trim(), display });
    this.at = end;
    return true;
  }

  newline() {
    const last = this.nodes.at(-1);
    if (last?.type === 'text') last.text = last.text.trimEnd();
    this.nodes.push({ type: 'break' });
    ++this.at;
    return true;
  }

  delimiter(ch) {
    const length = this.runLength(ch);
    const before = this.text[this.at - 1] ?? ' ';
    const after = this.text[this.at + length] ?? ' ';
    this.at += length;
    if (length > 3 || (ch === '~' && length !== 2)) return this.plain(ch.repeat(length));
    const left = flanks(after, before);
    const right = flanks(before, after);
    const inWord = ch === '_';
    this.nodes.push({
      type: 'delimiter',
      ch,
      length,
      opens: left && (!inWord || !right || PUNCTUATION.test(before)),
      closes: right && (!inWord || !left || PUNCTUATION.test(after)),
    });
    return true;
  }

  bracket() {
    const image = this.text[this.at - 1] === '!' && this.dropBang();
    this.brackets.push({ place: this.nodes.length, image });
    this.nodes.push({ type: 'text', text: image ? '![' : '[', bracket: true });
    ++this.at;
    return true;
  }

  /** An image is not fetched: it becomes a link with its description. */
  dropBang() {
    const last = this.nodes.at(-1);
    if (last?.type !== 'text' || !last.text.endsWith('!')) return false;
    last.text = last.text.slice(0, -1);
    return true;
  }

  closeBracket() {
    const open = this.brackets.pop();
    const target = open ? this.linkTarget(this.at + 1) : null;
    if (!target) return false;
    const href = safeHref(target.address);
    if (!href) return false; // shown as it was written
    const children = resolveEmphasis(this.nodes.splice(open.place + 1));
    if (open.image && this.brackets.length > 0) {
      this.nodes.splice(open.place, 1, ...children); // a picture in a link: its description
    } else {
      this.nodes[open.place] = { type: 'link', href, children, depth: 1 + deepest(children) };
      this.brackets = []; // no link in a link
    }
    this.at = target.end;
    return true;
  }

  /** `(address "title")` at `from`; the address may have balanced parentheses. */
  linkTarget(from) {
    if (this.text[from] !== '(') return null;
    const limit = Math.min(this.text.length, from + MAX_URL);
    let open = 0;
    for (let i = from + 1; i < limit; ++i) {
      const c = this.text[i];
      if (c === '\n') return null;
      if (c === '(' && ++open > MAX_PARENTHESES) return null;
      if (c === ')' && open-- === 0) {
        const inner = this.text.slice(from + 1, i).trim();
        const space = inner.search(/\s/);
        const address = space < 0 ? inner : inner.slice(0, space);
        return { address: address.replace(/^<(.*)>$/, '$1'), end: i + 1 };
      }
    }
    return null;
  }

  angle() {
    const rest = this.text.slice(this.at, this.at + MAX_URL);
    const lineBreak = /^<br ?\/?>/i.exec(rest);
    if (lineBreak) {
      this.nodes.push({ type: 'break' });
      this.at += lineBreak[0].length;
      return true;
    }
    const end = rest.indexOf('>');
    const href = end > 0 ? safeHref(rest.slice(1, end)) : null;
    return href !== null && this.link(href, end + 1);
  }

  link(href, length) {
    this.nodes.push({ type: 'link', href, children: [{ type: 'text', text: href }] });
    this.at += length;
    return true;
  }

  entity() {
    const name = /^&[a-z0-9#]{1,5};/.exec(this.text.slice(this.at, this.at + 8))?.[0];
    if (!name || !ENTITIES[name]) return false;
    this.at += name.length;
    return this.plain(ENTITIES[name]);
  }

  bareUrl() {
    if (/[\p{L}\p{N}]/u.test(this.text[this.at - 1] ?? ' ')) return false;
    URL_START.lastIndex = this.at;
    let address = URL_START.exec(this.text)?.[0];
    if (!address) return false;
    address = address.replace(/[.,;:!?*_~\]]+$/, '');
    while (address.endsWith(')') && count(address, ')') > count(address, '(')) address = address.slice(0, -1);
    return safeHref(address) !== null && this.link(address, address.length);
  }
}

/** Whether a run is flanked: by text on `inner`'s side, from where `outer` is. */
function flanks(inner, outer) {
  if (/\s/.test(inner)) return false;
  return !PUNCTUATION.test(inner) || /\s/.test(outer) || PUNCTUATION.test(outer);
}

const count = (text, character) => text.split(character).length - 1;

const deepest = (nodes) => nodes.reduce((depth, node) => Math.max(depth, node.depth ?? 0), 0);

/** Pairs delimiters; what has no partner is text. */
function resolveEmphasis(nodes) {
  const result = [];
  const openers = { '*': [], _: [], '~': [] }; // places in result
  for (const node of nodes) {
    if (node.type !== 'delimiter') {
      result.push(node);
      continue;
    }
    let left = node.length;
    while (node.closes && left > 0 && openers[node.ch].length > 0) left -= closeWith(result, openers, node.ch, left);
    if (left === 0) continue;
    if (node.opens) openers[node.ch].push(result.length);
    result.push({ ...node, length: left });
  }
  return result.map((node) => (node.type === 'delimiter' ? { type: 'text', text: node.ch.repeat(node.length) } : node));
}

/** Wraps what stands behind the last opener of this kind; returns how many delimiters that took. */
function closeWith(result, openers, ch, left) {
  const place = openers[ch].pop();
  const opener = result[place];
  const taken = ch === '~' ? 2 : Math.min(opener.length, left, 2);
  for (const places of Object.values(openers)) {
    while (places.length > 0 && places.at(-1) > place) places.pop();
  }
  const children = result.splice(place + 1).map((node) =>
    node.type === 'delimiter' ? { type: 'text', text: node.ch.repeat(node.length) } : node);
  const depth = 1 + deepest(children);
  const type = ch === '~' ? 'del' : taken === 2 ? 'strong' : 'em';
  opener.length -= taken;
  if (opener.length === 0) result.pop();
  else openers[ch].push(place);
  if (depth > MAX_DEPTH) result.push(...children);
  else result.push({ type, children, depth });
  return taken;
}
