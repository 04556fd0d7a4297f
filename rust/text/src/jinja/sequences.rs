//! Going through values, their length, elements and slices.

use super::error::{raise, Result};
use super::interpreter::Interpreter;
use super::operators::Number;
use super::value::{Iter, Range, Text, Value, View};

impl Interpreter {
    /// Every element. A generator is empty afterwards.
    pub fn iterate(&mut self, value: &Value) -> Result<Vec<Value>> {
        let items: Vec<Value> = match value {
            Value::Undefined(_) => Vec::new(),
            Value::Text(text) => {
                self.charge_items(text.text.len())?;
                let one = |c: char| Value::text(&*c.encode_utf8(&mut [0; 4]));
                text.text.chars().map(one).collect()
            }
            Value::List(items) | Value::Tuple(items) => items.to_vec(),
            Value::Dict(dict) | Value::View(View::Keys, dict) => {
                dict.iter().map(|(key, _)| key.clone()).collect()
            }
            Value::View(View::Values, dict) => {
                dict.iter().map(|(_, value)| value.clone()).collect()
            }
            Value::View(View::Items, dict) => {
                let pair =
                    |(key, value): &(Value, Value)| Value::tuple(vec![key.clone(), value.clone()]);
                dict.iter().map(pair).collect()
            }
            Value::Range(range) => {
                self.charge_items(range.len())?;
                (0..range.len()).map(|i| Value::Int(range.get(i))).collect()
            }
            Value::Iterator(iter) => match iter.replace(Iter::Ready(Default::default())) {
                Iter::Ready(items) => items.into(),
                Iter::Lazy(produce) => self.deeper(produce)?,
            },
            other => return raise(format!("'{}' object is not iterable", other.type_name())),
        };
        self.charge_items(items.len())?;
        Ok(items)
    }

    /// The next element, the rest stays in a generator.
    pub fn first(&mut self, value: &Value) -> Result<Option<Value>> {
        match value {
            Value::Iterator(iter) => {
                let items = self.iterate(value)?;
                let mut items = std::collections::VecDeque::from(items);
                let first = items.pop_front();
                iter.replace(Iter::Ready(items));
                Ok(first)
            }
            Value::List(items) | Value::Tuple(items) => Ok(items.first().cloned()),
            _ => Ok(self.iterate(value)?.into_iter().next()),
        }
    }

    /// len(value); None when it has none.
    pub fn length(&mut self, value: &Value) -> Result<Option<usize>> {
        Ok(Some(match value {
            Value::Undefined(_) => 0,
            Value::Text(text) => {
                self.charge(text.text.len())?;
                text.text.chars().count()
            }
            Value::List(items) | Value::Tuple(items) => items.len(),
            Value::Dict(dict) | Value::View(_, dict) => dict.len(),
            Value::Range(range) => range.len(),
            Value::Loop(state) => state.clone().length(self)?,
            _ => return Ok(None),
        }))
    }

    /// Elements in reverse; None when Python's reversed() refuses.
    pub fn reversed(&mut self, value: &Value) -> Result<Option<Vec<Value>>> {
        let reversible = !matches!(
            value,
            Value::Iterator(_)
                | Value::None
                | Value::Bool(_)
                | Value::Int(_)
                | Value::Float(_)
                | Value::Namespace(_)
                | Value::Cycler(_)
                | Value::Joiner(_)
                | Value::Loop(_)
                | Value::Macro(_)
                | Value::Method(_)
                | Value::Function(_)
        );
        if !reversible {
            return Ok(None);
        }
        let mut items = self.iterate(value)?;
        items.reverse();
        Ok(Some(items))
    }

    /// `value[index]`; None where Python raises and Jinja2 goes on with an attribute of that name.
    pub fn element(&mut self, value: &Value, index: &Value) -> Result<Option<Value>> {
        if let Value::Dict(dict) = value {
            return Ok(super::dict::Key::of(index)
                .ok()
                .and_then(|_| dict.get(index).ok()?.cloned()));
        }
        let (Some(Number::Int(index)), false) =
            (Number::of(index), matches!(index, Value::Float(_)))
        else {
            return Ok(None);
        };
        let at = |length: usize| {
            let from_start = if index < 0 { index.saturating_add(length as i128) } else { index };
            usize::try_from(from_start).ok().filter(|&i| i < length)
        };
        Ok(match value {
            Value::List(items) | Value::Tuple(items) => at(items.len()).map(|i| items[i].clone()),
            Value::Range(range) => at(range.len()).map(|i| Value::Int(range.get(i))),
            Value::Text(text) => {
                let length = self.length(value)?.unwrap_or(0);
                let c = at(length).and_then(|i| text.text.chars().nth(i));
                c.map(|c| Value::Text(Text { text: c.to_string().into(), safe: text.safe }))
            }
            _ => None,
        })
    }

    /// `value[start:stop:step]`.
    pub fn slice(&mut self, value: &Value, parts: [Option<Value>; 3]) -> Result<Value> {
        if let Value::Undefined(why) = value {
            return raise(&**why);
        }
        let mut bounds = [None; 3];
        for (bound, part) in bounds.iter_mut().zip(&parts) {
            *bound = match part {
                None | Some(Value::None) => None,
                Some(Value::Int(i)) => Some(*i),
                Some(Value::Bool(b)) => Some(i128::from(*b)),
                Some(_) => return raise("slice indices must be integers or None"),
            };
        }
        let length = match value {
            Value::Text(_) | Value::List(_) | Value::Tuple(_) | Value::Range(_) => {
                self.length(value)?.unwrap_or(0)
            }
            other => return raise(format!("'{}' object cannot be sliced", other.type_name())),
        };
        let picked = slice_indices(bounds, length)?;
        self.charge_items(picked.len())?;
        Ok(match value {
            Value::Text(text) => {
                Value::Text(Text { text: slice_text(&text.text, picked).into(), safe: text.safe })
            }
            Value::Range(range) => Value::Range(Range {
                start: range.start + picked.start * range.step,
                stop: range.start + picked.stop * range.step,
                step: range.step * picked.step,
            }),
            Value::List(items) => Value::list(pick(items, picked)),
            Value::Tuple(items) => Value::tuple(pick(items, picked)),
            _ => Value::None,
        })
    }
}

fn pick(items: &[Value], range: Range) -> Vec<Value> {
    (0..range.len()).map(|i| items[range.get(i) as usize].clone()).collect()
}

fn slice_text(text: &str, range: Range) -> String {
    if range.step == 1 {
        return text.chars().skip(range.start as usize).take(range.len()).collect();
    }
    let chars: Vec<char> = text.chars().collect();
    (0..range.len()).map(|i| chars[range.get(i) as usize]).collect()
}

/// The indices that Python's slice picks.
fn slice_indices([start, stop, step]: [Option<i128>; 3], length: usize) -> Result<Range> {
    let step = step.unwrap_or(1).clamp(-(1 << 62), 1 << 62);
    if step == 0 {
        return raise("slice step cannot be zero");
    }
    let length = length as i128;
    let (lowest, highest) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let clamp = |bound: i128| {
        let from_start = if bound < 0 { bound.saturating_add(length) } else { bound };
        from_start.clamp(lowest, highest)
    };
    let (first, last) = if step > 0 { (lowest, highest) } else { (highest, lowest) };
    Ok(Range { start: start.map_or(first, clamp), stop: stop.map_or(last, clamp), step })
}
