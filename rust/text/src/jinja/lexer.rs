//! Source to tokens, with Jinja2's control of white space: trim_blocks and lstrip_blocks, as transformers
//! sets them, and the signs in `{%-`, `-%}`, `{%+`, `+%}`.

use std::rc::Rc;

use super::error::{Error, Result};
use super::literals;
use super::unicode::is_space;

#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    Data(Rc<str>),
    VariableBegin,
    VariableEnd,
    BlockBegin,
    BlockEnd,
    Name(Rc<str>),
    Text(Rc<str>),
    Int(i128),
    Float(f64),
    Operator(&'static str),
    End,
}

/// With the line that each token is on.
pub fn tokenize(source: &str) -> Result<Vec<(u32, Token)>> {
    let source = normalized(source);
    let mut lexer = Lexer { source: &source, at: 0, line: 1, counted: 0, tokens: Vec::new() };
    lexer.template()?;
    lexer.push(Token::End);
    Ok(lexer.tokens)
}

/// "\n" ends every line, and one at the very end is dropped (keep_trailing_newline is off).
fn normalized(source: &str) -> String {
    let mut text = source.replace("\r\n", "\n").replace('\r', "\n");
    if text.ends_with('\n') {
        text.pop();
    }
    text
}

const OPERATORS: [&str; 26] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}",
    ">", "<", "=", ".", ":", "|", ",", ";",
];

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    line: u32,
    /// Line breaks are counted up to here.
    counted: usize,
    tokens: Vec<(u32, Token)>,
}

impl<'a> Lexer<'a> {
    fn push(&mut self, token: Token) {
        let line = self.line_here();
        self.tokens.push((line, token));
    }

    fn line_here(&mut self) -> u32 {
        let passed = &self.source.as_bytes()[self.counted..self.at];
        self.line += passed.iter().filter(|&&b| b == b'\n').count() as u32;
        self.counted = self.at;
        self.line
    }

    fn fail<T>(&mut self, message: impl Into<String>) -> Result<T> {
        let line = self.line_here();
        Err(Error::syntax(line, message))
    }

    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn template(&mut self) -> Result<()> {
        while let Some(begin) = next_tag(self.rest()) {
            let text = &self.rest()[..begin];
            let tag = &self.rest()[begin..];
            let sign = tag[2..].chars().next().filter(|c| matches!(c, '-' | '+'));
            self.data(text, sign, !tag.starts_with("{{"));
            self.at += begin + 2 + usize::from(sign.is_some());
            match &tag[..2] {
                "{#" => self.comment()?,
                "{{" => {
                    self.push(Token::VariableBegin);
                    self.expressions("}}")?;
                    self.push(Token::VariableEnd);
                }
                _ => match raw_begin(self.rest()) {
                    Some(length) => {
                        self.at += length;
                        self.raw()?;
                    }
                    None => {
                        self.push(Token::BlockBegin);
                        self.expressions("%}")?;
                        self.push(Token::BlockEnd);
                    }
                },
            }
        }
        let text = self.rest();
        self.plain(text);
        self.at = self.source.len();
        Ok(())
    }

    fn plain(&mut self, text: &str) {
        if !text.is_empty() {
            self.push(Token::Data(text.into()));
        }
    }

    /// The text before a tag, which starts at `self.at`.
    fn data(&mut self, text: &str, sign: Option<char>, may_lstrip: bool) {
        match sign {
            Some('-') => self.plain(text.trim_end_matches(is_space)),
            None if may_lstrip => {
                let line = text.rfind('\n').map_or(0, |i| i + 1);
                let starts_line =
                    line > 0 || self.source[..self.at].ends_with('\n') || self.at == 0;
                let blank = text[line..].chars().all(is_space);
                self.plain(if starts_line && blank { &text[..line] } else { text });
            }
            _ => self.plain(text),
        }
    }

    fn comment(&mut self) -> Result<()> {
        let Some(end) = self.rest().find("#}") else {
            return self.fail("a comment does not end: '#}' is missing");
        };
        let sign = self.rest()[..end].chars().next_back();
        self.at += end + 2;
        self.after_block(sign);
        Ok(())
    }

    /// What a closing tag takes with it.
    fn after_block(&mut self, sign: Option<char>) {
        let rest = self.rest();
        self.at += match sign {
            Some('-') => rest.len() - rest.trim_start_matches(is_space).len(),
            Some('+') => 0,
            _ => usize::from(rest.starts_with('\n')),
        };
    }

    fn raw(&mut self) -> Result<()> {
        let mut from = 0;
        while let Some(found) = self.rest()[from..].find("{%") {
            let begin = from + found;
            let tag = &self.rest()[begin + 2..];
            let sign = tag.chars().next().filter(|c| matches!(c, '-' | '+'));
            let inner = tag[usize::from(sign.is_some())..].trim_start_matches(is_space);
            let closing = inner.strip_prefix("endraw").map(|t| t.trim_start_matches(is_space));
            let closing_sign =
                closing.and_then(|t| t.chars().next()).filter(|c| matches!(c, '-' | '+'));
            let end =
                closing.and_then(|t| t[usize::from(closing_sign.is_some())..].strip_prefix("%}"));
            let Some(end) = end else {
                from = begin + 2;
                continue;
            };
            let text = &self.rest()[..begin];
            self.data(text, sign, true);
            self.at = self.source.len() - end.len();
            self.after_block(closing_sign);
            return Ok(());
        }
        self.fail("a raw block does not end: 'endraw' is missing")
    }

    /// Tokens up to `close`, which counts only outside brackets.
    fn expressions(&mut self, close: &str) -> Result<()> {
        let mut open: Vec<&str> = Vec::new();
        loop {
            let rest = self.rest();
            if open.is_empty() {
                let sign = rest.chars().next().filter(|c| *c == '-' || *c == '+' && close == "%}");
                let after = &rest[usize::from(sign.is_some())..];
                if after.starts_with(close) {
                    self.at += usize::from(sign.is_some()) + 2;
                    if close == "%}" || sign == Some('-') {
                        self.after_block(sign);
                    }
                    return Ok(());
                }
            }
            let Some(first) = rest.chars().next() else {
                return self.fail(format!("a tag does not end: '{close}' is missing"));
            };
            if is_space(first) {
                self.at += first.len_utf8();
            } else if first.is_ascii_digit() {
                self.number()?;
            } else if first == '_' || first.is_alphanumeric() {
                let word = |c: char| c == '_' || c.is_alphanumeric();
                let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
                self.push(Token::Name(rest[..end].into()));
                self.at += end;
            } else if first == '"' || first == '\'' {
                self.string(first)?;
            } else {
                self.operator(first, &mut open)?;
            }
        }
    }

    fn number(&mut self) -> Result<()> {
        let after_dot = self.source[..self.at].ends_with('.');
        match literals::number(self.rest(), after_dot) {
            Ok((token, length)) => {
                self.push(token);
                self.at += length;
                Ok(())
            }
            Err(message) => self.fail(message),
        }
    }

    fn string(&mut self, quote: char) -> Result<()> {
        let rest = self.rest();
        let mut escaped = false;
        let end = rest[1..].char_indices().find(|&(_, c)| {
            let ends = !escaped && c == quote;
            escaped = !escaped && c == '\\';
            ends
        });
        let Some((end, _)) = end else {
            return self.fail("a string does not end");
        };
        match literals::unescaped(&rest[1..=end]) {
            Ok(text) => self.push(Token::Text(text.into())),
            Err(message) => return self.fail(message),
        }
        self.at += end + 2;
        Ok(())
    }

    fn operator(&mut self, first: char, open: &mut Vec<&'static str>) -> Result<()> {
        let rest = self.rest();
        let Some(&operator) = OPERATORS.iter().find(|o| rest.starts_with(**o)) else {
            return self.fail(format!("unexpected character {first:?}"));
        };
        match operator {
            "(" => open.push(")"),
            "[" => open.push("]"),
            "{" => open.push("}"),
            ")" | "]" | "}" if open.pop() != Some(operator) => {
                return self.fail(format!("unexpected '{operator}'"));
            }
            _ => {}
        }
        self.push(Token::Operator(operator));
        self.at += operator.len();
        Ok(())
    }
}

fn next_tag(text: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + text[from..].find('{')?;
        if matches!(text.as_bytes().get(at + 1), Some(b'{' | b'%' | b'#')) {
            return Some(at);
        }
        from = at + 1;
    }
}

/// The length of ` raw %}` (what follows `{%` and its sign), white space after `-%}` included.
fn raw_begin(text: &str) -> Option<usize> {
    let rest = text.trim_start_matches(is_space).strip_prefix("raw")?.trim_start_matches(is_space);
    let rest = match rest.strip_prefix("-%}") {
        Some(rest) => rest.trim_start_matches(is_space),
        None => rest.strip_prefix("%}")?,
    };
    Some(text.len() - rest.len())
}
