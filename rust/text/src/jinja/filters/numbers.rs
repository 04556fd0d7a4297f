//! Filters that make numbers.

use crate::jinja::arguments::{given, int as int_argument, int_or, text, truth_or, Args};
use crate::jinja::ast::Binary;
use crate::jinja::error::{raise, Result};
use crate::jinja::interpreter::Interpreter;
use crate::jinja::number_format::fixed;
use crate::jinja::operators::{arithmetic, Number};
use crate::jinja::unicode::{ascii_digits, is_space};
use crate::jinja::value::Value;

fn number(value: &Value, what: &str) -> Result<Number> {
    match (value, Number::of(value)) {
        (Value::Undefined(why), _) => raise(&**why),
        (_, Some(number)) => Ok(number),
        _ => raise(format!("{what}: '{}' is not a number", value.type_name())),
    }
}

pub fn abs(_: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [] = args.positional("abs")?;
    match number(&value, "abs")? {
        Number::Int(i) if i < 0 => arithmetic(Binary::Subtract, Number::Int(0), Number::Int(i)),
        Number::Int(i) => Ok(Value::Int(i)),
        Number::Float(x) => Ok(Value::Float(x.abs())),
    }
}

/// int(text, base): white space around and underscores between digits are allowed.
fn parse_int(text: &str, base: i128) -> Option<i128> {
    let text = &*ascii_digits(text.trim_matches(is_space));
    let (sign, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (&text[..1], digits),
        None => ("", text),
    };
    let lower = digits.to_ascii_lowercase();
    let prefixes = [("0x", 16), ("0o", 8), ("0b", 2)];
    let prefix = prefixes.iter().find(|(p, b)| lower.starts_with(p) && (base == 0 || base == *b));
    let (digits, base) = match prefix {
        Some((_, base)) => (digits[2..].strip_prefix('_').unwrap_or(&digits[2..]), *base),
        None if base == 0
            && digits.starts_with('0')
            && !digits.trim_matches(['0', '_']).is_empty() =>
        {
            return None
        }
        None if base == 0 => (digits, 10),
        None => (digits, base),
    };
    let odd = digits.starts_with(['+', '-', '_']) || digits.ends_with('_') || digits.contains("__");
    if odd || !(2..=36).contains(&base) {
        return None;
    }
    i128::from_str_radix(&format!("{sign}{}", digits.replace('_', "")), base as u32).ok()
}

fn parse_float(text: &str) -> Option<f64> {
    let text = text.trim_matches(is_space);
    let underscored = text.starts_with('_') || text.ends_with('_') || text.contains("__");
    if underscored {
        return None;
    }
    ascii_digits(&text.replace('_', "")).parse().ok()
}

fn truncated(x: f64) -> Option<i128> {
    (x.abs() < 1e38).then_some(x as i128)
}

pub fn int(_: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [default, base] = args.bind("int", ["default", "base"])?;
    let default = default.unwrap_or(Value::Int(0));
    let found = match &value {
        Value::Undefined(why) => return raise(&**why),
        Value::Text(text) => {
            let base = int_or(base, 10, "int").unwrap_or(1); // no base: then it is no integer
            parse_int(&text.text, base).or_else(|| parse_float(&text.text).and_then(truncated))
        }
        Value::Float(x) if x.is_infinite() => {
            return raise("cannot convert float infinity to integer")
        }
        other => match Number::of(other) {
            Some(Number::Int(i)) => Some(i),
            Some(Number::Float(x)) => truncated(x),
            None => None,
        },
    };
    Ok(found.map_or(default, Value::Int))
}

pub fn float(_: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [default] = args.bind("float", ["default"])?;
    let default = default.unwrap_or(Value::Float(0.0));
    let found = match &value {
        Value::Undefined(why) => return raise(&**why),
        Value::Text(text) => parse_float(&text.text),
        other => Number::of(other).map(Number::float),
    };
    Ok(found.map_or(default, Value::Float))
}

pub fn round(_: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [precision, method] = args.bind("round", ["precision", "method"])?;
    let method = method.map_or(Ok("common".into()), |m| text(&m, "round"))?;
    let to_integer = matches!(precision, Some(Value::None));
    let precision = int_or(given(precision), 0, "round")?.clamp(-400, 400) as i32;
    let number = number(&value, "round")?;
    match &*method {
        "common" => match number {
            Number::Float(x) if to_integer => match truncated(x.round_ties_even()) {
                Some(i) => Ok(Value::Int(i)),
                None => raise("cannot convert float to integer"),
            },
            Number::Float(x) => Ok(Value::Float(rounded(x, precision))),
            Number::Int(i) if precision >= 0 => Ok(Value::Int(i)),
            Number::Int(i) => Ok(Value::Int(rounded_int(i, precision.unsigned_abs()))),
        },
        "ceil" | "floor" => {
            let scale = arithmetic(Binary::Power, Number::Int(10), Number::Int(precision.into()))?;
            let scale = Number::of(&scale).unwrap_or(Number::Int(1));
            let scaled = arithmetic(Binary::Multiply, number, scale)?;
            let whole = match Number::of(&scaled) {
                Some(Number::Float(x)) => {
                    truncated(if *method == *"ceil" { x.ceil() } else { x.floor() })
                }
                Some(Number::Int(i)) => Some(i),
                None => None,
            };
            match whole {
                Some(whole) => arithmetic(Binary::Divide, Number::Int(whole), scale),
                None => raise("cannot convert float to integer"),
            }
        }
        _ => raise("method must be common, ceil or floor"),
    }
}

/// Of what the double is exactly, halves to even, as Python's round.
fn rounded(x: f64, precision: i32) -> f64 {
    if !x.is_finite() {
        return x;
    }
    if precision >= 0 {
        let text = fixed(x.abs(), precision as usize, false);
        return text.parse::<f64>().unwrap_or(x).copysign(x);
    }
    let scale = 10f64.powi(-precision);
    if scale.is_infinite() {
        0f64.copysign(x)
    } else {
        (x / scale).round_ties_even() * scale
    }
}

fn rounded_int(i: i128, digits: u32) -> i128 {
    let Some(scale) = 10i128.checked_pow(digits) else { return 0 };
    let (floor, rest) = (i.div_euclid(scale), i.rem_euclid(scale));
    let up = rest * 2 > scale || rest * 2 == scale && floor % 2 != 0;
    (floor + i128::from(up)) * scale
}

pub fn filesizeformat(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [binary] = args.bind("filesizeformat", ["binary"])?;
    let binary = truth_or(&binary, false);
    let bytes = match float(i, value, Args { positional: vec![Value::None], named: Vec::new() })? {
        Value::Float(bytes) => bytes,
        _ => return raise("filesizeformat: not a number"),
    };
    let base: f64 = if binary { 1024.0 } else { 1000.0 };
    if bytes == 1.0 {
        return Ok(Value::text("1 Byte"));
    }
    if bytes < base {
        return Ok(Value::text(format!(
            "{} Bytes",
            int_argument(&whole(bytes)?, "filesizeformat")?
        )));
    }
    let prefixes = if binary {
        ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"]
    } else {
        ["k", "M", "G", "T", "P", "E", "Z", "Y"]
    };
    let mut unit = base;
    for (n, prefix) in prefixes.iter().enumerate() {
        unit *= base;
        if bytes < unit || n + 1 == prefixes.len() {
            return Ok(Value::text(format!("{} {prefix}B", fixed(base * bytes / unit, 1, false))));
        }
    }
    raise("filesizeformat: no unit fits")
}

fn whole(x: f64) -> Result<Value> {
    truncated(x).map_or_else(|| raise("cannot convert float to integer"), |i| Ok(Value::Int(i)))
}
