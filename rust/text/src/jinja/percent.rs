//! `format % values`.

use super::error::{raise, Result};
use super::html;
use super::interpreter::Interpreter;
use super::number_format::Spec;
use super::operators::Number;
use super::value::{Text, Value};

/// Where the values come from.
struct Values<'a> {
    all: &'a Value,
    /// A tuple's, or the one value itself; none once a mapping's key has been used.
    items: Vec<Value>,
    next: usize,
}

impl Values<'_> {
    fn next(&mut self) -> Result<Value> {
        self.next += 1;
        match self.items.get(self.next - 1) {
            Some(value) => Ok(value.clone()),
            None => raise("not enough arguments for format string"),
        }
    }

    /// A `*` in place of a number.
    fn number(&mut self, digits: &mut &str) -> Result<Option<i128>> {
        if let Some(rest) = digits.strip_prefix('*') {
            *digits = rest;
            return match self.next()? {
                Value::Int(i) => Ok(Some(i)),
                _ => raise("* wants int"),
            };
        }
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let (number, rest) = digits.split_at(end);
        *digits = rest;
        match number {
            "" => Ok(None),
            _ => Ok(Some(number.parse().unwrap_or(i128::MAX))),
        }
    }
}

impl Interpreter {
    pub fn percent(&mut self, format: &Text, values: &Value) -> Result<Value> {
        let items = match values {
            Value::Tuple(items) => items.to_vec(),
            one => vec![one.clone()],
        };
        let mut values = Values { all: values, items, next: 0 };
        let mut out = String::new();
        let mut rest = &*format.text;
        while let Some(at) = rest.find('%') {
            self.write(&rest[..at], &mut out)?;
            rest = &rest[at + 1..];
            rest = self.conversion(rest, &mut values, format.safe, &mut out)?;
        }
        self.write(rest, &mut out)?;
        let mapping = matches!(
            values.all,
            Value::Dict(_) | Value::List(_) | Value::Range(_) | Value::Undefined(_)
        );
        if values.next < values.items.len() && !mapping {
            return raise("not all arguments converted during string formatting");
        }
        Ok(Value::Text(Text { text: out.into(), safe: format.safe }))
    }

    /// What follows a `%`; returns what is left of the format.
    fn conversion<'a>(
        &mut self,
        format: &'a str,
        values: &mut Values,
        safe: bool,
        out: &mut String,
    ) -> Result<&'a str> {
        let mut rest = format;
        let mut named = None;
        if let Some(after) = rest.strip_prefix('(') {
            let Some(end) = closing(after) else { return raise("incomplete format key") };
            let Value::Dict(dict) = values.all else { return raise("format requires a mapping") };
            let Some(value) = dict.get_text(&after[..end]) else {
                return raise(format!("the mapping has no '{}'", &after[..end]));
            };
            named = Some(value.clone());
            values.items.clear();
            rest = &after[end + 1..];
        }
        let mut spec = Spec::default();
        let mut left = false;
        while let Some(flag) = rest.chars().next().filter(|c| "-+ #0".contains(*c)) {
            match flag {
                '-' => left = true,
                '+' => spec.sign = Some('+'),
                ' ' => spec.sign = spec.sign.or(Some(' ')),
                '#' => spec.alternate = true,
                _ => spec.zero = true,
            }
            rest = &rest[1..];
        }
        let width = values.number(&mut rest)?.unwrap_or(0);
        left |= width < 0;
        spec.width = usize::try_from(width.unsigned_abs()).unwrap_or(usize::MAX);
        if let Some(after) = rest.strip_prefix('.') {
            rest = after;
            let precision = values.number(&mut rest)?.unwrap_or(0).max(0);
            spec.precision = Some(usize::try_from(precision).unwrap_or(usize::MAX));
        }
        rest = rest.strip_prefix(['h', 'l', 'L']).unwrap_or(rest);
        let Some(kind) = rest.chars().next() else { return raise("incomplete format") };
        rest = &rest[kind.len_utf8()..];
        if kind == '%' {
            self.write("%", out)?;
            return Ok(rest);
        }
        spec.align = Some(if left { '<' } else { '>' });
        let value = match named {
            Some(value) => value,
            None => values.next()?,
        };
        let text = self.converted(kind, spec, left, &value, safe)?;
        self.write(&text, out)?;
        Ok(rest)
    }

    fn converted(
        &mut self,
        kind: char,
        spec: Spec,
        left: bool,
        value: &Value,
        safe: bool,
    ) -> Result<String> {
        spec.check(self, 0)?;
        match kind {
            's' | 'r' | 'a' => {
                let text = match kind {
                    's' if safe => {
                        html::escape(self, value)?.as_str().unwrap_or_default().to_string()
                    }
                    's' => self.str(value)?.to_string(),
                    _ => self.repr(value)?,
                };
                let text = if kind == 'a' { ascii(&text) } else { text };
                let text = if safe && kind != 's' { html::escaped(&text) } else { text };
                let plain = Spec { sign: None, alternate: false, zero: false, kind: None, ..spec };
                plain.text(&text)
            }
            'c' => {
                let text = match value {
                    Value::Text(text) if text.text.chars().count() == 1 => text.text.to_string(),
                    Value::Int(_) => {
                        Spec { kind: Some('c'), ..Spec::default() }.number(number(value, "c")?)?
                    }
                    _ => return raise("%c requires int or char"),
                };
                Spec {
                    sign: None,
                    alternate: false,
                    zero: false,
                    precision: None,
                    kind: None,
                    ..spec
                }
                .text(&text)
            }
            'd' | 'i' | 'u' | 'x' | 'X' | 'o' => {
                let number = match (number(value, "d")?, kind) {
                    (Number::Float(x), 'd' | 'i' | 'u') if x.is_finite() && x.abs() < 1e38 => {
                        Number::Int(x as i128)
                    }
                    (Number::Float(_), _) => return raise("an integer is required"),
                    (number, _) => number,
                };
                let kind = if "iu".contains(kind) { 'd' } else { kind };
                integer(spec, number, kind, left)
            }
            'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
                let number = Number::Float(number(value, "f")?.float());
                let align = if spec.zero && !left { None } else { spec.align };
                let zero = spec.zero && !left;
                Spec { align, zero, kind: Some(kind), ..spec }.number(number)
            }
            other => raise(format!("unsupported format character '{other}'")),
        }
    }
}

/// A precision asks for that many digits at least.
fn integer(spec: Spec, number: Number, kind: char, left: bool) -> Result<String> {
    let zero = spec.zero && !left && spec.precision.is_none();
    let align = if zero { None } else { spec.align };
    let digits =
        Spec { kind: Some(kind), sign: spec.sign, alternate: spec.alternate, ..Spec::default() }
            .number(number)?;
    let Some(precision) = spec.precision else {
        return Spec { align, zero, kind: Some(kind), ..spec }.number(number);
    };
    let start = digits.find(|c: char| c.is_ascii_hexdigit()).unwrap_or(0);
    let start = if spec.alternate && "xXo".contains(kind) { start + 2 } else { start };
    let (sign, digits) = digits.split_at(start);
    let padded = format!("{sign}{digits:0>precision$}");
    Spec { precision: None, sign: None, alternate: false, zero: false, kind: None, ..spec }
        .text(&padded)
}

fn number(value: &Value, kind: &str) -> Result<Number> {
    match Number::of(value) {
        Some(number) => Ok(number),
        None => {
            raise(format!("%{kind} format: a real number is required, not {}", value.type_name()))
        }
    }
}

/// Where the parenthesis of a key closes.
fn closing(text: &str) -> Option<usize> {
    let mut open = 1;
    text.char_indices().find_map(|(i, c)| {
        open += i32::from(c == '(') - i32::from(c == ')');
        (open == 0).then_some(i)
    })
}

/// ascii(): characters beyond ASCII as escapes.
pub fn ascii(repr: &str) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    for c in repr.chars() {
        let _ = match u32::from(c) {
            0..=0x7f => out.write_char(c),
            code @ 0x80..=0xff => write!(out, "\\x{code:02x}"),
            code @ 0x100..=0xffff => write!(out, "\\u{code:04x}"),
            code => write!(out, "\\U{code:08x}"),
        };
    }
    out
}
