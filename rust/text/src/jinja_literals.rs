//! Where a chat template holds text of its own that its rendering may write out: what stands between the
//! tags, and the string literals in them. Left out are literals that are only compared with other strings
//! ("'</think>' in content", "content.split('</think>')", keys): nothing of them gets out.

use std::ops::Range;

/// Methods of strings and mappings that look for their arguments.
const COMPARING_METHODS: &[&str] = &[
    "split",
    "rsplit",
    "startswith",
    "endswith",
    "strip",
    "lstrip",
    "rstrip",
    "replace",
    "find",
    "rfind",
    "index",
    "rindex",
    "count",
    "partition",
    "rpartition",
    "removeprefix",
    "removesuffix",
    "get",
    "pop",
];
const COMPARING_FILTERS: &[&str] =
    &["split", "replace", "trim", "select", "reject", "selectattr", "rejectattr"];

/// Of these only for the first: the next is what is written instead.
const FIRST_ONLY: &[&str] = &["replace", "get", "pop"];

/// The byte ranges of `source` as said above, in order. A literal's quotes are not in them.
pub fn literals(source: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    let mut is_raw = false;
    while at < source.len() {
        let tag = next_tag(source, at, is_raw);
        if at < tag {
            found.push(at..tag);
        }
        let Some(opening) = source.get(tag..tag + 2) else { break };
        if opening == "{#" {
            at = source[tag..].find("#}").map_or(source.len(), |end| tag + end + 2);
            continue;
        }
        let (open, last) = (Vec::new(), Last::default());
        let mut reader = TagReader { source, at: tag + 2, open, last, is_for: false };
        let first_word = reader.read(&mut found);
        is_raw = first_word == Some("raw");
        at = reader.at;
    }
    found
}

/// Where the next tag begins; in a raw block, its end tag.
fn next_tag(source: &str, from: usize, is_raw: bool) -> usize {
    let mut at = from;
    while let Some(brace) = source[at..].find('{') {
        let rest = &source[at + brace..];
        let is_end = rest.strip_prefix("{%").is_some_and(|rest| {
            rest.trim_start_matches(['-', '+']).trim_start().starts_with("endraw")
        });
        if is_end || !is_raw && ["{{", "{%", "{#"].iter().any(|tag| rest.starts_with(tag)) {
            return at + brace;
        }
        at += brace + 1;
    }
    source.len()
}

/// What came before the token at hand.
#[derive(Clone, Copy, Default, PartialEq)]
enum Last<'s> {
    #[default]
    Nothing,
    /// A name, after what: '.' or '|', or ' ' for neither.
    Name(&'s str, char),
    Text,
    Mark(char),
    /// == != in is: what follows is compared. Not so the in of a for statement.
    Compares,
}

/// An open bracket: whether literals in it are compared, and only before the first comma.
struct Open {
    bracket: char,
    compares: bool,
    first_only: bool,
}

struct TagReader<'s> {
    source: &'s str,
    at: usize,
    open: Vec<Open>,
    last: Last<'s>,
    is_for: bool,
}

impl<'s> TagReader<'s> {
    /// Adds the tag's literals and goes past its end. Returns its first word.
    fn read(&mut self, found: &mut Vec<Range<usize>>) -> Option<&'s str> {
        let mut first_word = None;
        while let Some(c) = self.source[self.at..].chars().next() {
            if self.open.is_empty() && self.ends_here() {
                self.at += 2;
                break;
            }
            match c {
                '\'' | '"' => {
                    let body = self.string(c);
                    let is_compared = self.is_compared();
                    self.last = Last::Text;
                    if !is_compared && !body.is_empty() {
                        found.push(body);
                    }
                }
                c if c.is_alphanumeric() || c == '_' => {
                    let word = self.word();
                    self.is_for |= first_word.is_none() && word == "for";
                    first_word.get_or_insert(word);
                }
                _ => self.mark(c),
            }
        }
        first_word
    }

    fn ends_here(&self) -> bool {
        let rest = &self.source[self.at..];
        rest.starts_with("%}") || rest.starts_with("}}")
    }

    /// The bytes between the quotes.
    fn string(&mut self, quote: char) -> Range<usize> {
        let start = self.at + 1;
        let mut is_escaped = false;
        for (i, c) in self.source[start..].char_indices() {
            if c == quote && !is_escaped {
                self.at = start + i + 1;
                return start..start + i;
            }
            is_escaped = c == '\\' && !is_escaped;
        }
        self.at = self.source.len();
        start..self.source.len()
    }

    fn word(&mut self) -> &'s str {
        let rest = &self.source[self.at..];
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let word = &rest[..end];
        self.at += end;
        self.last = match (word, self.last) {
            ("in", _) if self.is_for => {
                self.is_for = false; // a later one is in its condition
                Last::Nothing
            }
            ("in" | "is", _) => Last::Compares,
            (_, Last::Mark(before @ ('.' | '|'))) => Last::Name(word, before),
            _ => Last::Name(word, ' '),
        };
        word
    }

    fn mark(&mut self, c: char) {
        self.at += c.len_utf8();
        match c {
            '(' | '[' | '{' => self.enter(c),
            ')' | ']' | '}' => {
                self.open.pop();
            }
            ',' => {
                if let Some(open) = self.open.last_mut() {
                    open.compares &= !open.first_only;
                }
            }
            c if c.is_whitespace() => return,
            _ => {}
        }
        let is_comparison = c == '=' && matches!(self.last, Last::Mark('=' | '!'));
        self.last = if is_comparison { Last::Compares } else { Last::Mark(c) };
    }

    fn enter(&mut self, bracket: char) {
        let inherited = self.open.last().is_some_and(|open| open.compares);
        let (compares, first_only) = match (bracket, self.last) {
            (_, Last::Compares) => (true, false),
            ('(', Last::Name(name, '.')) => {
                (COMPARING_METHODS.contains(&name), FIRST_ONLY.contains(&name))
            }
            ('(', Last::Name(name, '|')) => {
                (COMPARING_FILTERS.contains(&name), FIRST_ONLY.contains(&name))
            }
            ('(', Last::Name(..)) => (false, false),
            ('[', Last::Name(..) | Last::Text | Last::Mark(')' | ']')) => (true, false), // a key
            _ => (inherited, false),
        };
        self.open.push(Open { bracket, compares, first_only });
    }

    /// Whether the literal just read is compared: by where it stands, or by what comes next.
    fn is_compared(&self) -> bool {
        let next = self.source[self.at..].trim_start();
        let is_key = next.starts_with(':') && self.open.last().is_some_and(|o| o.bracket == '{');
        let word = next.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        self.last == Last::Compares
            || self.open.last().is_some_and(|open| open.compares)
            || is_key
            || next.starts_with("==")
            || next.starts_with("!=")
            || matches!(word, "in" | "not")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<&str> {
        literals(source).into_iter().map(|range| &source[range]).collect()
    }

    #[test]
    fn text_and_literals_that_are_written_out_are_found() {
        assert_eq!(
            texts("a {{ 'b' ~ \"c\\\"d\" }}e{# f #}{%- if x %} g {% endif -%}"),
            ["a ", "b", "c\\\"d", "e", " g "]
        );
        assert_eq!(texts("{{ {'k': {'l': 'v'}} }}}}"), ["v", "}}"]);
        assert_eq!(texts("{% set x = ('a', f('b')) %}{{ x ~ ('}}') }}"), ["a", "b", "}}"]);
        assert_eq!(texts("{% raw %}{{ 'a' }}{% endraw %}{{ 'b' }}"), ["{{ 'a' }}", "b"]);
        assert_eq!(texts("{ % {{'é'"), ["{ % ", "é"]);
    }

    #[test]
    fn literals_that_are_compared_are_left_out() {
        for compared in [
            "'a' in x",
            "'a' not in x",
            "x == 'a'",
            "'a' != x",
            "x in ['a', 'b']",
            "x in ('a')",
            "x.split('a')[-1]",
            "x.startswith(('a', 'b'))",
            "m['a']",
            "m.get('a')",
            "f(x)['a']",
            "x|selectattr('a', 'equalto', 'b')",
            "x is in 'a' and 'b' == y",
        ] {
            let source = format!("{{{{ {compared} }}}}");
            assert_eq!(texts(&source), [" "; 0], "{compared}");
        }
        assert_eq!(texts("{{ x.replace('a', 'b') ~ y|replace('c', 'd') }}"), ["b", "d"]);
        assert_eq!(
            texts("{% for x in ['a', 'b'] if x in ['c'] %}{{ m.get('d', 'e') }}"),
            ["a", "b", "e"]
        );
        assert_eq!(texts("{{ x.f('a') ~ g('b') ~ ['c'] }}"), ["a", "b", "c"]);
        assert_eq!(texts("{% if x == 'a' %}{{ 'b' }}{% endif %}"), ["b"]);
    }
}
