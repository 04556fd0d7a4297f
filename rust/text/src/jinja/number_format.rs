//! Python's format specification for numbers and text ("[[fill]align][sign][#][0][width][,][.precision]
//! [type]"), which str.format and `%` share.

use super::error::{raise, Error, Result};
use super::interpreter::Interpreter;
use super::operators::Number;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spec {
    pub fill: Option<char>,
    /// '<', '>', '^' or '='.
    pub align: Option<char>,
    /// '+', '-' or ' '.
    pub sign: Option<char>,
    pub alternate: bool,
    pub zero: bool,
    pub width: usize,
    pub grouping: Option<char>,
    pub precision: Option<usize>,
    pub kind: Option<char>,
}

fn digits(text: &mut &str) -> Result<Option<usize>> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    *text = rest;
    match number {
        "" => Ok(None),
        _ => number.parse().map(Some).map_err(|_| Error::raised("a width is too large")),
    }
}

fn take(text: &mut &str, of: &str) -> Option<char> {
    let c = text.chars().next().filter(|&c| of.contains(c))?;
    *text = &text[c.len_utf8()..];
    Some(c)
}

impl Spec {
    pub fn parse(text: &str) -> Result<Spec> {
        let mut spec = Spec::default();
        let mut rest = text;
        let mut chars = rest.chars();
        if let (Some(fill), Some(align)) = (chars.next(), chars.next()) {
            if "<>^=".contains(align) {
                (spec.fill, spec.align) = (Some(fill), Some(align));
                rest = chars.as_str();
            }
        }
        if spec.align.is_none() {
            spec.align = take(&mut rest, "<>^=");
        }
        spec.sign = take(&mut rest, "+- ");
        spec.alternate = take(&mut rest, "#").is_some();
        spec.zero = take(&mut rest, "0").is_some();
        spec.width = digits(&mut rest)?.unwrap_or(0);
        spec.grouping = take(&mut rest, ",_");
        if take(&mut rest, ".").is_some() {
            let precision = digits(&mut rest)?;
            spec.precision =
                Some(precision.ok_or_else(|| Error::raised("format: precision missing"))?);
        }
        spec.kind = take(&mut rest, "bcdeEfFgGnosxX%");
        match rest {
            "" => Ok(spec),
            _ => raise(format!("invalid format specification '{text}'")),
        }
    }

    /// Room for the result is checked before it is made.
    pub fn check(&self, interpreter: &mut Interpreter, length: usize) -> Result<()> {
        let precision = self.precision.unwrap_or(0);
        interpreter.charge_text(self.width.saturating_mul(4).max(precision).saturating_add(length))
    }

    pub fn text(&self, text: &str) -> Result<String> {
        let wrong = self.sign.is_some() || self.alternate || self.grouping.is_some();
        if wrong || self.align == Some('=') || !matches!(self.kind, None | Some('s')) {
            return raise("this format is not for text");
        }
        let cut: String = match self.precision {
            Some(most) => text.chars().take(most).collect(),
            None => text.to_string(),
        };
        let fill = if self.zero { self.fill.or(Some('0')) } else { self.fill };
        Ok(self.aligned("", &cut, fill.unwrap_or(' '), self.align.unwrap_or('<')))
    }

    pub fn number(&self, number: Number) -> Result<String> {
        let (negative, digits) = match (number, self.kind) {
            (Number::Int(i), None | Some('d' | 'n' | 'b' | 'o' | 'x' | 'X' | 'c')) => {
                if self.precision.is_some() {
                    return raise("precision is not allowed for integers");
                }
                (i < 0, self.integer(i)?)
            }
            (Number::Float(_), Some('d' | 'b' | 'o' | 'x' | 'X' | 'c')) | (_, Some('s')) => {
                return raise("this format is not for this type of number");
            }
            (number, _) => {
                let x = number.float();
                (x.is_sign_negative() && !x.is_nan(), self.float(x.abs()))
            }
        };
        let sign = match (negative, self.sign) {
            (true, _) => "-",
            (false, Some('+')) => "+",
            (false, Some(' ')) => " ",
            _ => "",
        };
        let prefix = match self.kind {
            Some('x') if self.alternate => "0x",
            Some('X') if self.alternate => "0X",
            Some('o') if self.alternate => "0o",
            Some('b') if self.alternate => "0b",
            _ => "",
        };
        let sign = format!("{sign}{prefix}");
        let (fill, align) = match self.zero {
            true => (self.fill.unwrap_or('0'), self.align.unwrap_or('=')),
            false => (self.fill.unwrap_or(' '), self.align.unwrap_or('>')),
        };
        let digits = self
            .grouped(&digits, if align == '=' && fill == '0' { sign.len() } else { usize::MAX });
        Ok(self.aligned(&sign, &digits, fill, align))
    }

    fn integer(&self, i: i128) -> Result<String> {
        let size = i.unsigned_abs();
        Ok(match self.kind {
            Some('b') => format!("{size:b}"),
            Some('o') => format!("{size:o}"),
            Some('x') => format!("{size:x}"),
            Some('X') => format!("{size:X}"),
            Some('c') => match u32::try_from(i).ok().and_then(char::from_u32) {
                Some(c) => c.to_string(),
                None => return raise("%c: no such character"),
            },
            _ => size.to_string(),
        })
    }

    /// `x` is not negative.
    fn float(&self, x: f64) -> String {
        let kind = self.kind.unwrap_or(' ');
        let text = if !x.is_finite() {
            let text = if x.is_nan() { "nan" } else { "inf" };
            if kind == '%' {
                format!("{text}%")
            } else {
                text.to_string()
            }
        } else {
            let precision = self.precision.unwrap_or(6);
            match kind {
                'e' | 'E' => exponential(x, precision, self.alternate),
                'f' | 'F' => fixed(x, precision, self.alternate),
                '%' => format!("{}%", fixed(x * 100.0, precision, self.alternate)),
                'g' | 'G' | 'n' => general(x, precision.max(1), self.alternate, false),
                _ => match self.precision {
                    None => super::print::float(x),
                    Some(precision) => general(x, precision.max(1), self.alternate, true),
                },
            }
        };
        if kind.is_ascii_uppercase() {
            text.to_uppercase()
        } else {
            text
        }
    }

    /// Thousands apart; zeros in front up to the width, which the sign shares, are grouped as well.
    fn grouped(&self, digits: &str, sign: usize) -> String {
        let Some(separator) = self.grouping else { return digits.to_string() };
        let end = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
        let (mut whole, rest) = (digits[..end].to_string(), &digits[end..]);
        let group = if matches!(self.kind, Some('b' | 'o' | 'x' | 'X')) { 4 } else { 3 };
        if sign != usize::MAX {
            let room = self.width.saturating_sub(sign + rest.len());
            while whole.len() + (whole.len() - 1) / group < room {
                whole.insert(0, '0');
            }
        }
        let mut out = String::new();
        for (i, c) in whole.chars().enumerate() {
            if i > 0 && (whole.len() - i) % group == 0 {
                out.push(separator);
            }
            out.push(c);
        }
        out + rest
    }

    fn aligned(&self, sign: &str, text: &str, fill: char, align: char) -> String {
        let missing = self.width.saturating_sub(sign.len() + text.chars().count());
        let fill = |count: usize| fill.to_string().repeat(count);
        match align {
            '<' => format!("{sign}{text}{}", fill(missing)),
            '^' => format!("{}{sign}{text}{}", fill(missing / 2), fill(missing - missing / 2)),
            '=' => format!("{sign}{}{text}", fill(missing)),
            _ => format!("{}{sign}{text}", fill(missing)),
        }
    }
}

/// Doubles have 767 digits at most; zeros follow.
const MOST_DIGITS: usize = 1100;

pub fn fixed(x: f64, precision: usize, alternate: bool) -> String {
    let exact = precision.min(MOST_DIGITS);
    let mut text = format!("{x:.exact$}");
    text.push_str(&"0".repeat(precision - exact));
    if precision == 0 && alternate {
        text.push('.');
    }
    text
}

pub fn exponential(x: f64, precision: usize, alternate: bool) -> String {
    let exact = precision.min(MOST_DIGITS);
    let text = format!("{x:.exact$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    let zeros = "0".repeat(precision - exact);
    let point = if precision == 0 && alternate { "." } else { "" };
    format!("{digits}{zeros}{point}e{sign}{exponent:0>2}")
}

/// `precision` significant digits. `as_repr`: a format without a type, where a digit follows the point.
fn general(x: f64, precision: usize, alternate: bool, as_repr: bool) -> String {
    let text = exponential(x, precision - 1, false);
    let (_, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i64 = exponent.parse().unwrap_or(0);
    let fits = exponent < precision as i64 - i64::from(as_repr);
    if exponent >= -4 && fits {
        let decimals = (precision as i64 - 1 - exponent).max(0) as usize;
        let text = without_zeros(fixed(x, decimals, alternate), alternate);
        return if as_repr && !text.contains('.') { text + ".0" } else { text };
    }
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    format!("{}e{exponent}", without_zeros(digits.to_string(), alternate))
}

fn without_zeros(text: String, alternate: bool) -> String {
    match text.contains('.') && !alternate {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text,
    }
}
