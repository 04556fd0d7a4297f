//! Number and string literals.

use super::lexer::Token;

/// The length of digits in groups that single underscores part: `1_000`.
fn digits(text: &str, digit: impl Fn(u8) -> bool) -> usize {
    let bytes = text.as_bytes();
    let mut end = 0;
    loop {
        let start = end + usize::from(end > 0 && bytes.get(end) == Some(&b'_'));
        let run = bytes[start.min(bytes.len())..].iter().take_while(|&&b| digit(b)).count();
        if run == 0 {
            return end;
        }
        end = start + run;
    }
}

/// A number at the start of `text`, with its length. `a.1.2` has no floats: `after_dot` says so.
pub fn number(text: &str, after_dot: bool) -> Result<(Token, usize), String> {
    let decimal = |b: u8| b.is_ascii_digit();
    let whole = digits(text, decimal);
    if !after_dot {
        let fraction = match text[whole..].strip_prefix('.') {
            Some(rest) => digits(rest, decimal),
            None => 0,
        };
        let mut end = if fraction > 0 { whole + 1 + fraction } else { whole };
        if let Some(rest) = text[end..].strip_prefix(['e', 'E']) {
            let sign = usize::from(rest.starts_with(['+', '-']));
            let exponent = digits(&rest[sign..], decimal);
            end += if exponent > 0 { 1 + sign + exponent } else { 0 };
        }
        if end > whole {
            let parsed = text[..end].replace('_', "").parse();
            return Ok((Token::Float(parsed.map_err(|_| "a bad number")?), end));
        }
    }
    let bytes = text.as_bytes();
    let radix = match (bytes[0], bytes.get(1)) {
        (b'0', Some(b'b' | b'B')) => 2,
        (b'0', Some(b'o' | b'O')) => 8,
        (b'0', Some(b'x' | b'X')) => 16,
        _ => 10,
    };
    let (start, end) = if radix != 10 {
        let rest = text[2..].strip_prefix('_').unwrap_or(&text[2..]);
        let start = text.len() - rest.len();
        (start, start + digits(rest, |b| char::from(b).is_digit(radix)))
    } else if bytes[0] == b'0' {
        (0, digits(text, |b| b == b'0'))
    } else {
        (0, whole)
    };
    if end == start {
        return Ok((Token::Int(0), 1)); // the 0 of "0x", as Jinja2 reads it
    }
    let value = i128::from_str_radix(&text[start..end].replace('_', ""), radix);
    Ok((Token::Int(value.map_err(|_| "an integer literal is too large")?), end))
}

/// The text of a Python string literal's inside.
pub fn unescaped(inside: &str) -> Result<String, String> {
    let mut out = String::with_capacity(inside.len());
    let mut rest = inside;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(c) = rest.chars().next() else {
            return Err("a string ends in a backslash".into());
        };
        let after = &rest[c.len_utf8()..];
        rest = match c {
            '\n' => after,
            'x' => hex(after, 2, &mut out)?,
            'u' => hex(after, 4, &mut out)?,
            'U' => hex(after, 8, &mut out)?,
            'N' => return Err("character names (\\N{...}) in strings are not supported".into()),
            '0'..='7' => {
                let octal = |b: &&u8| matches!(b, b'0'..=b'7');
                let length = rest.as_bytes().iter().take(3).take_while(octal).count();
                let code = u32::from_str_radix(&rest[..length], 8).unwrap_or_default();
                out.extend(char::from_u32(code));
                &rest[length..]
            }
            _ => {
                match "abfnrtv\\'\"".find(c) {
                    Some(i) => out.push("\u{7}\u{8}\u{c}\n\r\t\u{b}\\'\"".as_bytes()[i].into()),
                    None => {
                        out.push('\\');
                        out.push(c);
                    }
                }
                after
            }
        };
    }
    out.push_str(rest);
    Ok(out)
}

fn hex<'a>(text: &'a str, length: usize, out: &mut String) -> Result<&'a str, String> {
    let bytes = text.as_bytes().get(..length).filter(|d| d.iter().all(u8::is_ascii_hexdigit));
    let code = bytes.and_then(|_| u32::from_str_radix(&text[..length], 16).ok());
    match code.and_then(char::from_u32) {
        Some(c) => {
            out.push(c);
            Ok(&text[length..])
        }
        None => Err(format!("a string has a bad escape of {length} digits")),
    }
}
