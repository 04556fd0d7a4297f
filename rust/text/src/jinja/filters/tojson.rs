//! The `tojson` filter as Hugging Face defines it for chat templates: Python's
//! json.dumps(value, ensure_ascii=False), with no HTML escaping and the keys in their order.

use std::fmt::Write;
use std::rc::Rc;

use crate::jinja::arguments::{given, int, size, text, truth_or, Args};
use crate::jinja::dict::Dict;
use crate::jinja::error::{raise, Error, Result};
use crate::jinja::interpreter::Interpreter;
use crate::jinja::print;
use crate::jinja::value::Value;

const MAX_DEPTH: usize = 900;

/// tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False).
pub fn tojson(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [ensure_ascii, indent, separators, sort_keys] =
        args.bind("tojson", ["ensure_ascii", "indent", "separators", "sort_keys"])?;
    let indent: Option<Rc<str>> = match given(indent) {
        None => None,
        Some(Value::Text(text)) => Some(text.text.clone()),
        Some(width) => {
            let width = size(int(&width, "tojson")?);
            i.charge_text(width)?;
            Some(" ".repeat(width).into())
        }
    };
    let (item, key) = match given(separators) {
        Some(separators) => match <[Value; 2]>::try_from(i.iterate(&separators)?) {
            Ok([item, key]) => (text(&item, "tojson")?, text(&key, "tojson")?),
            Err(_) => return raise("tojson: separators must be two"),
        },
        None if indent.is_some() => (",".into(), ": ".into()),
        None => (", ".into(), ": ".into()),
    };
    let (ensure_ascii, sort_keys) = (truth_or(&ensure_ascii, false), truth_or(&sort_keys, false));
    let limit = i.limits.output_bytes;
    let mut writer =
        Writer { out: String::new(), indent, item, key, ensure_ascii, sort_keys, limit };
    writer.value(i, &value, 0)?;
    i.charge_text(writer.out.len())?;
    Ok(Value::text(writer.out))
}

struct Writer {
    out: String,
    indent: Option<Rc<str>>,
    item: Rc<str>,
    key: Rc<str>,
    ensure_ascii: bool,
    sort_keys: bool,
    limit: usize,
}

impl Writer {
    fn value(&mut self, i: &mut Interpreter, value: &Value, depth: usize) -> Result<()> {
        i.step()?;
        if depth > MAX_DEPTH {
            return raise("tojson: nested too deeply");
        }
        if self.out.len() > self.limit {
            return Err(Error::too_much("room"));
        }
        match value {
            Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
                let text = scalar(value);
                self.out.push_str(&text);
            }
            Value::Text(text) => self.string(&text.text),
            Value::List(items) | Value::Tuple(items) => {
                self.out.push('[');
                for (n, item) in items.iter().enumerate() {
                    self.separate(n, depth + 1);
                    self.value(i, item, depth + 1)?;
                }
                self.close(']', items.len(), depth);
            }
            Value::Dict(dict) => {
                self.out.push('{');
                for (n, (key, value)) in self.entries(i, dict)?.iter().enumerate() {
                    self.separate(n, depth + 1);
                    self.string(&key_text(key)?);
                    self.out.push_str(&self.key);
                    self.value(i, value, depth + 1)?;
                }
                self.close('}', dict.len(), depth);
            }
            other => {
                return raise(format!(
                    "Object of type {} is not JSON serializable",
                    other.type_name()
                ))
            }
        }
        Ok(())
    }

    fn entries(&self, i: &mut Interpreter, dict: &Dict) -> Result<Vec<(Value, Value)>> {
        let entries: Vec<(Value, Value)> = dict.iter().cloned().collect();
        if !self.sort_keys {
            return Ok(entries);
        }
        let keyed =
            entries.into_iter().map(|(k, v)| (k.clone(), Value::tuple(vec![k, v]))).collect();
        let pair = |pair: Value| match pair {
            Value::Tuple(pair) => (pair[0].clone(), pair[1].clone()),
            other => (other, Value::None),
        };
        Ok(i.sorted(keyed, false)?.into_iter().map(pair).collect())
    }

    fn separate(&mut self, n: usize, depth: usize) {
        if n > 0 {
            self.out.push_str(&self.item);
        }
        self.line(depth);
    }

    fn close(&mut self, bracket: char, count: usize, depth: usize) {
        if count > 0 {
            self.line(depth);
        }
        self.out.push(bracket);
    }

    fn line(&mut self, depth: usize) {
        let Some(indent) = &self.indent else { return };
        self.out.push('\n');
        for _ in 0..depth {
            if self.out.len() > self.limit {
                return;
            }
            self.out.push_str(indent);
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                c if c < ' ' || self.ensure_ascii && !(' '..='~').contains(&c) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        // Writing to a String cannot fail.
                        let _ = write!(self.out, "\\u{unit:04x}");
                    }
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Bool(true) => "true".into(),
        Value::Bool(false) => "false".into(),
        Value::Int(i) => i.to_string(),
        Value::Float(x) if x.is_nan() => "NaN".into(),
        Value::Float(x) if x.is_infinite() => {
            if *x > 0.0 { "Infinity" } else { "-Infinity" }.into()
        }
        Value::Float(x) => print::float(*x),
        _ => "null".into(),
    }
}

fn key_text(key: &Value) -> Result<Rc<str>> {
    match key {
        Value::Text(text) => Ok(text.text.clone()),
        Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) => Ok(scalar(key).into()),
        other => {
            raise(format!("keys must be str, int, float, bool or None, not {}", other.type_name()))
        }
    }
}
