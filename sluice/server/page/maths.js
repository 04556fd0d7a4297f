// A small part of TeX's mathematics to MathML Core, as a tree: [tag, attributes, ...children or text].
// A command that is not known is shown as it was written; what cannot be read at all gives null.
import {
  ACCENTS, ENVIRONMENTS, FUNCTIONS, INTEGRALS, LARGE, LETTERS, LIMITS, OPERATORS, SPACES, UNDER_ACCENTS, inAlphabet, isAlphabet,
} from './symbols.js';

const MAX_DEPTH = 40; // of groups in each other
const MAX_TEX = 10000; // characters
const TOKEN = /\\(?:[a-zA-Z]+\*?|[^])|[ \t\n]+|\d+(?:\.\d+)?|[^]/gu;

export function texToMathml(tex, display = false) {
  if (tex.length > MAX_TEX) return null;
  try {
    const rows = new TexParser(tex, display).document();
    return ['math', { display: display ? 'block' : 'inline' }, ...rows];
  } catch (error) {
    if (error instanceof TexError) return null;
    throw error;
  }
}

class TexError extends Error {}

class TexParser {
  constructor(tex, display) {
    this.tokens = tex.match(TOKEN) ?? [];
    this.at = 0;
    this.depth = 0;
    this.display = display;
  }

  /** All of it; where it has rows and no environment, a table. */
  document() {
    const rows = this.table(null);
    return rows.length === 1 && rows[0].length === 1 ? rows[0][0] : [toTable(rows, 'aligned')];
  }

  peek() {
    while (/^\s/.test(this.tokens[this.at] ?? '')) ++this.at;
    return this.tokens[this.at];
  }

  next() {
    const token = this.peek();
    ++this.at;
    return token;
  }

  /** Items up to one of the tokens in `ends`, which is left. */
  items(ends) {
    if (++this.depth > MAX_DEPTH) throw new TexError();
    const items = [];
    while (this.peek() !== undefined && !ends.includes(this.peek())) items.push(this.scripted());
    --this.depth;
    return items;
  }

  /** An atom with what stands below and above it. */
  scripted() {
    const base = this.atom();
    let sub, sup;
    for (let token = this.peek(); ['^', '_', "'", '\\limits', '\\nolimits'].includes(token); token = this.peek()) {
      this.next();
      if (token === '_' && !sub) sub = this.argument();
      else if (token === '^') sup = sup ? row([sup, this.argument()]) : this.argument();
      else if (token === "'") sup = row([...(sup ? [sup] : []), ['mo', {}, '′']]);
      else if (token === '_') throw new TexError();
    }
    if (!sub && !sup) return base;
    const stacked = base.limits && this.display;
    const [both, below, above] = stacked ? ['munderover', 'munder', 'mover'] : ['msubsup', 'msub', 'msup'];
    if (sub && sup) return [both, {}, base, sub, sup];
    return sub ? [below, {}, base, sub] : [above, {}, base, sup];
  }

  /** A group in braces or one token. */
  argument() {
    const token = this.peek();
    if (token === undefined || token === '}' || token === '&') throw new TexError();
    if (token !== '{' && /^\d{2,}/.test(token)) { // "x^12" is x^1 2
      this.tokens.splice(this.at, 1, ...token);
    }
    return this.atom();
  }

  atom() {
    const token = this.next();
    if (token === undefined) throw new TexError();
    if (token === '{') {
      const items = this.items(['}']);
      if (this.next() !== '}') throw new TexError();
      return row(items);
    }
    if (token[0] === '\\') return this.command(token.slice(1));
    if (/^\d/.test(token)) return ['mn', {}, token];
    if (/^\p{L}/u.test(token)) return ['mi', {}, token];
    if (token === '^' || token === '_') {
      --this.at;
      return row([]); // "{}^2", "^2"
    }
    if (token === '}' || token === '&') throw new TexError();
    if (token === '~') return space(0.25);
    return operator(token === '-' ? '−' : token === '*' ? '∗' : token);
  }

  command(name) {
    if (LETTERS.has(name)) return ['mi', /^[A-Z]/.test(name) ? { mathvariant: 'normal' } : {}, LETTERS.get(name)]; // capitals are upright
    if (OPERATORS.has(name)) return operator(OPERATORS.get(name));
    if (LARGE.has(name)) return withLimits(['mo', { largeop: 'true', movablelimits: 'false' }, LARGE.get(name)]);
    if (INTEGRALS.has(name)) return ['mo', { largeop: 'true' }, INTEGRALS.get(name)];
    if (FUNCTIONS.has(name)) return ['mi', {}, name];
    if (LIMITS.has(name)) return withLimits(['mo', { movablelimits: 'false', lspace: '0', rspace: '0.17em' }, name]);
    if (SPACES.has(name)) return space(SPACES.get(name));
    if ('{}%$#&_|'.includes(name)) return operator(name === '|' ? '‖' : name);
    if (ACCENTS.has(name)) return withLimits(['mover', { accent: 'true' }, this.argument(), ['mo', {}, ACCENTS.get(name)]], name === 'overbrace');
    if (UNDER_ACCENTS.has(name)) return withLimits(['munder', {}, this.argument(), ['mo', {}, UNDER_ACCENTS.get(name)]], name === 'underbrace');
    if (isAlphabet(name)) return ['mi', { mathvariant: 'normal' }, inAlphabet(name, this.rawArgument())];
    return this.structure(name);
  }

  structure(name) {
    switch (name) {
      case 'frac': case 'dfrac': case 'tfrac': case 'cfrac':
        return ['mfrac', {}, this.argument(), this.argument()];
      case 'binom': case 'dbinom': case 'tbinom':
        return row([operator('('), ['mfrac', { linethickness: '0' }, this.argument(), this.argument()], operator(')')]);
      case 'sqrt': return this.root();
      case 'text': case 'textbf': case 'textit': case 'textrm': case 'mbox': return ['mtext', {}, this.rawArgument()];
      case 'mathrm': case 'operatorname': case 'operatorname*': case 'mathit':
        return ['mi', { mathvariant: 'normal' }, this.rawArgument()];
      case 'left': return this.fenced();
      case 'begin': return this.environment();
      case 'boxed': return ['mrow', { class: 'boxed' }, this.argument()];
      case 'overset': case 'stackrel': return this.swapped('mover');
      case 'underset': return this.swapped('munder');
      case 'xrightarrow': return ['mover', {}, operator('→'), this.argument()];
      case 'pmod': return row([space(0.5), operator('('), ['mi', {}, 'mod'], space(0.25), this.argument(), operator(')')]);
      case 'bmod': case 'mod': return ['mo', { lspace: '0.25em', rspace: '0.25em' }, 'mod'];
      case 'not': return row([operator(`${textOf(this.atom())}\u0338`)]);
      case 'displaystyle': case 'textstyle': case 'scriptstyle': case 'limits': case 'nolimits': case 'middle':
      case 'big': case 'Big': case 'bigg': case 'Bigg': case 'bigl': case 'bigr': case 'Bigl': case 'Bigr':
      case 'biggl': case 'biggr': case 'nonumber': case 'notag': case 'mathstrut':
        return row([]);
      case 'end': case 'right': case '\\': throw new TexError();
      default: return ['mtext', { class: 'unknown' }, `\\${name}`];
    }
  }

  swapped(tag) {
    const mark = this.argument();
    return [tag, {}, this.argument(), mark];
  }

  root() {
    if (this.peek() !== '[') return ['msqrt', {}, this.argument()];
    this.next();
    const degree = row(this.items([']']));
    if (this.next() !== ']') throw new TexError();
    return ['mroot', {}, this.argument(), degree];
  }

  fenced() {
    const open = this.delimiter();
    const items = this.items(['\\right']);
    if (this.next() !== '\\right') throw new TexError();
    return row([...fence(open), ...items, ...fence(this.delimiter())]);
  }

  delimiter() {
    const token = this.next();
    if (token === undefined) throw new TexError();
    if (token === '.') return '';
    const name = token.slice(1);
    return token[0] === '\\' ? OPERATORS.get(name) ?? (name === '|' ? '‖' : name) : token;
  }

  environment() {
    const name = this.rawArgument();
    const brackets = ENVIRONMENTS.get(name);
    if (!brackets) throw new TexError();
    if (name === 'array' || name === 'alignat') this.rawArgument(); // columns
    const rows = this.table('\\end');
    if (this.next() !== '\\end' || this.rawArgument() !== name) throw new TexError();
    return row([...fence(brackets[0]), toTable(rows, name), ...fence(brackets[1])]);
  }

  /** Cells of rows up to `end`. */
  table(end) {
    const rows = [[]];
    for (;;) {
      rows.at(-1).push(this.items(['&', '\\\\', '\\hline', ...(end ? [end] : [])]));
      const token = this.peek();
      if (token === undefined || token === end) break;
      this.next();
      if (token === '\\\\') rows.push([]);
      if (token === '\\hline') rows.at(-1).pop();
    }
    if (rows.length > 1 && rows.at(-1).every((cell) => cell.length === 0)) rows.pop();
    return rows;
  }

  /** The characters of a group in braces, or one token, as they are. */
  rawArgument() {
    if (this.peek() !== '{') return this.next() ?? '';
    let text = '';
    let open = 0;
    while (this.at < this.tokens.length) {
      const token = this.tokens[this.at++];
      if (token === '}' && --open === 0) return text;
      if (open > 0) text += token === '\\ ' ? ' ' : token;
      if (token === '{') ++open;
    }
    throw new TexError();
  }
}

const row = (items) => (items.length === 1 ? items[0] : ['mrow', {}, ...items]);
const space = (em) => ['mspace', { width: `${em}em` }];
function attributesOf(text) {
  if (text === '/') return { lspace: '0', rspace: '0' };
  return '()[]{}|‖⌊⌋⌈⌉⟨⟩'.includes(text) ? { stretchy: 'false' } : {};
}

const operator = (text) => ['mo', attributesOf(text), text];
const fence = (text) => (text === '' ? [] : [['mo', { fence: 'true', stretchy: 'true' }, text]]);
const withLimits = (node, limits = true) => Object.assign(node, { limits });

function textOf(node) {
  return node.slice(2).map((child) => (Array.isArray(child) ? textOf(child) : child)).join('');
}

function toTable(rows, environment) {
  const aligned = /^(align|split)/.test(environment);
  const kind = aligned ? 'aligned' : environment === 'cases' ? 'cases' : 'matrix';
  const cells = (cell) => ['mtd', {}, ...cell];
  return ['mtable', { class: kind }, ...rows.map((one) => ['mtr', {}, ...one.map(cells)])];
}
