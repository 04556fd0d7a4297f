//! Arguments of a call, bound to a function's parameters as Python binds them.

use std::rc::Rc;

use super::error::{raise, Result};
use super::operators::Number;
use super::value::Value;

#[derive(Clone, Default)]
pub struct Args {
    pub positional: Vec<Value>,
    pub named: Vec<(Rc<str>, Value)>,
}

impl Args {
    /// The arguments in the order of `parameters`, None for one that was not given.
    pub fn bind<const N: usize>(
        self,
        what: &str,
        parameters: [&str; N],
    ) -> Result<[Option<Value>; N]> {
        if self.positional.len() > N {
            return raise(format!("{what} takes {N} arguments, got {}", self.positional.len()));
        }
        let mut bound = [const { None }; N];
        for (slot, value) in bound.iter_mut().zip(self.positional) {
            *slot = Some(value);
        }
        for (name, value) in self.named {
            match parameters.iter().position(|p| **p == *name) {
                Some(i) if bound[i].is_none() => bound[i] = Some(value),
                Some(_) => return raise(format!("{what} got several values for '{name}'")),
                None => return raise(format!("{what} got an unexpected argument '{name}'")),
            }
        }
        Ok(bound)
    }

    /// The same for a function of Python's own, which takes no names.
    pub fn positional<const N: usize>(self, what: &str) -> Result<[Option<Value>; N]> {
        if !self.named.is_empty() {
            return raise(format!("{what} takes no keyword arguments"));
        }
        self.bind(what, [""; N])
    }
}

pub fn required(argument: Option<Value>, what: &str, name: &str) -> Result<Value> {
    match argument {
        Some(value) => Ok(value),
        None => raise(format!("{what} is missing its argument '{name}'")),
    }
}

/// None of Python's is as good as not given.
pub fn given(argument: Option<Value>) -> Option<Value> {
    argument.filter(|value| !matches!(value, Value::None))
}

/// An argument that must be an integer.
pub fn int(value: &Value, what: &str) -> Result<i128> {
    match (value, Number::of(value)) {
        (Value::Undefined(why), _) => raise(&**why),
        (_, Some(Number::Int(i))) => Ok(i),
        _ => raise(format!("{what}: '{}' object is not an integer", value.type_name())),
    }
}

pub fn int_or(argument: Option<Value>, default: i128, what: &str) -> Result<i128> {
    argument.map_or(Ok(default), |value| int(&value, what))
}

/// A size to make something of: a negative one is none at all.
pub fn size(value: i128) -> usize {
    usize::try_from(value.max(0)).unwrap_or(usize::MAX)
}

pub fn truth_or(argument: &Option<Value>, default: bool) -> bool {
    argument.as_ref().map_or(default, Value::truth)
}

/// A switch that Python takes an integer for.
pub fn switch(argument: Option<Value>, what: &str) -> Result<bool> {
    Ok(int_or(argument, 0, what)? != 0)
}

/// An argument that must be text.
pub fn text(value: &Value, what: &str) -> Result<Rc<str>> {
    match value {
        Value::Text(text) => Ok(text.text.clone()),
        _ => raise(format!("{what}: expected text, got '{}'", value.type_name())),
    }
}
