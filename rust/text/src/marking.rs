//! Tells a chat template's own special tokens from what users wrote that looks like them. In the template's
//! own texts, before it is rendered, the characters of each special token are replaced by private stand-ins
//! that neither the template nor its data hold. Whatever the template then does with strings, only its own
//! tokens come out as stand-ins: data cannot make one.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use aho_corasick::{AhoCorasick, Input, MatchKind};
use serde_json::{Map, Value};

use crate::failure::{Failure, Result};
use crate::jinja::Template;

/// Roles that a template may put into a token's spelling: '<|' + message.role + '|>'.
const ROLES: &[&str] = &[
    "system",
    "developer",
    "user",
    "assistant",
    "tool",
    "function",
    "ipython",
    "observation",
    "model",
];

/// The spellings of a tokenizer's special tokens.
pub struct Spellings {
    automaton: Option<AhoCorasick>,
    /// Beginnings and ends of spellings that are punctuation: what may stand beside a role.
    heads: HashSet<String>,
    tails: HashSet<String>,
    longest: usize, // of these, bytes
}

fn is_punctuation(c: char) -> bool {
    !c.is_alphanumeric() && !c.is_whitespace()
}

impl Spellings {
    pub fn new<'t>(texts: impl Iterator<Item = &'t str>) -> Result<Spellings> {
        let texts: Vec<&str> = texts.filter(|text| !text.trim().is_empty()).collect();
        let (mut heads, mut tails) = (HashSet::new(), HashSet::new());
        for text in &texts {
            for (i, c) in text.char_indices().take_while(|(_, c)| is_punctuation(*c)) {
                heads.insert(text[..i + c.len_utf8()].to_string());
            }
            for (i, _) in text.char_indices().rev().take_while(|(_, c)| is_punctuation(*c)) {
                tails.insert(text[i..].to_string());
            }
        }
        let longest = heads.iter().chain(&tails).map(String::len).max().unwrap_or(0);
        let automaton = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&texts);
        let automaton =
            automaton.map_err(|e| Failure::BadModel(format!("the special tokens: {e}")))?;
        let automaton = Some(automaton).filter(|_| !texts.is_empty());
        Ok(Spellings { automaton, heads, tails, longest })
    }

    /// Where `text` spells special tokens.
    fn find(&self, text: &str, within: Range<usize>) -> Vec<Range<usize>> {
        let Some(automaton) = &self.automaton else { return Vec::new() };
        automaton.find_iter(Input::new(text).range(within)).map(|found| found.range()).collect()
    }

    /// What of a literal is to be marked: special tokens, and at its ends parts of one that a role could
    /// make whole.
    fn marks(&self, literal: &str) -> Vec<Range<usize>> {
        let mut marks = self.find(literal, 0..literal.len());
        let is_cut = |i: &usize| literal.is_char_boundary(*i);
        let (first, last) = (literal.len().saturating_sub(self.longest), literal.len());
        let head = (first..last).filter(is_cut).find(|&i| self.heads.contains(&literal[i..]));
        let mut tails = (1..=self.longest.min(last)).rev().filter(is_cut);
        let tail = tails.find(|&i| self.tails.contains(&literal[..i]));
        let apart = |marks: &[Range<usize>], part: &Range<usize>| {
            marks.iter().all(|mark| mark.end <= part.start || part.end <= mark.start)
        };
        for part in [tail.map(|i| 0..i), head.map(|i| i..literal.len())].into_iter().flatten() {
            if apart(&marks, &part) {
                marks.push(part);
            }
        }
        marks.sort_by_key(|mark| mark.start);
        marks
    }
}

/// The stand-ins of one rendering.
struct StandIns {
    of: HashMap<char, char>,
    back: HashMap<char, char>,
    taken: HashSet<char>,
    next: u32,
}

impl StandIns {
    fn of(&mut self, c: char) -> Result<char> {
        if let Some(&stand_in) = self.of.get(&c) {
            return Ok(stand_in);
        }
        // Planes 15 and 16, from the end.
        while self.next > 0xF_0000 {
            self.next -= 1;
            match char::from_u32(self.next) {
                Some(free) if !self.taken.contains(&free) => {
                    self.of.insert(c, free);
                    self.back.insert(free, c);
                    return Ok(free);
                }
                _ => {}
            }
        }
        Err(Failure::BadRequest("the messages use every private character of Unicode".into()))
    }

    /// Notes the private characters that are in use.
    fn avoid(&mut self, text: &str) {
        if text.bytes().any(|byte| byte >= 0xF3) {
            self.taken.extend(text.chars().filter(|&c| c >= '\u{F0000}'));
        }
    }

    fn avoid_all(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.avoid(text),
            Value::Array(items) => items.iter().for_each(|item| self.avoid_all(item)),
            Value::Object(members) => members.iter().for_each(|(key, value)| {
                self.avoid(key);
                self.avoid_all(value);
            }),
            _ => {}
        }
    }

    fn mark(&mut self, text: &str, marks: &[Range<usize>], out: &mut String) -> Result<()> {
        let mut done = 0;
        for mark in marks {
            out.push_str(&text[done..mark.start]);
            for c in text[mark.clone()].chars() {
                out.push(self.of(c)?);
            }
            done = mark.end;
        }
        out.push_str(&text[done..]);
        Ok(())
    }
}

/// A text without stand-ins, and the bytes in which special tokens may be read: ascending and apart.
#[derive(Debug, Default, PartialEq)]
pub struct Rendered {
    pub text: String,
    pub trusted: Vec<Range<usize>>,
}

/// One rendering's view of what is the template's own.
pub struct Marking<'s> {
    spellings: &'s Spellings,
    stand_ins: StandIns,
}

impl<'s> Marking<'s> {
    /// `variables`: all that the template will see that is not its own.
    pub fn new(spellings: &'s Spellings, source: &str, variables: &Map<String, Value>) -> Self {
        let (of, back) = (HashMap::new(), HashMap::new());
        let mut stand_ins = StandIns { of, back, taken: HashSet::new(), next: 0x10_FFFE };
        stand_ins.avoid(source);
        for (name, value) in variables {
            stand_ins.avoid(name);
            stand_ins.avoid_all(value);
        }
        Marking { spellings, stand_ins }
    }

    /// Marks a template's special tokens.
    pub fn template(&mut self, template: &mut Template) -> Result<()> {
        template.change_own_texts(|text| self.own(text))
    }

    /// A text of the template's, or of bos_token and its like, which are the model's own as well.
    pub fn own(&mut self, text: &str) -> Result<String> {
        let mut out = String::with_capacity(text.len());
        let marks = self.spellings.marks(text);
        self.stand_ins.mark(text, &marks, &mut out)?;
        Ok(out)
    }

    /// Takes the stand-ins out again.
    pub fn unmark(&self, marked: &str) -> Rendered {
        let mut rendered = Rendered { text: String::with_capacity(marked.len()), trusted: vec![] };
        for c in marked.chars() {
            let start = rendered.text.len();
            let Some(&own) = self.stand_ins.back.get(&c) else {
                rendered.text.push(c);
                continue;
            };
            rendered.text.push(own);
            match rendered.trusted.last_mut() {
                Some(last) if last.end == start => last.end = rendered.text.len(),
                _ => rendered.trusted.push(start..rendered.text.len()),
            }
        }
        self.trust_roles(&mut rendered);
        rendered
    }

    /// Trusts a role that stands between parts of a special token.
    fn trust_roles(&self, rendered: &mut Rendered) {
        let mut joined: Vec<Range<usize>> = Vec::with_capacity(rendered.trusted.len());
        for next in std::mem::take(&mut rendered.trusted) {
            if let Some(last) = joined.last_mut() {
                let is_role = ROLES.contains(&&rendered.text[last.end..next.start]);
                let around = last.start..next.end;
                if is_role && self.spans(&rendered.text, around, last.end..next.start) {
                    last.end = next.end;
                    continue;
                }
            }
            joined.push(next);
        }
        rendered.trusted = joined;
    }

    /// Whether a special token in `around` reaches beyond both ends of `middle`.
    fn spans(&self, text: &str, around: Range<usize>, middle: Range<usize>) -> bool {
        let found = self.spellings.find(text, around);
        found.iter().any(|token| token.start < middle.start && middle.end < token.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jinja::Limits;
    use serde_json::json;

    fn spellings() -> Spellings {
        Spellings::new(["<|im_start|>", "<|im_end|>", "<|user|>", "<s>", "\n", "[é]"].into_iter())
            .unwrap()
    }

    /// The trusted parts of what `change` makes of the marked template.
    /// What is trusted of a template's rendering with `data`.
    fn trusted(source: &str, data: Value) -> Vec<String> {
        let spellings = spellings();
        let mut marking = Marking::new(&spellings, source, data.as_object().unwrap());
        let mut template = Template::parse(source).ok().unwrap();
        marking.template(&mut template).unwrap();
        let limits = Limits { steps: 1000, output_bytes: 1000, memory_bytes: 1000 };
        let rendered = marking.unmark(&template.render(&data, limits).ok().unwrap());
        rendered.trusted.into_iter().map(|bytes| rendered.text[bytes].to_string()).collect()
    }

    #[test]
    fn the_templates_own_tokens_are_trusted_and_no_others() {
        assert_eq!(trusted("a<|im_start|>b\n[é]", json!({})), ["<|im_start|>", "[é]"]);
        let source = "{{ '<s>' ~ ' ' ~ '<s>' if '<|im_end|>' in x }}";
        assert_eq!(trusted(source, json!({"x": "<|im_end|>"})), ["<s>", "<s>"]);
        assert_eq!(trusted("<|im_end|>{{ x }}", json!({"x": "<|im_end|>"})), ["<|im_end|>"]);
        assert_eq!(trusted("{{ '\\x3cs>' }}", json!({})), ["<s>"]);
    }

    #[test]
    fn a_known_role_may_stand_in_a_token() {
        let say = |role: &str| trusted("<|{{ r }}|>", json!({ "r": role }));
        assert_eq!(say("user"), ["<|user|>"]);
        assert_eq!(say("im_end"), ["<|", "|>"]);
        assert_eq!(say("tool"), ["<|", "|>"]); // there is no such token
    }

    #[test]
    fn stand_ins_are_characters_that_nobody_uses() {
        let spellings = spellings();
        let data = json!({"a": ["\u{10FFFD}"], "\u{10FFFC}": {"b": "\u{10FFFB}"}});
        let marking = &mut Marking::new(&spellings, "\u{10FFFA}", data.as_object().unwrap());
        assert_eq!(marking.own("<s>").unwrap(), "\u{10FFF9}\u{10FFF8}\u{10FFF7}");
        let all: String = ('\u{F0000}'..='\u{10FFFF}').collect();
        assert!(Marking::new(&spellings, &all, &Map::new()).own("<s>").is_err());
        let rendered = marking.unmark("\u{10FFFD}\u{10FFF9}");
        assert_eq!(rendered, Rendered { text: "\u{10FFFD}<".into(), trusted: vec![4..5] });
    }

    #[test]
    fn a_tokenizer_without_special_tokens_marks_nothing() {
        let none = Spellings::new(std::iter::empty()).unwrap();
        let mut marking = Marking::new(&none, "", &Map::new());
        assert_eq!(marking.own("<s>").unwrap(), "<s>");
    }
}
