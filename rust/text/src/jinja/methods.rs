//! Methods of values. Those that would change a list or a mapping are undefined, as in the sandbox.

use std::rc::Rc;

use super::arguments::{int_or, required, size, text, Args};
use super::error::{raise, Result};
use super::interpreter::Interpreter;
use super::value::{Value, View};
use super::{format, globals, string_methods};

const LIST: [&str; 3] = ["index", "count", "copy"];
const LIST_UNSAFE: [&str; 8] =
    ["append", "extend", "insert", "pop", "remove", "reverse", "sort", "clear"];
const DICT: [&str; 6] = ["get", "items", "keys", "values", "copy", "fromkeys"];
const DICT_UNSAFE: [&str; 5] = ["popitem", "update", "pop", "clear", "setdefault"];

/// The method `name` of `value`, if its type has one.
pub fn bound(value: &Value, name: &Rc<str>) -> Option<Value> {
    let (names, refused): (&[&str], &[&str]) = match value {
        Value::Text(_) => (&string_methods::NAMES, &[]),
        Value::List(_) => (&LIST, &LIST_UNSAFE),
        Value::Tuple(_) | Value::Range(_) => (&LIST[..2], &[]),
        Value::Dict(_) => (&DICT, &DICT_UNSAFE),
        Value::View(View::Values, _) => (&["mapping"], &[]),
        Value::View(..) => (&["isdisjoint", "mapping"], &[]),
        Value::Int(_) | Value::Bool(_) => {
            (&["bit_length", "bit_count", "conjugate", "is_integer"], &[])
        }
        Value::Float(_) => (&["is_integer", "conjugate", "hex", "as_integer_ratio"], &[]),
        Value::Cycler(_) => (&["next", "reset"], &[]),
        Value::Function("dict") => (&["fromkeys"], &[]),
        _ => return None,
    };
    if refused.contains(&&**name) {
        let why =
            format!("access to attribute '{name}' of '{}' object is unsafe", value.type_name());
        return Some(Value::undefined(why));
    }
    if matches!(value, Value::Int(_) | Value::Bool(_)) && **name == *"is_integer" {
        return None; // Python 3.12 and newer have it
    }
    names.contains(&&**name).then(|| Value::Method(Rc::new((value.clone(), name.clone()))))
}

impl Interpreter {
    pub fn call_method(&mut self, value: &Value, name: &str, args: Args) -> Result<Value> {
        match value {
            Value::Text(text) if matches!(name, "format" | "format_map") => {
                format::call(self, text, name, args)
            }
            Value::Text(text) => string_methods::call(self, text, name, args),
            Value::List(items) if name == "copy" => {
                let [] = args.positional(name)?;
                Ok(Value::List(items.clone()))
            }
            Value::List(_) | Value::Tuple(_) | Value::Range(_) => self.search(value, name, args),
            Value::Dict(_) => self.call_dict_method(value, name, args),
            Value::Function(_) => globals::from_keys(self, args),
            Value::View(..) => raise(format!("'{name}' of a mapping's view is not supported")),
            Value::Int(_) | Value::Bool(_) | Value::Float(_) => number_method(value, name, args),
            Value::Loop(state) if name == "cycle" => state.cycle(args.positional),
            Value::Loop(state) => state.clone().changed(self, args.positional),
            Value::Cycler(cycler) => {
                let [] = args.bind(name, [])?;
                let mut at = cycler.1.borrow_mut();
                if name == "reset" {
                    *at = 0;
                    return Ok(Value::None);
                }
                let item = cycler.0[*at].clone();
                *at = (*at + 1) % cycler.0.len();
                Ok(item)
            }
            other => raise(format!("'{}' object has no method '{name}'", other.type_name())),
        }
    }

    /// list.index and list.count.
    fn search(&mut self, value: &Value, name: &str, args: Args) -> Result<Value> {
        let [item, start, stop] = args.positional(name)?;
        let item = required(item, name, "value")?;
        let items = self.iterate(value)?;
        if name == "count" && start.is_some() {
            return raise("count takes one argument");
        }
        let length = items.len() as i128;
        let bound = |i: i128| size(if i < 0 { i + length } else { i }).min(items.len());
        let start = bound(int_or(start, 0, name)?);
        let stop = bound(int_or(stop, length, name)?);
        let mut count = 0;
        for (i, other) in items.iter().enumerate().take(stop).skip(start) {
            self.step()?;
            if self.equal(other, &item)? {
                if name == "index" {
                    return Ok(Value::size(i));
                }
                count += 1;
            }
        }
        match name {
            "index" => raise("the value is not in the list"),
            _ => Ok(Value::Int(count)),
        }
    }

    fn call_dict_method(&mut self, value: &Value, name: &str, args: Args) -> Result<Value> {
        let Value::Dict(dict) = value else { return raise("not a mapping") };
        if name == "get" {
            let [key, default] = args.positional(name)?;
            let found = dict.get(&required(key, name, "key")?)?.cloned();
            return Ok(found.or(default).unwrap_or(Value::None));
        }
        if name == "fromkeys" {
            return globals::from_keys(self, args);
        }
        let [] = args.positional(name)?;
        Ok(match name {
            "items" => Value::View(View::Items, dict.clone()),
            "keys" => Value::View(View::Keys, dict.clone()),
            "values" => Value::View(View::Values, dict.clone()),
            _ => Value::Dict(dict.clone()),
        })
    }
}

fn number_method(value: &Value, name: &str, args: Args) -> Result<Value> {
    let [] = args.positional(name)?;
    match (value, name) {
        (_, "conjugate") => Ok(value.clone()),
        (Value::Float(x), "is_integer") => Ok(Value::Bool(x.is_finite() && x.fract() == 0.0)),
        (Value::Float(_), _) => raise(format!("float.{name} is not supported")),
        (Value::Int(i), "bit_count") => Ok(Value::Int(i.unsigned_abs().count_ones().into())),
        (Value::Int(i), _) => Ok(Value::Int((128 - i.unsigned_abs().leading_zeros()).into())),
        (value, _) => Ok(Value::Int(value.truth().into())),
    }
}

/// A text argument, for methods that take no other type.
pub fn text_argument(argument: Option<Value>, what: &str) -> Result<Rc<str>> {
    text(&required(argument, what, "text")?, what)
}
