//! Filters that make text.

use std::rc::Rc;

use crate::jinja::arguments::{given, int, int_or, required, size, text, truth_or, Args};
use crate::jinja::ast::Binary;
use crate::jinja::error::{raise, Result};
use crate::jinja::html;
use crate::jinja::interpreter::Interpreter;
use crate::jinja::string_methods;
use crate::jinja::text_search;
use crate::jinja::unicode;
use crate::jinja::value::{Text, Value};

fn method(i: &mut Interpreter, value: Value, name: &str, args: Args) -> Result<Value> {
    let text = i.soft_str(&value)?;
    string_methods::call(i, &text, name, args)
}

fn plain(i: &mut Interpreter, value: Value, name: &str, args: Args) -> Result<Value> {
    let [] = args.bind(name, [])?;
    method(i, value, name, Args::default())
}

pub fn upper(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    plain(i, value, "upper", args)
}

pub fn lower(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    plain(i, value, "lower", args)
}

pub fn capitalize(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    plain(i, value, "capitalize", args)
}

/// Words start after white space and after "-({[<": an apostrophe is within a word.
pub fn title(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [] = args.bind("title", [])?;
    let text = i.soft_str(&value)?;
    i.charge(text.text.len())?;
    let separates = |c: char| unicode::is_space(c) || "-({[<".contains(c);
    let mut out = String::new();
    let mut rest = &*text.text;
    while !rest.is_empty() {
        let end = rest.find(separates).unwrap_or(rest.len());
        let mut word = rest[..end].chars();
        out.extend(word.next().into_iter().flat_map(char::to_uppercase));
        out.push_str(&word.as_str().to_lowercase());
        rest = &rest[end..];
        let end = rest.find(|c| !separates(c)).unwrap_or(rest.len());
        out.push_str(&rest[..end]);
        rest = &rest[end..];
    }
    Ok(Value::text(out))
}

pub fn center(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [width] = args.bind("center", ["width"])?;
    let text = i.soft_str(&value)?;
    string_methods::centered(i, &text, int_or(width, 80, "center")?)
}

pub fn trim(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [chars] = args.bind("trim", ["chars"])?;
    method(i, value, "strip", Args { positional: chars.into_iter().collect(), named: Vec::new() })
}

pub fn string(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [] = args.bind("string", [])?;
    Ok(Value::Text(i.soft_str(&value)?))
}

pub fn safe(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [] = args.bind("safe", [])?;
    Ok(Value::safe_text(i.str(&value)?))
}

pub fn escape(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [] = args.positional("escape")?;
    html::escape(i, &value)
}

pub fn forceescape(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [] = args.bind("forceescape", [])?;
    let text = i.str(&value)?;
    html::escape(i, &Value::text(text))
}

pub fn replace(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [old, new, count] = args.bind("replace", ["old", "new", "count"])?;
    let (old, new) = (required(old, "replace", "old")?, required(new, "replace", "new")?);
    let most = int_or(given(count), -1, "replace")?;
    let (text, old, new) = (i.str(&value)?, i.str(&old)?, i.str(&new)?);
    i.charge(text.len())?;
    Ok(Value::text(string_methods::replaced(i, &text, &old, &new, most)?))
}

pub fn format(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let text = i.soft_str(&value)?;
    match (args.positional.is_empty(), args.named.is_empty()) {
        (false, false) => raise("format takes positional or keyword arguments, not both"),
        (_, true) => i.percent(&text, &Value::tuple(args.positional)),
        _ => {
            let mut dict = crate::jinja::dict::Dict::default();
            args.named.into_iter().for_each(|(name, value)| dict.insert_text(&name, value));
            i.percent(&text, &Value::Dict(Rc::new(dict)))
        }
    }
}

pub fn striptags(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [] = args.bind("striptags", [])?;
    let text = i.str(&value)?;
    i.charge(text.len())?;
    Ok(Value::text(html::without_tags(&text)))
}

pub fn wordcount(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [] = args.bind("wordcount", [])?;
    let text = i.str(&value)?;
    i.charge(text.len())?;
    let word = |c: char| c == '_' || unicode::is_alpha(c) || unicode::is_numeric(c);
    let mut count = 0;
    let mut within = false;
    for c in text.chars() {
        let starts = word(c) && !within;
        count += usize::from(starts);
        within = word(c);
    }
    Ok(Value::size(count))
}

fn text_of(value: Value, what: &str) -> Result<Text> {
    match value {
        Value::Text(text) => Ok(text),
        Value::Undefined(why) => raise(&*why),
        other => raise(format!("{what}: '{}' is not text", other.type_name())),
    }
}

pub fn indent(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [width, first, blank] = args.bind("indent", ["width", "first", "blank"])?;
    let this = text_of(value, "indent")?;
    let indention: Rc<str> = match &width {
        None => "    ".into(),
        Some(Value::Text(text)) => text.text.clone(),
        Some(width) => {
            let width = size(int(width, "indent")?);
            i.charge_text(width)?;
            " ".repeat(width).into()
        }
    };
    let (first, blank) = (truth_or(&first, false), truth_or(&blank, false));
    let with_end = format!("{}\n", this.text);
    let mut out = String::new();
    for (n, line) in text_search::lines(&with_end, false).into_iter().enumerate() {
        if n > 0 {
            i.write("\n", &mut out)?;
        }
        if n == 0 && first || n > 0 && (blank || !line.is_empty()) {
            i.write(&indention, &mut out)?;
        }
        i.write(line, &mut out)?;
    }
    Ok(Value::Text(Text { text: out.into(), safe: this.safe }))
}

pub fn truncate(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [length, killwords, end, leeway] =
        args.bind("truncate", ["length", "killwords", "end", "leeway"])?;
    let length = int_or(length, 255, "truncate")?;
    let end = end.unwrap_or_else(|| Value::text("..."));
    let leeway = int_or(given(leeway), 5, "truncate")?;
    let end_length = text(&end, "truncate")?.chars().count() as i128;
    if length < end_length || leeway < 0 {
        return raise(format!("truncate: expected length >= {end_length} and leeway >= 0"));
    }
    let Some(have) = i.length(&value)? else { return raise("truncate: not text") };
    if have as i128 <= length.saturating_add(leeway) {
        return Ok(value);
    }
    let cut = i.slice(&value, [None, Some(Value::Int(length - end_length)), None])?;
    if truth_or(&killwords, false) {
        return i.binary(Binary::Add, &cut, &end);
    }
    let cut = text_of(cut, "truncate")?;
    let kept = cut.text.rsplit_once(' ').map_or(&*cut.text, |(before, _)| before);
    let kept = Value::Text(Text { text: kept.into(), safe: cut.safe });
    i.binary(Binary::Add, &kept, &end)
}

pub fn urlencode(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [] = args.bind("urlencode", [])?;
    let pairs = match &value {
        Value::Text(_) | Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
            let text = i.str(&value)?;
            return Ok(Value::text(quoted(i, &text, false)?));
        }
        Value::Dict(dict) => dict.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
        other => {
            let mut pairs = Vec::new();
            for pair in i.iterate(other)? {
                match <[Value; 2]>::try_from(i.iterate(&pair)?) {
                    Ok([key, value]) => pairs.push((key, value)),
                    Err(_) => return raise("urlencode: every element must be a pair"),
                }
            }
            pairs
        }
    };
    let mut out = String::new();
    for (key, value) in pairs {
        let (key, value) = (i.str(&key)?, i.str(&value)?);
        let pair = format!("{}={}", quoted(i, &key, true)?, quoted(i, &value, true)?);
        i.write(if out.is_empty() { "" } else { "&" }, &mut out)?;
        i.write(&pair, &mut out)?;
    }
    Ok(Value::text(out))
}

fn quoted(i: &mut Interpreter, text: &str, for_query: bool) -> Result<String> {
    use std::fmt::Write;
    i.charge_text(text.len().saturating_mul(3))?;
    let mut out = String::new();
    for byte in text.bytes() {
        let _ = match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => {
                out.write_char(byte.into())
            }
            b'/' if !for_query => out.write_char('/'),
            b' ' if for_query => out.write_char('+'),
            byte => write!(out, "%{byte:02X}"),
        };
    }
    Ok(out)
}

pub fn xmlattr(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [autospace] = args.bind("xmlattr", ["autospace"])?;
    let Value::Dict(dict) = &value else { return raise("xmlattr: not a mapping") };
    let mut out = String::new();
    for (key, value) in dict.iter() {
        if matches!(value, Value::None | Value::Undefined(_)) {
            continue;
        }
        let name = text(key, "xmlattr")?;
        if name.contains(|c: char| c.is_ascii_whitespace() || c == '\u{b}' || "/>=".contains(c)) {
            return raise("xmlattr: invalid character in attribute name");
        }
        let (key, value) = (html::escape(i, key)?, html::escape(i, value)?);
        let pair = format!("{}=\"{}\"", i.str(&key)?, i.str(&value)?);
        i.write(if out.is_empty() { "" } else { " " }, &mut out)?;
        i.write(&pair, &mut out)?;
    }
    if truth_or(&autospace, true) && !out.is_empty() {
        out.insert(0, ' ');
    }
    Ok(Value::text(out))
}
