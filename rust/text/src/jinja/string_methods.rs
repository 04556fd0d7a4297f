//! Python's methods of str. What markupsafe's Markup returns is Markup again.

use std::rc::Rc;

use super::arguments::{given, int, int_or, required, size, switch, text, Args};
use super::dict::Dict;
use super::error::{raise, Result};
use super::html;
use super::interpreter::Interpreter;
use super::methods::text_argument;
use super::text_search::{self, Window};
use super::unicode::{self, is_space};
use super::value::{Text, Value};

pub const NAMES: [&str; 47] = [
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "maketrans",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "translate",
    "upper",
    "zfill",
];

pub fn call(i: &mut Interpreter, this: &Text, name: &str, args: Args) -> Result<Value> {
    i.charge(this.text.len())?;
    let s = &*this.text;
    let like = |text: String| Ok(Value::Text(Text { text: text.into(), safe: this.safe }));
    match name {
        "capitalize" | "casefold" | "lower" | "swapcase" | "title" | "upper" => {
            let [] = args.positional(name)?;
            like(match name {
                "capitalize" => unicode::capitalized(s),
                "casefold" => unicode::folded(s),
                "lower" => s.to_lowercase(),
                "swapcase" => unicode::swapped(s),
                "title" => unicode::titled(s),
                _ => s.to_uppercase(),
            })
        }
        "strip" | "lstrip" | "rstrip" => {
            let [chars] = args.positional(name)?;
            let chars = given(chars).map(|c| text(&c, name)).transpose()?;
            like(stripped(s, name, chars.as_deref()).to_string())
        }
        "center" | "ljust" | "rjust" | "zfill" => pad(i, this, name, args),
        "expandtabs" => {
            let [tab] = args.bind(name, ["tabsize"])?;
            let tab = size(int_or(tab, 8, name)?);
            i.charge_text(s.matches('\t').count().saturating_mul(tab).saturating_add(s.len()))?;
            like(expanded(s, tab))
        }
        "removeprefix" | "removesuffix" => {
            let [part] = args.positional(name)?;
            let part = text_argument(part, name)?;
            let rest = match name {
                "removeprefix" => s.strip_prefix(&*part),
                _ => s.strip_suffix(&*part),
            };
            like(rest.unwrap_or(s).to_string())
        }
        "find" | "rfind" | "index" | "rindex" | "count" => search(s, name, args),
        "startswith" | "endswith" => affix(s, name, args),
        "split" | "rsplit" => {
            let [separator, most] = args.bind(name, ["sep", "maxsplit"])?;
            let most = int_or(most, -1, name)?;
            let most = if most < 0 { usize::MAX } else { size(most) };
            let separator = given(separator).map(|c| text(&c, name)).transpose()?;
            let parts = text_search::split(s, separator.as_deref(), most, name == "rsplit")?;
            list_like(i, this, parts)
        }
        "splitlines" => {
            let [keep] = args.bind(name, ["keepends"])?;
            list_like(i, this, text_search::lines(s, switch(keep, name)?))
        }
        "partition" | "rpartition" => {
            let [separator] = args.positional(name)?;
            let separator = text_argument(separator, name)?;
            let parts = text_search::partition(s, &separator, name == "rpartition")?;
            Ok(Value::tuple(
                parts.map(|p| Value::Text(Text { text: p.into(), safe: this.safe })).into(),
            ))
        }
        "replace" => {
            let [old, new, most] = args.positional(name)?;
            let (old, mut new) = (text_argument(old, name)?, required(new, name, "new")?);
            if this.safe {
                new = html::escape(i, &new)?;
            }
            let most = int_or(most, -1, name)?;
            let replaced = replaced(i, s, &old, &text(&new, name)?, most)?;
            like(replaced)
        }
        "join" => {
            let [items] = args.positional(name)?;
            join(i, this, &required(items, name, "iterable")?)
        }
        "translate" | "maketrans" => translate(i, this, name, args),
        "encode" => raise("bytes are not supported"),
        _ => {
            let [] = args.positional(name)?;
            Ok(Value::Bool(is(s, name)))
        }
    }
}

fn list_like(i: &mut Interpreter, this: &Text, parts: Vec<&str>) -> Result<Value> {
    i.charge_items(parts.len())?;
    let part = |part: &str| Value::Text(Text { text: part.into(), safe: this.safe });
    Ok(Value::list(parts.into_iter().map(part).collect()))
}

/// str.isalpha and its like.
fn is(s: &str, name: &str) -> bool {
    let all = |class: fn(char) -> bool| !s.is_empty() && s.chars().all(class);
    match name {
        "isalnum" => {
            all(|c| unicode::is_alpha(c) || unicode::is_digit(c) || unicode::is_numeric(c))
        }
        "isalpha" => all(unicode::is_alpha),
        "isascii" => s.is_ascii(),
        "isdecimal" => all(unicode::is_decimal),
        "isdigit" => all(unicode::is_digit),
        "isnumeric" => all(|c| unicode::is_digit(c) || unicode::is_numeric(c)),
        "isidentifier" => unicode::is_identifier(s),
        "isprintable" => s.chars().all(unicode::is_printable),
        "isspace" => all(is_space),
        "istitle" => unicode::is_titled(s),
        "islower" => is_lower(s),
        _ => {
            let wrong = |c: char| c.is_lowercase() || unicode::is_titlecase(c);
            s.chars().any(char::is_uppercase) && !s.chars().any(wrong)
        }
    }
}

pub fn is_lower(s: &str) -> bool {
    let wrong = |c: char| c.is_uppercase() || unicode::is_titlecase(c);
    s.chars().any(char::is_lowercase) && !s.chars().any(wrong)
}

pub fn is_upper(s: &str) -> bool {
    is(s, "isupper")
}

pub fn stripped<'a>(s: &'a str, name: &str, chars: Option<&str>) -> &'a str {
    let strip = |c: char| chars.map_or_else(|| is_space(c), |chars| chars.contains(c));
    let s = if name == "lstrip" { s } else { s.trim_end_matches(strip) };
    if name == "rstrip" {
        s
    } else {
        s.trim_start_matches(strip)
    }
}

fn pad(i: &mut Interpreter, this: &Text, name: &str, args: Args) -> Result<Value> {
    let [width, fill] = args.positional(name)?;
    let width = size(int(&required(width, name, "width")?, name)?);
    let fill = match (fill, name) {
        (Some(_), "zfill") => return raise("zfill takes one argument"),
        (Some(fill), _) if this.safe => text(&html::escape(i, &fill)?, name)?,
        (Some(fill), _) => text(&fill, name)?,
        (None, _) => if name == "zfill" { "0" } else { " " }.into(),
    };
    let mut one = fill.chars();
    let (Some(fill), None) = (one.next(), one.next()) else {
        return raise("the fill character must be exactly one character long");
    };
    let length = this.text.chars().count();
    let missing = width.saturating_sub(length);
    i.charge_text(missing.saturating_mul(fill.len_utf8()).saturating_add(this.text.len()))?;
    Ok(Value::Text(Text {
        text: padded(&this.text, name, width, length, fill).into(),
        safe: this.safe,
    }))
}

fn padded(s: &str, name: &str, width: usize, length: usize, fill: char) -> String {
    let missing = width.saturating_sub(length);
    let left = match name {
        "ljust" => 0,
        // CPython's rounding of an odd rest.
        "center" => missing / 2 + (missing & width & 1),
        _ => missing,
    };
    let (sign, rest) = match s.strip_prefix(['+', '-']) {
        Some(rest) if name == "zfill" => (&s[..1], rest),
        _ => ("", s),
    };
    let fill = |count: usize| std::iter::repeat_n(fill, count);
    let mut out = String::from(sign);
    out.extend(fill(left));
    out.push_str(rest);
    out.extend(fill(missing - left));
    out
}

pub fn centered(i: &mut Interpreter, this: &Text, width: i128) -> Result<Value> {
    pad(i, this, "center", Args { positional: vec![Value::Int(width)], named: Vec::new() })
}

fn expanded(s: &str, tab: usize) -> String {
    let mut out = String::with_capacity(s.len());
    let mut column = 0;
    for c in s.chars() {
        match c {
            '\t' if tab == 0 => {}
            '\t' => {
                let spaces = tab - column % tab;
                out.extend(std::iter::repeat_n(' ', spaces));
                column += spaces;
            }
            '\n' | '\r' => {
                out.push(c);
                column = 0;
            }
            _ => {
                out.push(c);
                column += 1;
            }
        }
    }
    out
}

fn window<'a>(
    s: &'a str,
    start: Option<Value>,
    end: Option<Value>,
    name: &str,
) -> Result<Option<Window<'a>>> {
    let start = given(start).map(|v| int(&v, name)).transpose()?;
    let end = given(end).map(|v| int(&v, name)).transpose()?;
    Ok(Window::of(s, start, end))
}

fn search(s: &str, name: &str, args: Args) -> Result<Value> {
    let [part, start, end] = args.positional(name)?;
    let part = text_argument(part, name)?;
    let window = window(s, start, end, name)?;
    if name == "count" {
        return Ok(Value::size(window.map_or(0, |w| text_search::count(w.text, &part))));
    }
    let found = window.and_then(|w| w.find(&part, name.starts_with('r')));
    match found {
        Some(at) => Ok(Value::size(at)),
        None if name.ends_with("index") => raise("substring not found"),
        None => Ok(Value::Int(-1)),
    }
}

fn affix(s: &str, name: &str, args: Args) -> Result<Value> {
    let [parts, start, end] = args.positional(name)?;
    let parts = match required(parts, name, "text")? {
        Value::Tuple(parts) => parts.iter().map(|p| text(p, name)).collect::<Result<Vec<_>>>()?,
        part => vec![text(&part, name)?],
    };
    let window = window(s, start, end, name)?;
    let has = |part: &Rc<str>| {
        window.as_ref().is_some_and(|w| match name {
            "startswith" => w.text.starts_with(&**part),
            _ => w.text.ends_with(&**part),
        })
    };
    Ok(Value::Bool(parts.iter().any(has)))
}

pub fn replaced(i: &mut Interpreter, s: &str, old: &str, new: &str, most: i128) -> Result<String> {
    let most = if most < 0 { usize::MAX } else { size(most) };
    let found = text_search::count(s, old).min(most);
    i.charge_text(s.len().saturating_add(found.saturating_mul(new.len())))?;
    Ok(s.replacen(old, new, most))
}

/// separator.join(items): the items must be text.
fn join(i: &mut Interpreter, separator: &Text, items: &Value) -> Result<Value> {
    let mut out = String::new();
    for (n, item) in i.iterate(items)?.into_iter().enumerate() {
        if n > 0 {
            i.write(&separator.text, &mut out)?;
        }
        let item = if separator.safe { html::escape(i, &item)? } else { item };
        match &item {
            Value::Text(text) => i.write(&text.text, &mut out)?,
            other => return raise(format!("join: item {n} is '{}', not text", other.type_name())),
        }
    }
    Ok(Value::Text(Text { text: out.into(), safe: separator.safe }))
}

/// str.maketrans makes the mapping that str.translate takes: code points to code points, text or None.
fn translate(i: &mut Interpreter, this: &Text, name: &str, args: Args) -> Result<Value> {
    if name == "maketrans" {
        return table(i, args);
    }
    let [table] = args.positional(name)?;
    let table = required(table, name, "table")?;
    let mut out = String::new();
    for c in this.text.chars() {
        i.step()?;
        match i.element(&table, &Value::Int(u32::from(c).into()))? {
            None => out.push(c),
            Some(Value::None) => {}
            Some(Value::Text(text)) => i.write(&text.text, &mut out)?,
            Some(code) => match u32::try_from(int(&code, name)?).ok().and_then(char::from_u32) {
                Some(c) => out.push(c),
                None => return raise("translate: no such character"),
            },
        }
    }
    Ok(Value::Text(Text { text: out.into(), safe: this.safe }))
}

fn table(i: &mut Interpreter, args: Args) -> Result<Value> {
    let name = "maketrans";
    let [from, to, without] = args.positional(name)?;
    let from = required(from, name, "x")?;
    let mut table = Dict::default();
    let code = |c: char| Value::Int(u32::from(c).into());
    let Some(to) = to else {
        let Value::Dict(dict) = &from else {
            return raise("maketrans: one argument must be a mapping");
        };
        for (key, value) in dict.iter() {
            let mut chars = key.as_str().unwrap_or("").chars();
            let key = match (key, chars.next(), chars.next()) {
                (Value::Text(_), Some(c), None) => code(c),
                (Value::Int(_), ..) => key.clone(),
                _ => return raise("maketrans: a key must be one character or a number"),
            };
            table.insert(key, value.clone())?;
        }
        return Ok(Value::Dict(Rc::new(table)));
    };
    let (from, to) = (text(&from, name)?, text(&to, name)?);
    i.charge(from.len() * 8)?;
    if from.chars().count() != to.chars().count() {
        return raise("maketrans: the two texts must be equally long");
    }
    for (from, to) in from.chars().zip(to.chars()) {
        table.insert(code(from), code(to))?;
    }
    for c in without.map(|w| text(&w, name)).transpose()?.unwrap_or_default().chars() {
        table.insert(code(c), Value::None)?;
    }
    Ok(Value::Dict(Rc::new(table)))
}
