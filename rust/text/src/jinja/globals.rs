//! The functions that every template has: Jinja2's, and those that transformers adds.

use std::cell::RefCell;
use std::rc::Rc;

use super::arguments::{given, int, required, text, Args};
use super::dict::Dict;
use super::error::{raise, Result};
use super::interpreter::Interpreter;
use super::strftime;
use super::value::{Range, Value};

const NAMES: [&str; 8] =
    ["range", "dict", "namespace", "cycler", "joiner", "lipsum", "raise_exception", "strftime_now"];

/// Jinja2's sandbox refuses more.
const MAX_RANGE: usize = 100_000;

pub fn function(name: &str) -> Option<Value> {
    NAMES.iter().find(|known| **known == name).map(|known| Value::Function(known))
}

pub fn call(interpreter: &mut Interpreter, name: &str, args: Args) -> Result<Value> {
    match name {
        "range" => range(args),
        "dict" => Ok(Value::Dict(Rc::new(dict(interpreter, args)?))),
        "namespace" => {
            let attributes = dict(interpreter, args)?;
            let hidden =
                |(key, _): &(Value, Value)| key.as_str().is_some_and(|k| k.starts_with('_'));
            if attributes.iter().any(hidden) {
                return raise("a namespace's attributes must not start with an underscore");
            }
            Ok(interpreter.new_namespace(attributes))
        }
        "cycler" if args.positional.is_empty() || !args.named.is_empty() => {
            raise("cycler needs at least one item")
        }
        "cycler" => Ok(Value::Cycler(Rc::new((args.positional, RefCell::new(0))))),
        "joiner" => {
            let [separator] = args.bind(name, ["sep"])?;
            let separator = separator.unwrap_or_else(|| Value::text(", "));
            Ok(Value::Joiner(Rc::new((separator, RefCell::new(false)))))
        }
        "raise_exception" => {
            let [message] = args.bind(name, ["message"])?;
            let message = required(message, name, "message")?;
            raise(&*interpreter.str(&message)?)
        }
        "strftime_now" => {
            let [format] = args.bind(name, ["format"])?;
            let format = text(&required(format, name, "format")?, name)?;
            let now = chrono::Local::now().naive_local();
            let formatted = strftime::formatted(&format, &now, interpreter.limits.output_bytes);
            formatted.map(Value::text).ok_or_else(|| super::error::Error::too_much("room"))
        }
        _ => raise(format!("'{name}' is not supported")),
    }
}

fn range(args: Args) -> Result<Value> {
    let [first, second, step] = args.positional("range")?;
    let first = int(&required(first, "range", "stop")?, "range")?;
    let (start, stop) = match second {
        Some(second) => (first, int(&second, "range")?),
        None => (0, first),
    };
    let step = step.map_or(Ok(1), |step| int(&step, "range"))?;
    if step == 0 {
        return raise("range() arg 3 must not be zero");
    }
    let small = |i: i128| (-(1 << 100)..1 << 100).contains(&i);
    if ![start, stop, step].into_iter().all(small) {
        return raise("range: a number is too large");
    }
    let range = Range { start, stop, step };
    match range.len() > MAX_RANGE {
        true => raise(format!("range is too big: more than {MAX_RANGE} elements")),
        false => Ok(Value::Range(range)),
    }
}

/// dict(mapping or pairs, **entries).
fn dict(interpreter: &mut Interpreter, args: Args) -> Result<Dict> {
    let mut positional = args.positional.into_iter();
    let mut dict = match positional.next() {
        Some(Value::Dict(entries)) => {
            interpreter.charge_items(entries.len().saturating_mul(8))?;
            (*entries).clone()
        }
        Some(pairs) => {
            let mut dict = Dict::default();
            for pair in interpreter.iterate(&pairs)? {
                let [key, value]: [Value; 2] = match interpreter.iterate(&pair)?.try_into() {
                    Ok(pair) => pair,
                    Err(_) => return raise("dict: every element must be a pair"),
                };
                dict.insert(key, value)?;
            }
            dict
        }
        None => Dict::default(),
    };
    if positional.next().is_some() {
        return raise("dict expected at most 1 argument");
    }
    for (name, value) in args.named {
        dict.insert_text(&name, value);
    }
    Ok(dict)
}

/// dict.fromkeys(keys, value=None).
pub fn from_keys(interpreter: &mut Interpreter, args: Args) -> Result<Value> {
    let [keys, value] = args.positional("fromkeys")?;
    let value = given(value).unwrap_or(Value::None);
    let mut dict = Dict::default();
    for key in interpreter.iterate(&required(keys, "fromkeys", "iterable")?)? {
        dict.insert(key, value.clone())?;
    }
    Ok(Value::Dict(Rc::new(dict)))
}
