// Colours for code: comments, strings, numbers, keywords. One table of languages, one pass, linear time.

const MAX_CODE = 100000; // characters; more is shown plain

const words = (text) => new Set(text.split(' '));
const C_WORDS = 'auto bool break case catch char class const constexpr continue default delete do double else enum extern false final float for if inline int long namespace new noexcept nullptr operator override private protected public return short signed sizeof static struct switch template this throw true try typedef typename union unsigned using virtual void volatile while';
const JS_WORDS = 'async await break case catch class const continue default delete do else enum export extends false finally for from function if implements import in instanceof interface let new null of private public readonly return static super switch this throw true try type typeof undefined var void while yield';

const LANGUAGES = [
  { names: 'c cpp c++ h hpp cc cuda cs csharp java kotlin kt swift scala php dart', line: '//', block: true, words: words(C_WORDS + ' abstract boolean byte extends fun implements import instanceof interface let null package super val var when func guard') },
  { names: 'javascript js jsx typescript ts tsx mjs', line: '//', block: true, ticks: true, words: words(JS_WORDS) },
  { names: 'rust rs', line: '//', block: true, words: words('as async await break const continue crate else enum extern false fn for if impl in let loop match mod move mut pub ref return self Self static struct super trait true type unsafe use where while') },
  { names: 'go golang', line: '//', block: true, ticks: true, words: words('break case chan const continue default defer else fallthrough false for func go goto if import interface map nil package range return select struct switch true type var') },
  { names: 'python py', line: '#', triple: true, words: words('and as assert async await break class continue def del elif else except False finally for from global if import in is lambda None nonlocal not or pass raise return True try while with yield match case') },
  { names: 'bash sh shell zsh console fish', line: '#', words: words('case do done elif else esac export fi for function if in local return set then unset until while') },
  { names: 'ruby rb', line: '#', words: words('begin break case class def do else elsif end ensure false for if in module next nil not or rescue return self super then true unless until when while yield') },
  { names: 'sql', line: '--', block: true, insensitive: true, words: words('all alter and as asc between by case create delete desc distinct drop else end exists from full group having in index inner insert into is join left like limit not null on or order outer primary key references right select set table then union unique update values view when where with') },
  { names: 'json jsonc json5', line: '//', words: words('true false null') },
  { names: 'yaml yml toml ini dockerfile makefile make cmake', line: '#', words: words('true false null yes no FROM RUN COPY CMD ENTRYPOINT ENV WORKDIR') },
  { names: 'css scss', block: true, words: words('important from to and not only media import') },
  { names: 'lua', line: '--', words: words('and break do else elseif end false for function goto if in local nil not or repeat return then true until while') },
];

function pattern({ line, block, ticks, triple }) {
  const parts = [];
  if (block) parts.push('(?<block>/\\*[^]*?(?:\\*/|$))');
  if (line) parts.push(`(?<line>${line}[^\\n]*)`);
  if (triple) parts.push('(?<triple>"""[^]*?(?:"""|$)|\'\'\'[^]*?(?:\'\'\'|$))');
  if (ticks) parts.push('(?<ticks>`(?:[^`\\\\]|\\\\[^])*`?)');
  parts.push('(?<string>"(?:[^"\\\\\\n]|\\\\[^])*"?|\'(?:[^\'\\\\\\n]|\\\\[^])*\'?)');
  parts.push('(?<number>\\b\\d[\\w.]*)', '(?<word>[\\p{L}_][\\p{L}\\p{N}_]*)', '(?<other>[^])');
  return new RegExp(parts.join('|'), 'gu');
}

const byName = new Map();
for (const language of LANGUAGES) for (const name of language.names.split(' ')) byName.set(name, language);

/** Pieces of code in their order: [{kind: null|'comment'|'string'|'number'|'keyword'|'added'|'removed', text}]. */
export function highlight(code, name) {
  const key = name.toLowerCase();
  if (code.length > MAX_CODE) return [{ kind: null, text: code }];
  if (key === 'diff' || key === 'patch') return lines(code);
  const language = byName.get(key);
  if (!language) return [{ kind: null, text: code }];
  const pieces = [];
  for (const match of code.matchAll(pattern(language))) add(pieces, kindOf(match.groups, language), match[0]);
  return pieces;
}

function kindOf(groups, language) {
  if (groups.block !== undefined || groups.line !== undefined) return 'comment';
  if (groups.string !== undefined || groups.triple !== undefined || groups.ticks !== undefined) return 'string';
  if (groups.number !== undefined) return 'number';
  if (groups.word === undefined) return null;
  return language.words.has(language.insensitive ? groups.word.toLowerCase() : groups.word) ? 'keyword' : null;
}

function lines(code) {
  const pieces = [];
  for (const line of code.split(/(?<=\n)/)) add(pieces, { '+': 'added', '-': 'removed' }[line[0]] ?? null, line);
  return pieces;
}

function add(pieces, kind, text) {
  const last = pieces.at(-1);
  if (last?.kind === kind) last.text += text;
  else pieces.push({ kind, text });
}
