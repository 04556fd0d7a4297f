//! Filters over sequences.

use crate::jinja::arguments::{given, int, required, switch, text, truth_or, Args};
use crate::jinja::error::{raise, Result};
use crate::jinja::interpreter::Interpreter;
use crate::jinja::value::{Text, Value};

use super::select::ignore_case;

pub fn length(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [] = args.positional("length")?;
    match i.length(&value)? {
        Some(length) => Ok(Value::size(length)),
        None => raise(format!("'{}' object has no length", value.type_name())),
    }
}

pub fn first(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [] = args.bind("first", [])?;
    let first = i.first(&value)?;
    Ok(first.unwrap_or_else(|| Value::undefined("no first item, sequence was empty")))
}

pub fn last(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [] = args.bind("last", [])?;
    match i.reversed(&value)? {
        Some(items) => {
            let last = items.into_iter().next();
            Ok(last.unwrap_or_else(|| Value::undefined("no last item, sequence was empty")))
        }
        None => raise(format!("'{}' object is not reversible", value.type_name())),
    }
}

pub fn list(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [] = args.bind("list", [])?;
    Ok(Value::list(i.iterate(&value)?))
}

pub fn reverse(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [] = args.bind("reverse", [])?;
    if let Value::Text(text) = &value {
        i.charge(text.text.len())?;
        let reversed: String = text.text.chars().rev().collect();
        return Ok(Value::Text(Text { text: reversed.into(), safe: text.safe }));
    }
    if let Some(items) = i.reversed(&value)? {
        return Ok(Value::iterator(items));
    }
    let mut items = i.iterate(&value)?;
    items.reverse();
    Ok(Value::list(items))
}

/// str(d).join(map(str, value)).
pub fn join(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [separator, attribute] = args.bind("join", ["d", "attribute"])?;
    let separator = separator.map_or(Ok("".into()), |s| i.str(&s))?;
    let mut out = String::new();
    for (n, item) in i.iterate(&value)?.into_iter().enumerate() {
        let item = match given(attribute.clone()) {
            Some(attribute) => super::select::Path::of(&attribute)?.get(i, item, None)?,
            None => item,
        };
        if n > 0 {
            i.write(&separator, &mut out)?;
        }
        let item = i.str(&item)?;
        i.write(&item, &mut out)?;
    }
    Ok(Value::text(out))
}

/// A generator over a mapping's pairs.
pub fn items(_: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [] = args.bind("items", [])?;
    Ok(Value::lazy(Box::new(move |i| match &value {
        Value::Undefined(_) => Ok(Vec::new()),
        Value::Dict(dict) => {
            i.charge_items(dict.len())?;
            Ok(dict.iter().map(|(k, v)| Value::tuple(vec![k.clone(), v.clone()])).collect())
        }
        _ => raise("can only get item pairs from a mapping"),
    })))
}

pub fn dictsort(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [case_sensitive, by, reverse] =
        args.bind("dictsort", ["case_sensitive", "by", "reverse"])?;
    let by_value = match by.map(|by| text(&by, "dictsort")).transpose()?.as_deref() {
        None | Some("key") => false,
        Some("value") => true,
        _ => return raise("you can only sort by either \"key\" or \"value\""),
    };
    let Value::Dict(dict) = &value else { return raise("dictsort: not a mapping") };
    let case_sensitive = truth_or(&case_sensitive, false);
    let keyed = dict.iter().map(|(k, v)| {
        let key = if by_value { v } else { k };
        let key = if case_sensitive { key.clone() } else { ignore_case(key.clone()) };
        (key, Value::tuple(vec![k.clone(), v.clone()]))
    });
    let keyed = keyed.collect();
    Ok(Value::list(i.sorted(keyed, switch(reverse, "dictsort")?)?))
}

/// Rows of `linecount` elements, the last one filled up with `fill_with`.
pub fn batch(_: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [linecount, fill] = args.bind("batch", ["linecount", "fill_with"])?;
    let linecount = required(linecount, "batch", "linecount")?;
    Ok(Value::lazy(Box::new(move |i| {
        let items = i.iterate(&value)?;
        // A row is full when its length is the number, which may be no integer or none it reaches.
        let full = int(&linecount, "batch").ok().and_then(|n| usize::try_from(n).ok());
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let mut rows: Vec<Value> = match full {
            Some(0) => vec![Value::list(Vec::new()), Value::list(items)],
            Some(n) => items.chunks(n).map(|row| Value::list(row.to_vec())).collect(),
            None => vec![Value::list(items)],
        };
        if let (Some(fill), Some(n), Some(Value::List(last))) = (given(fill), full, rows.last()) {
            i.charge_items(n)?;
            let mut row = last.to_vec();
            row.resize(n.max(row.len()), fill);
            rows.pop();
            rows.push(Value::list(row));
        }
        Ok(rows)
    })))
}

/// `slices` columns.
pub fn slice(_: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [slices, fill] = args.bind("slice", ["slices", "fill_with"])?;
    let slices = required(slices, "slice", "slices")?;
    Ok(Value::lazy(Box::new(move |i| {
        let items = i.iterate(&value)?;
        let count = int(&slices, "slice")?;
        if count == 0 {
            return raise("integer division or modulo by zero");
        }
        let count = usize::try_from(count).unwrap_or(0);
        i.charge_items(count)?;
        let fill = given(fill);
        let mut columns = Vec::new();
        let mut rest = items.as_slice();
        for n in 0..count {
            let extra = n < items.len() % count;
            let (column, after) = rest.split_at(items.len() / count + usize::from(extra));
            let mut column = column.to_vec();
            if !extra {
                column.extend(fill.clone());
            }
            columns.push(Value::list(column));
            rest = after;
        }
        Ok(columns)
    })))
}
