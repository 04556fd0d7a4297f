//! Python's arithmetic on values.

use std::rc::Rc;

use super::ast::Binary;
use super::error::{raise, Error, Result};
use super::html;
use super::interpreter::Interpreter;
use super::value::{Text, Value};

#[derive(Clone, Copy)]
pub enum Number {
    Int(i128),
    Float(f64),
}

impl Number {
    pub fn of(value: &Value) -> Option<Number> {
        match value {
            Value::Bool(value) => Some(Number::Int((*value).into())),
            Value::Int(value) => Some(Number::Int(*value)),
            Value::Float(value) => Some(Number::Float(*value)),
            _ => None,
        }
    }

    pub fn float(self) -> f64 {
        match self {
            Number::Int(value) => value as f64,
            Number::Float(value) => value,
        }
    }
}

/// Python would go on: its integers have no bounds.
fn int(value: Option<i128>) -> Result<Value> {
    value.map(Value::Int).ok_or_else(|| Error::raised("an integer is larger than 127 bits"))
}

impl Interpreter {
    pub fn binary(&mut self, operator: Binary, a: &Value, b: &Value) -> Result<Value> {
        if let (Binary::Modulo, Value::Text(format)) = (operator, a) {
            return self.percent(format, b);
        }
        for value in [a, b] {
            if let Value::Undefined(why) = value {
                return raise(&**why);
            }
        }
        match (operator, a, b) {
            (Binary::Add, Value::Text(a), Value::Text(b)) => self.join_texts(a, b),
            (Binary::Add, Value::List(x), Value::List(y)) => {
                self.charge_items(x.len() + y.len())?;
                Ok(Value::list(x.iter().chain(y.iter()).cloned().collect()))
            }
            (Binary::Add, Value::Tuple(x), Value::Tuple(y)) => {
                self.charge_items(x.len() + y.len())?;
                Ok(Value::tuple(x.iter().chain(y.iter()).cloned().collect()))
            }
            (Binary::Multiply, items, Value::Int(_) | Value::Bool(_)) if is_sequence(items) => {
                self.repeat(items, b)
            }
            (Binary::Multiply, Value::Int(_) | Value::Bool(_), items) if is_sequence(items) => {
                self.repeat(items, a)
            }
            _ => match (Number::of(a), Number::of(b)) {
                (Some(x), Some(y)) => arithmetic(operator, x, y),
                _ => raise(format!(
                    "unsupported operand types for {}: '{}' and '{}'",
                    symbol(operator),
                    a.type_name(),
                    b.type_name()
                )),
            },
        }
    }

    fn join_texts(&mut self, a: &Text, b: &Text) -> Result<Value> {
        let safe = a.safe || b.safe;
        let part = |text: &Text| match safe && !text.safe {
            true => html::escaped(&text.text).into(),
            false => text.text.clone(),
        };
        let (a, b): (Rc<str>, Rc<str>) = (part(a), part(b));
        self.charge_text(a.len() + b.len())?;
        Ok(Value::Text(Text { text: [&*a, &*b].concat().into(), safe }))
    }

    fn repeat(&mut self, items: &Value, count: &Value) -> Result<Value> {
        let count = match Number::of(count) {
            Some(Number::Int(count)) => usize::try_from(count.max(0)).unwrap_or(usize::MAX),
            _ => 0,
        };
        match items {
            Value::Text(text) => {
                self.charge_text(text.text.len().saturating_mul(count))?;
                let count = if text.text.is_empty() { 0 } else { count };
                Ok(Value::Text(Text { text: text.text.repeat(count).into(), safe: text.safe }))
            }
            Value::List(values) | Value::Tuple(values) => {
                let total = values.len().saturating_mul(count);
                self.charge_items(total)?;
                let mut repeated = Vec::with_capacity(total);
                repeated.extend(values.iter().cycle().take(total).cloned());
                Ok(match items {
                    Value::List(_) => Value::list(repeated),
                    _ => Value::tuple(repeated),
                })
            }
            _ => raise("only text, lists and tuples can be repeated"),
        }
    }
}

fn is_sequence(value: &Value) -> bool {
    matches!(value, Value::Text(_) | Value::List(_) | Value::Tuple(_))
}

fn symbol(operator: Binary) -> &'static str {
    match operator {
        Binary::Add => "+",
        Binary::Subtract => "-",
        Binary::Multiply => "*",
        Binary::Divide => "/",
        Binary::FloorDivide => "//",
        Binary::Modulo => "%",
        Binary::Power => "**",
    }
}

pub fn arithmetic(operator: Binary, a: Number, b: Number) -> Result<Value> {
    let divides = matches!(operator, Binary::Divide | Binary::FloorDivide | Binary::Modulo);
    if divides && b.float() == 0.0 {
        return raise("division by zero");
    }
    let (x, y) = match (operator, a, b) {
        (Binary::Divide, a, b) => (a.float(), b.float()),
        (Binary::Power, Number::Int(a), Number::Int(b)) if b >= 0 => return int_power(a, b),
        (_, Number::Int(a), Number::Int(b)) if operator != Binary::Power => {
            return int_arithmetic(operator, a, b);
        }
        (_, a, b) => (a.float(), b.float()),
    };
    Ok(Value::Float(match operator {
        Binary::Add => x + y,
        Binary::Subtract => x - y,
        Binary::Multiply => x * y,
        Binary::Divide => x / y,
        Binary::FloorDivide => floor_division(x, y).0,
        Binary::Modulo => floor_division(x, y).1,
        Binary::Power => return float_power(x, y),
    }))
}

fn int_arithmetic(operator: Binary, a: i128, b: i128) -> Result<Value> {
    let inexact = |a: i128, b: i128| a % b != 0 && (a < 0) != (b < 0);
    int(match operator {
        Binary::Add => a.checked_add(b),
        Binary::Subtract => a.checked_sub(b),
        Binary::Multiply => a.checked_mul(b),
        Binary::FloorDivide => a.checked_div(b).map(|q| q - i128::from(inexact(a, b))),
        _ => a.checked_rem(b).map(|r| if inexact(a, b) { r + b } else { r }),
    })
}

fn int_power(base: i128, exponent: i128) -> Result<Value> {
    match base {
        0 | 1 => Ok(Value::Int(if exponent == 0 { 1 } else { base })),
        -1 => Ok(Value::Int(if exponent % 2 == 0 { 1 } else { -1 })),
        _ => int(u32::try_from(exponent).ok().and_then(|e| base.checked_pow(e))),
    }
}

fn float_power(x: f64, y: f64) -> Result<Value> {
    if x == 0.0 && y < 0.0 {
        return raise("zero to a negative power");
    }
    if x < 0.0 && y.fract() != 0.0 && y.is_finite() {
        return raise("a negative number to a fractional power: complex numbers are not supported");
    }
    let power = x.powf(y);
    if power.is_infinite() && x.is_finite() && y.is_finite() {
        return raise("the result is too large");
    }
    Ok(Value::Float(power))
}

/// Quotient and remainder, the remainder with the divisor's sign.
fn floor_division(x: f64, y: f64) -> (f64, f64) {
    let mut remainder = x % y;
    let mut quotient = (x - remainder) / y;
    if remainder == 0.0 {
        remainder = 0f64.copysign(y);
    } else if (y < 0.0) != (remainder < 0.0) {
        remainder += y;
        quotient -= 1.0;
    }
    if quotient == 0.0 {
        return (0f64.copysign(x / y), remainder);
    }
    let floor = quotient.floor();
    (if quotient - floor > 0.5 { floor + 1.0 } else { floor }, remainder)
}
