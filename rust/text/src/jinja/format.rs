//! str.format and str.format_map.

use std::rc::Rc;

use super::arguments::{required, Args};
use super::dict::Dict;
use super::error::{raise, Result};
use super::html;
use super::interpreter::Interpreter;
use super::number_format::Spec;
use super::operators::Number;
use super::value::{Text, Value};

pub fn call(i: &mut Interpreter, this: &Text, name: &str, args: Args) -> Result<Value> {
    let (positional, named) = match name {
        "format" => {
            let mut named = Dict::default();
            args.named.into_iter().for_each(|(key, value)| named.insert_text(&key, value));
            (args.positional, Rc::new(named))
        }
        _ => {
            let [mapping] = args.positional(name)?;
            match required(mapping, name, "mapping")? {
                Value::Dict(dict) => (Vec::new(), dict),
                _ => return raise("format_map needs a mapping"),
            }
        }
    };
    let mut formatter =
        Formatter { positional, named, next: Some(0), manual: false, safe: this.safe };
    let text = formatter.format(i, &this.text, 2)?;
    Ok(Value::Text(Text { text: text.into(), safe: this.safe }))
}

struct Formatter {
    positional: Vec<Value>,
    named: Rc<Dict>,
    /// The next `{}`'s.
    next: Option<usize>,
    manual: bool,
    safe: bool,
}

impl Formatter {
    /// `depth`: how far fields may be in format specifications.
    fn format(&mut self, i: &mut Interpreter, format: &str, depth: usize) -> Result<String> {
        if depth == 0 {
            return raise("max string recursion exceeded");
        }
        let mut out = String::new();
        let mut rest = format;
        while let Some(at) = rest.find(['{', '}']) {
            i.write(&rest[..at], &mut out)?;
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                i.write(brace, &mut out)?;
                rest = after;
                continue;
            }
            if brace == "}" {
                return raise("single '}' in a format string");
            }
            let Some(end) = field_end(rest) else {
                return raise("expected '}' before end of string");
            };
            let text = self.field(i, &rest[..end], depth)?;
            i.write(&text, &mut out)?;
            rest = &rest[end + 1..];
        }
        i.write(rest, &mut out)?;
        Ok(out)
    }

    fn field(&mut self, i: &mut Interpreter, field: &str, depth: usize) -> Result<String> {
        let (mut name, spec) = match name_end(field) {
            Some(end) if field[end..].starts_with(':') => (&field[..end], &field[end + 1..]),
            Some(end) => match field[end + 1..].split_once(':') {
                Some((_, spec)) => (field, spec),
                None => (field, ""),
            },
            None => (field, ""),
        };
        let mut conversion = None;
        if let Some(at) = name_end(name).filter(|&at| name[at..].starts_with('!')) {
            let after = name[at + 1..].split(':').next().unwrap_or_default();
            conversion = Some(after.to_string());
            name = &name[..at];
        }
        let value = self.value(i, name)?;
        let value = match conversion.as_deref() {
            None => value,
            Some("s") => Value::text(i.str(&value)?),
            Some("r") => Value::text(i.repr(&value)?),
            Some("a") => Value::text(super::percent::ascii(&i.repr(&value)?)),
            Some(other) => return raise(format!("unknown conversion '{other}'")),
        };
        let spec = self.format(i, spec, depth - 1 + usize::from(!spec.contains(['{', '}'])))?;
        let text = formatted(i, &value, &spec)?;
        let escape = self.safe && !value.is_safe();
        Ok(if escape { html::escaped(&text) } else { text })
    }

    /// `name.attribute[element]`.
    fn value(&mut self, i: &mut Interpreter, field: &str) -> Result<Value> {
        let end = field.find(['.', '[']).unwrap_or(field.len());
        let (name, mut path) = field.split_at(end);
        let mut value = self.argument(name)?;
        while !path.is_empty() {
            if let Some(rest) = path.strip_prefix('.') {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                value = i.attribute(&value, &rest[..end].into())?;
                path = &rest[end..];
            } else {
                let Some((index, rest)) = path[1..].split_once(']') else {
                    return raise("missing ']' in a format string");
                };
                let index = match index.parse() {
                    Ok(number) if index.bytes().all(|b| b.is_ascii_digit()) => Value::Int(number),
                    _ => Value::text(index),
                };
                value = i.item(&value, &index)?;
                if !rest.is_empty() && !rest.starts_with(['.', '[']) {
                    return raise("only '.' or '[' may follow ']' in a format field");
                }
                path = rest;
            }
        }
        Ok(value)
    }

    fn argument(&mut self, name: &str) -> Result<Value> {
        let index = match (name, self.next) {
            ("", Some(next)) if !self.manual => {
                self.next = Some(next + 1);
                Some(next)
            }
            ("", _) => return raise("cannot switch from manual to automatic field numbering"),
            _ if name.bytes().all(|b| b.is_ascii_digit()) => {
                if self.next != Some(0) {
                    return raise("cannot switch from automatic to manual field numbering");
                }
                self.manual = true;
                Some(name.parse().unwrap_or(usize::MAX))
            }
            _ => None,
        };
        let found = match index {
            Some(index) => self.positional.get(index),
            None => self.named.get_text(name),
        };
        match found {
            Some(value) => Ok(value.clone()),
            None => raise(format!("format: there is no argument '{name}'")),
        }
    }
}

/// Where the field closes, fields within it apart.
fn field_end(text: &str) -> Option<usize> {
    let mut open = 1;
    text.char_indices().find_map(|(i, c)| {
        open += i32::from(c == '{') - i32::from(c == '}');
        (open == 0).then_some(i)
    })
}

/// Where ':' or '!' ends the name; brackets may hold either.
fn name_end(field: &str) -> Option<usize> {
    let mut in_brackets = false;
    field.char_indices().find_map(|(i, c)| {
        in_brackets = c == '[' || in_brackets && c != ']';
        (!in_brackets && matches!(c, ':' | '!')).then_some(i)
    })
}

/// format(value, spec).
pub fn formatted(i: &mut Interpreter, value: &Value, spec: &str) -> Result<String> {
    if spec.is_empty() {
        return Ok(i.str(value)?.to_string());
    }
    if value.is_safe() {
        return raise("unsupported format specification for Markup");
    }
    match (value, Number::of(value)) {
        (Value::Text(text), _) => {
            let spec = Spec::parse(spec)?;
            spec.check(i, text.text.len())?;
            spec.text(&text.text)
        }
        (_, Some(number)) => {
            let spec = Spec::parse(spec)?;
            spec.check(i, 400)?;
            spec.number(number)
        }
        _ => raise(format!("unsupported format string for '{}'", value.type_name())),
    }
}
