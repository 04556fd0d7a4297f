//! str() and repr() of values.

use std::fmt::Write;
use std::rc::Rc;

use super::error::{raise, Error, Result};
use super::interpreter::Interpreter;
use super::unicode::is_printable;
use super::value::{Text, Value, View};

/// Python raises RecursionError not much further.
const MAX_DEPTH: usize = 900;

impl Interpreter {
    /// str(value).
    pub fn str(&mut self, value: &Value) -> Result<Rc<str>> {
        match value {
            Value::Text(text) => Ok(text.text.clone()),
            Value::Undefined(_) => Ok("".into()),
            Value::Loop(state) => Ok(state.clone().describe(self)?.into()),
            _ => Ok(self.repr(value)?.into()),
        }
    }

    /// The text itself with its mark when it is text, else str(value): markupsafe's soft_str.
    pub fn soft_str(&mut self, value: &Value) -> Result<Text> {
        match value {
            Value::Text(text) => Ok(text.clone()),
            _ => Ok(Text { text: self.str(value)?, safe: false }),
        }
    }

    pub fn repr(&mut self, value: &Value) -> Result<String> {
        let mut printer = Printer { out: String::new(), limit: self.limits.output_bytes };
        printer.repr(value, 0)?;
        self.charge(printer.out.len())?;
        Ok(printer.out)
    }
}

struct Printer {
    out: String,
    limit: usize,
}

impl Printer {
    fn repr(&mut self, value: &Value, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            return raise("maximum recursion depth exceeded");
        }
        if self.out.len() > self.limit {
            return Err(Error::too_much("room"));
        }
        // Writing to a String cannot fail.
        let _ = match value {
            Value::Undefined(_) => self.out.write_str("Undefined"),
            Value::None => self.out.write_str("None"),
            Value::Bool(value) => self.out.write_str(if *value { "True" } else { "False" }),
            Value::Int(value) => write!(self.out, "{value}"),
            Value::Float(value) => self.out.write_str(&float(*value)),
            Value::Text(text) if text.safe => {
                self.out.push_str("Markup(");
                push_quoted(&text.text, &mut self.out);
                self.out.write_str(")")
            }
            Value::Text(text) => {
                push_quoted(&text.text, &mut self.out);
                Ok(())
            }
            Value::List(items) => return self.items("[", items.iter(), "]", depth),
            Value::Tuple(items) if items.len() == 1 => {
                return self.items("(", items.iter(), ",)", depth);
            }
            Value::Tuple(items) => return self.items("(", items.iter(), ")", depth),
            Value::Dict(dict) => return self.entries("{", dict, "}", depth),
            Value::Namespace(dict) => {
                return self.entries("<Namespace {", &dict.borrow(), "}>", depth);
            }
            Value::View(View::Keys, dict) => {
                return self.items("dict_keys([", dict.iter().map(|(key, _)| key), "])", depth);
            }
            Value::View(View::Values, dict) => {
                return self.items("dict_values([", dict.iter().map(|(_, v)| v), "])", depth);
            }
            Value::View(View::Items, dict) => {
                let pairs: Vec<Value> =
                    dict.iter().map(|(k, v)| Value::tuple(vec![k.clone(), v.clone()])).collect();
                return self.items("dict_items([", pairs.iter(), "])", depth);
            }
            Value::Range(range) if range.step == 1 => {
                write!(self.out, "range({}, {})", range.start, range.stop)
            }
            Value::Range(range) => {
                write!(self.out, "range({}, {}, {})", range.start, range.stop, range.step)
            }
            Value::Macro(object) => {
                self.out.push_str("<Macro ");
                push_quoted(&object.definition.name, &mut self.out);
                self.out.write_str(">")
            }
            // Python prints an address here.
            other => write!(self.out, "<{} object>", other.type_name()),
        };
        Ok(())
    }

    fn items<'a>(
        &mut self,
        open: &str,
        items: impl Iterator<Item = &'a Value>,
        close: &str,
        depth: usize,
    ) -> Result<()> {
        self.out.push_str(open);
        for (i, item) in items.enumerate() {
            if i > 0 {
                self.out.push_str(", ");
            }
            self.repr(item, depth + 1)?;
        }
        self.out.push_str(close);
        Ok(())
    }

    fn entries(
        &mut self,
        open: &str,
        dict: &super::dict::Dict,
        close: &str,
        depth: usize,
    ) -> Result<()> {
        self.out.push_str(open);
        for (i, (key, value)) in dict.iter().enumerate() {
            if i > 0 {
                self.out.push_str(", ");
            }
            self.repr(key, depth + 1)?;
            self.out.push_str(": ");
            self.repr(value, depth + 1)?;
        }
        self.out.push_str(close);
        Ok(())
    }
}

/// repr(text).
pub fn push_quoted(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        let _ = match c {
            '\\' => out.write_str("\\\\"),
            '\n' => out.write_str("\\n"),
            '\r' => out.write_str("\\r"),
            '\t' => out.write_str("\\t"),
            c if c == quote => write!(out, "\\{c}"),
            c if is_printable(c) => out.write_char(c),
            c => match u32::from(c) {
                code @ 0..=0xff => write!(out, "\\x{code:02x}"),
                code @ 0x100..=0xffff => write!(out, "\\u{code:04x}"),
                code => write!(out, "\\U{code:08x}"),
            },
        };
    }
    out.push(quote);
}

/// repr(x): the fewest digits that give x again, with an exponent below 1e-4 and from 1e16 on.
pub fn float(x: f64) -> String {
    if x.is_nan() {
        return "nan".into();
    }
    if x.is_infinite() {
        return if x > 0.0 { "inf" } else { "-inf" }.into();
    }
    let scientific = format!("{x:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..16).contains(&exponent) {
        return format!("{x:?}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}
