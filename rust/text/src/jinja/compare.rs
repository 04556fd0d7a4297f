//! Equality, order and membership, as Python has them: what cannot be ordered raises.

use std::cmp::Ordering;
use std::rc::Rc;

use super::error::{raise, Error, Result};
use super::interpreter::Interpreter;
use super::operators::Number;
use super::value::{Value, View};

const MAX_DEPTH: usize = 900;

impl Interpreter {
    pub fn equal(&mut self, a: &Value, b: &Value) -> Result<bool> {
        self.equal_at(a, b, 0)
    }

    fn equal_at(&mut self, a: &Value, b: &Value, depth: usize) -> Result<bool> {
        if depth > MAX_DEPTH {
            return raise("maximum recursion depth exceeded in comparison");
        }
        if let (Some(x), Some(y)) = (Number::of(a), Number::of(b)) {
            return Ok(compare_numbers(x, y) == Some(Ordering::Equal));
        }
        Ok(match (a, b) {
            (Value::Undefined(_), Value::Undefined(_)) | (Value::None, Value::None) => true,
            (Value::Text(a), Value::Text(b)) => {
                self.charge(a.text.len().min(b.text.len()))?;
                a.text == b.text
            }
            (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
                if a.len() != b.len() {
                    return Ok(false);
                }
                for (x, y) in a.iter().zip(b.iter()) {
                    self.step()?;
                    if !self.equal_at(x, y, depth + 1)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Value::Dict(a), Value::Dict(b)) => {
                if a.len() != b.len() {
                    return Ok(false);
                }
                for (key, value) in a.iter() {
                    self.step()?;
                    match b.get(key)? {
                        Some(other) if self.equal_at(value, other, depth + 1)? => {}
                        _ => return Ok(false),
                    }
                }
                true
            }
            (Value::View(View::Keys, a), Value::View(View::Keys, b)) => {
                self.charge_items(a.len())?;
                let known = |(key, _): &(Value, Value)| matches!(b.get(key), Ok(Some(_)));
                a.len() == b.len() && a.iter().all(known)
            }
            (Value::Range(a), Value::Range(b)) => {
                let (n, m) = (a.len(), b.len());
                n == m && (n == 0 || a.start == b.start && (n == 1 || a.step == b.step))
            }
            _ => same(a, b),
        })
    }

    /// How `a` is ordered against `b`; None where a NaN makes every comparison false.
    pub fn order(&mut self, a: &Value, b: &Value, symbol: &str) -> Result<Option<Ordering>> {
        self.order_at(a, b, symbol, 0)
    }

    fn order_at(
        &mut self,
        a: &Value,
        b: &Value,
        symbol: &str,
        depth: usize,
    ) -> Result<Option<Ordering>> {
        if let Value::Undefined(why) = if a.is_undefined() { a } else { b } {
            return raise(&**why);
        }
        if let (Some(x), Some(y)) = (Number::of(a), Number::of(b)) {
            return Ok(compare_numbers(x, y));
        }
        match (a, b) {
            _ if depth > MAX_DEPTH => raise("maximum recursion depth exceeded in comparison"),
            (Value::Text(a), Value::Text(b)) => {
                self.charge(a.text.len().min(b.text.len()))?;
                Ok(Some(a.text.cmp(&b.text))) // UTF-8 sorts as code points do
            }
            (Value::List(x), Value::List(y)) | (Value::Tuple(x), Value::Tuple(y)) => {
                for (x, y) in x.iter().zip(y.iter()) {
                    self.step()?;
                    if !self.equal_at(x, y, depth + 1)? {
                        return self.order_at(x, y, symbol, depth + 1);
                    }
                }
                Ok(Some(x.len().cmp(&y.len())))
            }
            _ => raise(format!(
                "'{symbol}' not supported between '{}' and '{}'",
                a.type_name(),
                b.type_name()
            )),
        }
    }

    /// `item in container`.
    pub fn contains(&mut self, container: &Value, item: &Value) -> Result<bool> {
        match container {
            Value::Text(text) => match item.as_str() {
                Some(part) => {
                    self.charge(text.text.len())?;
                    Ok(text.text.contains(part))
                }
                None => raise(format!("'in <string>' requires text, not {}", item.type_name())),
            },
            Value::Dict(dict) | Value::View(View::Keys, dict) => Ok(dict.get(item)?.is_some()),
            Value::Range(range) => match Number::of(item) {
                Some(Number::Int(i)) => {
                    let offset = i.saturating_sub(range.start);
                    let position = offset / range.step;
                    Ok(offset % range.step == 0 && (0..range.len() as i128).contains(&position))
                }
                Some(Number::Float(x)) if x.fract() == 0.0 && x.abs() < 1e30 => {
                    self.contains(container, &Value::Int(x as i128))
                }
                _ => Ok(false),
            },
            Value::List(items) | Value::Tuple(items) => {
                for other in items.iter() {
                    self.step()?;
                    if self.equal(item, other)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            _ => {
                for other in self.iterate(container)? {
                    self.step()?;
                    if self.equal(item, &other)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }

    /// Sorted, keeping the order of equal ones; `keys` belong to the items. Largest first if `reverse`.
    pub fn sorted(&mut self, keyed: Vec<(Value, Value)>, reverse: bool) -> Result<Vec<Value>> {
        let mut keyed = keyed;
        let mut failure: Option<Error> = None;
        keyed.sort_by(|(a, _), (b, _)| {
            if failure.is_some() {
                return Ordering::Equal;
            }
            let order = self.step().and_then(|()| self.order(a, b, "<"));
            let order = order.unwrap_or_else(|e| {
                failure = Some(e);
                None
            });
            let order = order.unwrap_or(Ordering::Equal);
            if reverse {
                order.reverse()
            } else {
                order
            }
        });
        match failure {
            Some(error) => Err(error),
            None => Ok(keyed.into_iter().map(|(_, item)| item).collect()),
        }
    }
}

/// `a is b`, as far as values here have an identity.
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Undefined(a), Value::Undefined(b)) => Rc::ptr_eq(a, b),
        (Value::None, Value::None) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(a), Value::Int(b)) => a == b,
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
        (Value::Text(a), Value::Text(b)) => a.text == b.text && a.safe == b.safe,
        (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => Rc::ptr_eq(a, b),
        (Value::Dict(a), Value::Dict(b)) => Rc::ptr_eq(a, b),
        (Value::Iterator(a), Value::Iterator(b)) => Rc::ptr_eq(a, b),
        (Value::Namespace(a), Value::Namespace(b)) => Rc::ptr_eq(a, b),
        (Value::Cycler(a), Value::Cycler(b)) => Rc::ptr_eq(a, b),
        (Value::Joiner(a), Value::Joiner(b)) => Rc::ptr_eq(a, b),
        (Value::Loop(a), Value::Loop(b)) => Rc::ptr_eq(a, b),
        (Value::Macro(a), Value::Macro(b)) => Rc::ptr_eq(a, b),
        (Value::Function(a), Value::Function(b)) => a == b,
        _ => false,
    }
}

fn compare_numbers(a: Number, b: Number) -> Option<Ordering> {
    match (a, b) {
        (Number::Int(a), Number::Int(b)) => Some(a.cmp(&b)),
        (Number::Int(a), Number::Float(b)) if b.fract() == 0.0 && b.abs() < 1e38 => {
            Some(a.cmp(&(b as i128)))
        }
        (Number::Float(a), Number::Int(b)) if a.fract() == 0.0 && a.abs() < 1e38 => {
            Some((a as i128).cmp(&b))
        }
        (a, b) => a.float().partial_cmp(&b.float()),
    }
}
