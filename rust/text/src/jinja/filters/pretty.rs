//! `|pprint`: Python's pprint.pformat, 80 columns wide, mappings sorted by their keys.

use std::cmp::Ordering;

use crate::jinja::arguments::Args;
use crate::jinja::error::{raise, Error, Result};
use crate::jinja::interpreter::Interpreter;
use crate::jinja::print::push_quoted;
use crate::jinja::text_search::lines;
use crate::jinja::unicode::is_space;
use crate::jinja::value::Value;

const WIDTH: isize = 80;
const MAX_DEPTH: usize = 300;

pub fn pprint(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [] = args.bind("pprint", [])?;
    let value = sorted(i, &value, 0)?;
    let mut out = String::new();
    format(i, &value, Place { indent: 0, allowance: 0, depth: 0 }, &mut out)?;
    Ok(Value::text(out))
}

/// `allowance`: columns that closing brackets will take after the value.
#[derive(Clone, Copy)]
struct Place {
    indent: usize,
    allowance: usize,
    depth: usize,
}

/// With the keys of every mapping in order.
fn sorted(i: &mut Interpreter, value: &Value, depth: usize) -> Result<Value> {
    i.step()?;
    if depth > MAX_DEPTH {
        return raise("maximum recursion depth exceeded");
    }
    let inner = |i: &mut Interpreter, items: &[Value]| -> Result<Vec<Value>> {
        items.iter().map(|item| sorted(i, item, depth + 1)).collect()
    };
    if let Some(length) = i.length(value)?.filter(|_| value.as_str().is_none()) {
        i.charge_items(length.saturating_mul(64).saturating_add(64))?;
    }
    Ok(match value {
        Value::List(items) => Value::list(inner(i, items)?),
        Value::Tuple(items) => Value::tuple(inner(i, items)?),
        Value::Dict(dict) => {
            let mut entries: Vec<(Value, Value)> = dict.iter().cloned().collect();
            entries.sort_by(|(a, _), (b, _)| {
                let by_type = || a.type_name().cmp(b.type_name());
                i.order(a, b, "<").unwrap_or_else(|_| Some(by_type())).unwrap_or(Ordering::Equal)
            });
            let mut ordered = crate::jinja::dict::Dict::default();
            for (key, value) in entries {
                ordered.insert(key, sorted(i, &value, depth + 1)?)?;
            }
            Value::Dict(ordered.into())
        }
        other => other.clone(),
    })
}

fn format(i: &mut Interpreter, value: &Value, place: Place, out: &mut String) -> Result<()> {
    if out.len() > i.limits.output_bytes {
        return Err(Error::too_much("room"));
    }
    let repr = i.repr(value)?;
    let room = WIDTH - place.indent as isize - place.allowance as isize;
    if repr.chars().count() as isize <= room {
        return i.write(&repr, out);
    }
    let place = Place { depth: place.depth + 1, ..place };
    match value {
        Value::List(values) => items(i, values, place, ("[", "]"), out),
        Value::Tuple(values) if values.len() == 1 => items(i, values, place, ("(", ",)"), out),
        Value::Tuple(values) => items(i, values, place, ("(", ")"), out),
        Value::Dict(dict) => {
            out.push('{');
            let indent = place.indent + 1;
            for (n, (key, value)) in dict.iter().enumerate() {
                separate(i, n, indent, out)?;
                let key = i.repr(key)?;
                i.write(&key, out)?;
                out.push_str(": ");
                let last = n + 1 == dict.len();
                let allowance = if last { place.allowance + 1 } else { 1 };
                let indent = indent + key.chars().count() + 2;
                format(i, value, Place { indent, allowance, depth: place.depth }, out)?;
            }
            out.push('}');
            Ok(())
        }
        Value::Text(text) if !text.safe && !text.text.is_empty() => {
            string(i, &text.text, place, &repr, out)
        }
        _ => i.write(&repr, out),
    }
}

fn separate(i: &mut Interpreter, n: usize, indent: usize, out: &mut String) -> Result<()> {
    match n {
        0 => Ok(()),
        _ => i.write(&format!(",\n{}", " ".repeat(indent)), out),
    }
}

fn items(
    i: &mut Interpreter,
    values: &[Value],
    place: Place,
    (open, close): (&str, &str),
    out: &mut String,
) -> Result<()> {
    out.push_str(open);
    let indent = place.indent + 1;
    for (n, value) in values.iter().enumerate() {
        separate(i, n, indent, out)?;
        let last = n + 1 == values.len();
        let allowance = if last { place.allowance + close.len() } else { 1 };
        format(i, value, Place { indent, allowance, depth: place.depth }, out)?;
    }
    out.push_str(close);
    Ok(())
}

fn quoted(text: &str) -> String {
    let mut out = String::new();
    push_quoted(text, &mut out);
    out
}

/// A long text: a literal for each line or, where that is too long, for as many words as fit.
fn string(
    i: &mut Interpreter,
    text: &str,
    place: Place,
    repr: &str,
    out: &mut String,
) -> Result<()> {
    let outermost = usize::from(place.depth == 1);
    let indent = place.indent + outermost;
    let allowance = (place.allowance + outermost) as isize;
    let width = WIDTH - indent as isize;
    let fits = |text: &str, width: isize| quoted(text).chars().count() as isize <= width;
    let mut chunks = Vec::new();
    let text_lines = lines(text, true);
    for (n, line) in text_lines.iter().enumerate() {
        i.charge(line.len() * 8)?;
        let last_line = n + 1 == text_lines.len();
        if fits(line, if last_line { width - allowance } else { width }) {
            chunks.push(quoted(line));
            continue;
        }
        let parts = words(line);
        let mut current = String::new();
        for (m, part) in parts.iter().enumerate() {
            i.charge(current.len() * 8)?;
            let last = last_line && m + 1 == parts.len();
            let candidate = format!("{current}{part}");
            if fits(&candidate, if last { width - allowance } else { width }) {
                current = candidate;
                continue;
            }
            if !current.is_empty() {
                chunks.push(quoted(&current));
            }
            current = part.to_string();
        }
        if !current.is_empty() {
            chunks.push(quoted(&current));
        }
    }
    if chunks.len() == 1 {
        return i.write(repr, out);
    }
    let joined = chunks.join(&format!("\n{}", " ".repeat(indent)));
    i.write(&if outermost == 1 { format!("({joined})") } else { joined }, out)
}

/// Words, each with the white space after it.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let word = rest.find(is_space).unwrap_or(rest.len());
        let space = rest[word..].find(|c| !is_space(c)).map_or(rest.len(), |n| word + n);
        words.push(&rest[..space]);
        rest = &rest[space..];
    }
    words
}
