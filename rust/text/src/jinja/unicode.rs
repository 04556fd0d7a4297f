//! Python's classes of characters, and its changes of case.

use std::sync::OnceLock;

use fancy_regex::Regex;

/// str.isspace, which str.strip and str.split go by.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// str.splitlines ends a line here (and takes "\r\n" as one).
pub fn is_line_break(c: char) -> bool {
    matches!(c, '\n'..='\r' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn matches(regex: &'static OnceLock<Regex>, pattern: &str, c: char) -> bool {
    let regex = regex.get_or_init(|| Regex::new(pattern).expect("the pattern is valid"));
    regex.is_match(c.encode_utf8(&mut [0; 4])).unwrap_or(false)
}

pub fn is_alpha(c: char) -> bool {
    static LETTER: OnceLock<Regex> = OnceLock::new();
    if c.is_ascii() {
        c.is_ascii_alphabetic()
    } else {
        matches(&LETTER, r"^\p{L}$", c)
    }
}

pub fn is_decimal(c: char) -> bool {
    static DECIMAL: OnceLock<Regex> = OnceLock::new();
    if c.is_ascii() {
        c.is_ascii_digit()
    } else {
        matches(&DECIMAL, r"^\p{Nd}$", c)
    }
}

/// Decimal digits of every script as 0 to 9. They are in runs of ten.
pub fn ascii_digits(text: &str) -> String {
    let value = |c: char| {
        let from_zero = (1..=60).take_while(|&n| {
            u32::from(c).checked_sub(n).and_then(char::from_u32).is_some_and(is_decimal)
        });
        char::from_digit(from_zero.count() as u32 % 10, 10).unwrap_or('0')
    };
    text.chars().map(|c| if !c.is_ascii() && is_decimal(c) { value(c) } else { c }).collect()
}

/// Unicode's Numeric_Type=Digit: beside the decimals, digits in circles and above or below the line.
pub fn is_digit(c: char) -> bool {
    is_decimal(c)
        || matches!(c, '²' | '³' | '¹' | '⁰' | '⁴'..='⁹' | '₀'..='₉' | '①'..='⑨' | '⑴'..='⑼'
            | '⒈'..='⒐' | '⓪' | '⓵'..='⓽' | '⓿' | '❶'..='❾' | '➀'..='➈' | '➊'..='➒'
            | '፩'..='፱' | '᧚' | '🄀'..='🄊')
}

pub fn is_numeric(c: char) -> bool {
    static NUMBER: OnceLock<Regex> = OnceLock::new();
    const IDEOGRAPHS: &str =
        "〇一二三四五六七八九十百千万億兆零壱壹弌弍弎弐貳贰参參叁叄亖肆伍陆陸柒漆捌玖\
        拾佰陌仟阡萬廿卅卌京両亿兩仨什仟幺㐅㒃㓼㠪㭍";
    match c.is_ascii() {
        true => c.is_ascii_digit(),
        false => matches(&NUMBER, r"^\p{N}$", c) || IDEOGRAPHS.contains(c),
    }
}

/// What repr leaves as it is.
pub fn is_printable(c: char) -> bool {
    static OTHER: OnceLock<Regex> = OnceLock::new();
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    c.is_alphanumeric() || !matches(&OTHER, r"^[\p{C}\p{Z}]$", c)
}

pub fn is_titlecase(c: char) -> bool {
    matches!(c, 'ǅ' | 'ǈ' | 'ǋ' | 'ǲ' | 'ᾈ'..='ᾏ' | 'ᾘ'..='ᾟ' | 'ᾨ'..='ᾯ' | 'ᾼ' | 'ῌ' | 'ῼ')
}

pub fn is_cased(c: char) -> bool {
    c.is_lowercase() || c.is_uppercase() || is_titlecase(c)
}

fn push_titlecase(c: char, out: &mut String) {
    match c {
        'Ǆ'..='ǆ' => out.push('ǅ'),
        'Ǉ'..='ǉ' => out.push('ǈ'),
        'Ǌ'..='ǌ' => out.push('ǋ'),
        'Ǳ'..='ǳ' => out.push('ǲ'),
        'ა'..='ჿ' => out.push(c), // Georgian has no title case of its own
        _ => {
            let mut upper = c.to_uppercase();
            out.extend(upper.next());
            out.extend(upper.flat_map(char::to_lowercase));
        }
    }
}

/// str.capitalize.
pub fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    let mut out = String::with_capacity(text.len());
    if let Some(first) = chars.next() {
        push_titlecase(first, &mut out);
        out.push_str(&chars.as_str().to_lowercase());
    }
    out
}

/// str.title: every letter after something that has no case starts a word.
pub fn titled(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_word = false;
    for (at, c) in text.char_indices() {
        if !in_word {
            push_titlecase(c, &mut out);
        } else if c == 'Σ' {
            let word_goes_on =
                text[at + c.len_utf8()..].chars().next().is_some_and(char::is_alphabetic);
            out.push(if word_goes_on { 'σ' } else { 'ς' });
        } else {
            out.extend(c.to_lowercase());
        }
        in_word = is_cased(c);
    }
    out
}

pub fn swapped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_uppercase() {
            true => out.extend(c.to_lowercase()),
            false if c.is_lowercase() => out.extend(c.to_uppercase()),
            false => out.push(c),
        }
    }
    out
}

/// str.casefold.
pub fn folded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            'ı' => out.push(c),
            'Ꭰ'..='Ᏽ' => out.push(c),
            'ẞ' => out.push_str("ss"),
            _ => out.extend(c.to_uppercase().flat_map(char::to_lowercase)),
        }
    }
    out
}

/// str.istitle.
pub fn is_titled(text: &str) -> bool {
    let (mut in_word, mut any) = (false, false);
    for c in text.chars() {
        let upper = c.is_uppercase() || is_titlecase(c);
        if upper && in_word || c.is_lowercase() && !in_word {
            return false;
        }
        in_word = upper || c.is_lowercase();
        any |= in_word;
    }
    any
}

/// str.isidentifier.
pub fn is_identifier(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c == '_' || c.is_alphabetic())
        && chars.all(|c| c == '_' || c.is_alphanumeric())
}
