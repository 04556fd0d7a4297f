//! markupsafe: escaping text for HTML, and taking tags out of it.

use super::error::Result;
use super::interpreter::Interpreter;
use super::text_search;
use super::value::Value;

pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Text that is safe already stays as it is.
pub fn escape(i: &mut Interpreter, value: &Value) -> Result<Value> {
    if value.is_safe() {
        return Ok(value.clone());
    }
    let text = i.str(value)?;
    i.charge_text(text.len().saturating_mul(5).min(i.limits.output_bytes))?;
    let escaped = escaped(&text);
    i.charge_text(escaped.len())?;
    Ok(Value::safe_text(escaped))
}

/// Without comments and tags, white space collapsed, entities replaced.
pub fn without_tags(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        let end = match rest[start..].starts_with("<!--") {
            true => rest[start + 4..].find("-->").map(|i| start + 4 + i + 3),
            false => rest[start..].find('>').map(|i| start + i + 1),
        };
        let Some(end) = end else { break };
        out.push_str(&rest[..start]);
        rest = &rest[end..];
    }
    out.push_str(rest);
    let words = text_search::split(&out, None, usize::MAX, false).unwrap_or_default();
    unescaped(&words.join(" "))
}

const ENTITIES: [(&str, &str); 18] = [
    ("amp", "&"),
    ("lt", "<"),
    ("gt", ">"),
    ("quot", "\""),
    ("apos", "'"),
    ("nbsp", "\u{a0}"),
    ("raquo", "»"),
    ("laquo", "«"),
    ("copy", "©"),
    ("reg", "®"),
    ("trade", "™"),
    ("hellip", "…"),
    ("ndash", "–"),
    ("mdash", "—"),
    ("euro", "€"),
    ("middot", "·"),
    ("bull", "•"),
    ("deg", "°"),
];

/// Numbers and the entities above, of HTML's two thousand.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let end = rest.as_bytes().iter().take(10).position(|&b| b == b';');
        let replaced = end.and_then(|end| {
            let name = &rest[..end];
            let number = match name.strip_prefix("#x").or_else(|| name.strip_prefix("#X")) {
                Some(hex) => u32::from_str_radix(hex, 16).ok(),
                None => name.strip_prefix('#').and_then(|digits| digits.parse().ok()),
            };
            let known = ENTITIES.iter().find(|(n, _)| *n == name).map(|(_, text)| text.to_string());
            number.and_then(char::from_u32).map(String::from).or(known)
        });
        match (replaced, end) {
            (Some(text), Some(end)) => {
                out.push_str(&text);
                rest = &rest[end + 1..];
            }
            _ => out.push('&'),
        }
    }
    out.push_str(rest);
    out
}
