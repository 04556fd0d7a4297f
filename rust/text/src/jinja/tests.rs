//! Jinja2's tests: what follows `is`.

use super::arguments::{required, text, Args};
use super::ast::{Binary, Comparison};
use super::compare::same;
use super::error::{raise, Result};
use super::filters;
use super::interpreter::Interpreter;
use super::operators::Number;
use super::string_methods::{is_lower, is_upper};
use super::value::Value;

const NAMES: [&str; 39] = [
    "!=",
    "<",
    "<=",
    "==",
    ">",
    ">=",
    "boolean",
    "callable",
    "defined",
    "divisibleby",
    "eq",
    "equalto",
    "escaped",
    "even",
    "false",
    "filter",
    "float",
    "ge",
    "greaterthan",
    "gt",
    "in",
    "integer",
    "iterable",
    "le",
    "lessthan",
    "lower",
    "lt",
    "mapping",
    "ne",
    "none",
    "number",
    "odd",
    "sameas",
    "sequence",
    "string",
    "test",
    "true",
    "undefined",
    "upper",
];

pub fn exists(name: &str) -> bool {
    NAMES.contains(&name)
}

pub fn apply(i: &mut Interpreter, name: &str, value: &Value, args: Args) -> Result<bool> {
    i.step()?;
    if let Some(comparison) = comparison(name) {
        let [other] = args.positional(name)?;
        return i.compares(comparison, value, &required(other, name, "other")?);
    }
    match name {
        "divisibleby" => {
            let [divisor] = args.bind(name, ["num"])?;
            let rest = i.binary(Binary::Modulo, value, &required(divisor, name, "num")?)?;
            i.equal(&rest, &Value::Int(0))
        }
        "sameas" => {
            let [other] = args.bind(name, ["other"])?;
            Ok(same(value, &required(other, name, "other")?))
        }
        "odd" | "even" => {
            let [] = args.bind(name, [])?;
            let rest = i.binary(Binary::Modulo, value, &Value::Int(2))?;
            i.equal(&rest, &Value::Int(i128::from(name == "odd")))
        }
        "lower" | "upper" => {
            let [] = args.bind(name, [])?;
            let text = i.str(value)?;
            i.charge(text.len())?;
            Ok(if name == "lower" { is_lower(&text) } else { is_upper(&text) })
        }
        "filter" | "test" => {
            let [] = args.bind(name, [])?;
            let asked = text(value, name)?;
            Ok(if name == "test" { exists(&asked) } else { filters::exists(&asked) })
        }
        _ if !exists(name) => raise(format!("there is no test '{name}'")),
        _ => {
            let [] = args.bind(name, [])?;
            Ok(is(name, value))
        }
    }
}

fn comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        "==" | "eq" | "equalto" => Comparison::Equal,
        "!=" | "ne" => Comparison::NotEqual,
        "<" | "lt" | "lessthan" => Comparison::Less,
        "<=" | "le" => Comparison::LessOrEqual,
        ">" | "gt" | "greaterthan" => Comparison::Greater,
        ">=" | "ge" => Comparison::GreaterOrEqual,
        "in" => Comparison::In,
        _ => return None,
    })
}

fn is(name: &str, value: &Value) -> bool {
    let sequence = matches!(
        value,
        Value::Undefined(_)
            | Value::Text(_)
            | Value::List(_)
            | Value::Tuple(_)
            | Value::Dict(_)
            | Value::Range(_)
    );
    match name {
        "defined" => !value.is_undefined(),
        "undefined" => value.is_undefined(),
        "none" => matches!(value, Value::None),
        "boolean" => matches!(value, Value::Bool(_)),
        "true" => matches!(value, Value::Bool(true)),
        "false" => matches!(value, Value::Bool(false)),
        "integer" => matches!(value, Value::Int(_)),
        "float" => matches!(value, Value::Float(_)),
        "number" => Number::of(value).is_some(),
        "string" => matches!(value, Value::Text(_)),
        "escaped" => value.is_safe(),
        "mapping" => matches!(value, Value::Dict(_)),
        "sequence" => sequence,
        "iterable" => {
            sequence || matches!(value, Value::View(..) | Value::Iterator(_) | Value::Loop(_))
        }
        _ => matches!(
            value,
            Value::Undefined(_)
                | Value::Macro(_)
                | Value::Method(_)
                | Value::Function(_)
                | Value::Joiner(_)
                | Value::Loop(_)
        ),
    }
}
