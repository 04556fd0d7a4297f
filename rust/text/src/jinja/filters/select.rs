//! Filters that pick, order or combine elements by an attribute, a filter or a test.

use std::rc::Rc;

use crate::jinja::arguments::{given, required, switch, text, truth_or, Args};
use crate::jinja::ast::Binary;
use crate::jinja::dict::Seen;
use crate::jinja::error::{raise, Result};
use crate::jinja::interpreter::Interpreter;
use crate::jinja::tests;
use crate::jinja::value::Value;

/// "a.0.b": the keys and indices to an element's attribute.
pub struct Path(Vec<Value>);

impl Path {
    pub fn of(attribute: &Value) -> Result<Path> {
        let part = |part: &str| match part.parse() {
            Ok(index) if part.bytes().all(|b| b.is_ascii_digit()) => Value::Int(index),
            _ => Value::text(part),
        };
        Ok(Path(match attribute {
            Value::None => Vec::new(),
            Value::Text(path) => path.text.split('.').map(part).collect(),
            other => vec![other.clone()],
        }))
    }

    pub fn get(&self, i: &mut Interpreter, item: Value, default: Option<&Value>) -> Result<Value> {
        let mut item = item;
        for part in &self.0 {
            i.step()?;
            item = i.item(&item, part)?;
            if let (true, Some(default)) = (item.is_undefined(), default) {
                item = default.clone();
            }
        }
        Ok(item)
    }
}

pub fn ignore_case(value: Value) -> Value {
    match &value {
        Value::Text(text) => Value::text(text.text.to_lowercase()),
        _ => value,
    }
}

/// Elements with what they are compared by.
fn keyed(
    i: &mut Interpreter,
    value: &Value,
    attribute: Option<Value>,
    case_sensitive: bool,
) -> Result<Vec<(Value, Value)>> {
    let path = Path::of(&attribute.unwrap_or(Value::None))?;
    let mut keyed = Vec::new();
    for item in i.iterate(value)? {
        let key = path.get(i, item.clone(), None)?;
        keyed.push((if case_sensitive { key } else { ignore_case(key) }, item));
    }
    Ok(keyed)
}

pub fn attr(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [name] = args.bind("attr", ["name"])?;
    let name = text(&required(name, "attr", "name")?, "attr")?;
    let found = i.own_attribute(&value, &name)?;
    Ok(found.unwrap_or_else(|| Value::undefined(format!("'{name}' is no attribute"))))
}

pub fn default(_: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [default, boolean] = args.bind("default", ["default_value", "boolean"])?;
    let replaces = value.is_undefined() || truth_or(&boolean, false) && !value.truth();
    Ok(if replaces { default.unwrap_or_else(|| Value::text("")) } else { value })
}

pub fn sort(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [reverse, case, attribute] =
        args.bind("sort", ["reverse", "case_sensitive", "attribute"])?;
    let (case_sensitive, reverse) = (truth_or(&case, false), switch(reverse, "sort")?);
    let attributes: Vec<Value> = match given(attribute) {
        None => vec![Value::None],
        Some(Value::Text(names)) => names.text.split(',').map(Value::text).collect(),
        Some(other) => vec![other],
    };
    let mut sorted = Vec::new();
    for item in i.iterate(&value)? {
        let mut key = Vec::new();
        for attribute in &attributes {
            let part = Path::of(attribute)?.get(i, item.clone(), None)?;
            key.push(if case_sensitive { part } else { ignore_case(part) });
        }
        sorted.push((Value::list(key), item));
    }
    Ok(Value::list(i.sorted(sorted, reverse)?))
}

pub fn unique(_: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [case, attribute] = args.bind("unique", ["case_sensitive", "attribute"])?;
    Ok(Value::lazy(Box::new(move |i| {
        let mut seen = Seen::default();
        let mut kept = Vec::new();
        for (key, item) in keyed(i, &value, attribute, truth_or(&case, false))? {
            if seen.insert(&key)? {
                kept.push(item);
            }
        }
        Ok(kept)
    })))
}

fn extreme(i: &mut Interpreter, value: Value, args: Args, name: &str) -> Result<Value> {
    let [case, attribute] = args.bind(name, ["case_sensitive", "attribute"])?;
    let mut best: Option<(Value, Value)> = None;
    for (key, item) in keyed(i, &value, attribute, truth_or(&case, false))? {
        let better = match &best {
            None => true,
            Some((best, _)) if name == "min" => {
                i.order(&key, best, "<")?.is_some_and(|o| o.is_lt())
            }
            Some((best, _)) => i.order(&key, best, ">")?.is_some_and(|o| o.is_gt()),
        };
        if better {
            best = Some((key, item));
        }
    }
    let empty = || Value::undefined("no aggregated item, sequence was empty");
    Ok(best.map_or_else(empty, |(_, item)| item))
}

pub fn min(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    extreme(i, value, args, "min")
}

pub fn max(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    extreme(i, value, args, "max")
}

pub fn sum(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [attribute, start] = args.bind("sum", ["attribute", "start"])?;
    let mut total = start.unwrap_or(Value::Int(0));
    if total.as_str().is_some() {
        return raise("sum() can't sum strings");
    }
    let path = Path::of(&given(attribute).unwrap_or(Value::None))?;
    for item in i.iterate(&value)? {
        let item = path.get(i, item, None)?;
        total = i.binary(Binary::Add, &total, &item)?;
    }
    Ok(total)
}

/// Pairs of what the elements have in common and these elements, in the order of the former.
pub fn groupby(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [attribute, default, case] =
        args.bind("groupby", ["attribute", "default", "case_sensitive"])?;
    let path = Path::of(&required(attribute, "groupby", "attribute")?)?;
    let default = given(default);
    let case_sensitive = truth_or(&case, false);
    let mut entries = Vec::new();
    for item in i.iterate(&value)? {
        let shown = path.get(i, item.clone(), default.as_ref())?;
        let key = if case_sensitive { shown.clone() } else { ignore_case(shown.clone()) };
        entries.push((key.clone(), Value::tuple(vec![key, shown, item])));
    }
    let mut groups: Vec<(Value, Value, Vec<Value>)> = Vec::new();
    for entry in i.sorted(entries, false)? {
        let Value::Tuple(entry) = entry else { continue };
        let [key, shown, item] = [0, 1, 2].map(|n| entry[n].clone());
        match groups.last_mut() {
            Some((last, _, items)) if i.equal(last, &key)? => items.push(item),
            _ => groups.push((key, shown, vec![item])),
        }
    }
    let pair = |(_, shown, items)| Value::Tuple(Rc::new(vec![shown, Value::list(items)]));
    Ok(Value::list(groups.into_iter().map(pair).collect()))
}

pub fn map(_: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    Ok(Value::lazy(Box::new(move |i| mapped(i, value, args))))
}

fn mapped(i: &mut Interpreter, value: Value, mut args: Args) -> Result<Vec<Value>> {
    if !value.truth() {
        return Ok(Vec::new());
    }
    let by_attribute = args.named.iter().any(|(name, _)| **name == *"attribute");
    if args.positional.is_empty() && by_attribute {
        let [attribute, default] = args.bind("map", ["attribute", "default"])?;
        let path = Path::of(&attribute.unwrap_or(Value::None))?;
        let default = given(default);
        let items = i.iterate(&value)?.into_iter();
        return items.map(|item| path.get(i, item, default.as_ref())).collect();
    }
    if args.positional.is_empty() {
        return raise("map requires a filter argument");
    }
    let name = text(&args.positional.remove(0), "map")?;
    let items = i.iterate(&value)?.into_iter();
    items.map(|item| super::apply(i, &name, item, args.clone())).collect()
}

/// `keep`: elements that pass are kept, otherwise those that do not.
fn chosen(value: Value, args: Args, by_attribute: bool, keep: bool) -> Result<Value> {
    Ok(Value::lazy(Box::new(move |i| {
        if !value.truth() {
            return Ok(Vec::new());
        }
        let mut args = args;
        if by_attribute && args.positional.is_empty() {
            return raise("missing parameter for attribute name");
        }
        let path = match by_attribute {
            true => Path::of(&args.positional.remove(0))?,
            false => Path::of(&Value::None)?,
        };
        let test = match args.positional.is_empty() {
            true => None,
            false => Some(text(&args.positional.remove(0), "select")?),
        };
        let mut kept = Vec::new();
        for item in i.iterate(&value)? {
            i.step()?;
            let subject = path.get(i, item.clone(), None)?;
            let passes = match &test {
                Some(test) => tests::apply(i, test, &subject, args.clone())?,
                None => subject.truth(),
            };
            if passes == keep {
                kept.push(item);
            }
        }
        Ok(kept)
    })))
}

pub fn select(_: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    chosen(value, args, false, true)
}

pub fn reject(_: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    chosen(value, args, false, false)
}

pub fn selectattr(_: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    chosen(value, args, true, true)
}

pub fn rejectattr(_: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    chosen(value, args, true, false)
}
