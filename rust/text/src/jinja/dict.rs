//! Python's dict: keys in the order in which they came, and 1, 1.0 and True are one key.

use std::hash::{Hash, Hasher};
use std::rc::Rc;

use indexmap::{Equivalent, IndexMap};

use super::error::{raise, Result};
use super::value::{Range, Value};

#[derive(Clone, PartialEq, Eq)]
pub enum Key {
    None,
    Undefined,
    Int(i128),
    /// Its bits, where it is not an integer.
    Float(u64),
    Text(Rc<str>),
    Tuple(Vec<Key>),
    Range(i128, i128, i128),
    /// Whatever is equal to itself only.
    Address(usize),
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Key::None | Key::Undefined => 0.hash(state),
            Key::Int(value) => value.hash(state),
            Key::Float(bits) => bits.hash(state),
            Key::Text(text) => text.hash(state),
            Key::Tuple(keys) => keys.hash(state),
            Key::Range(start, ..) => start.hash(state),
            Key::Address(address) => address.hash(state),
        }
    }
}

#[derive(Hash)]
struct TextKey<'a>(&'a str);

impl Equivalent<Key> for TextKey<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        matches!(key, Key::Text(text) if **text == *self.0)
    }
}

/// Elements of tuples within tuples, more than any template has.
const MAX_PARTS: usize = 10_000;

impl Key {
    pub fn of(value: &Value) -> Result<Key> {
        Key::nested(value, &mut 0)
    }

    fn nested(value: &Value, parts: &mut usize) -> Result<Key> {
        let address = |at: *const ()| Ok(Key::Address(at as usize));
        *parts += 1;
        match value {
            _ if *parts > MAX_PARTS => raise("a key is too large"),
            Value::None => Ok(Key::None),
            Value::Undefined(_) => Ok(Key::Undefined),
            Value::Bool(value) => Ok(Key::Int((*value).into())),
            Value::Int(value) => Ok(Key::Int(*value)),
            Value::Float(x) if x.fract() == 0.0 && x.abs() < 1e38 => Ok(Key::Int(*x as i128)),
            Value::Float(x) => Ok(Key::Float(x.to_bits())),
            Value::Text(text) => Ok(Key::Text(text.text.clone())),
            Value::Tuple(items) => {
                let keys =
                    items.iter().map(|item| Key::nested(item, parts)).collect::<Result<_>>()?;
                Ok(Key::Tuple(keys))
            }
            Value::Range(Range { start, stop, step }) => Ok(Key::Range(*start, *stop, *step)),
            Value::List(_) | Value::Dict(_) | Value::View(..) => {
                raise(format!("unhashable type: '{}'", value.type_name()))
            }
            Value::Iterator(iter) => address(Rc::as_ptr(iter).cast()),
            Value::Namespace(dict) => address(Rc::as_ptr(dict).cast()),
            Value::Cycler(cycler) => address(Rc::as_ptr(cycler).cast()),
            Value::Joiner(joiner) => address(Rc::as_ptr(joiner).cast()),
            Value::Loop(state) => address(Rc::as_ptr(state).cast()),
            Value::Macro(object) => address(Rc::as_ptr(object).cast()),
            Value::Method(method) => address(Rc::as_ptr(method).cast()),
            Value::Function(name) => address(name.as_ptr().cast()),
        }
    }
}

#[derive(Clone, Default)]
pub struct Dict {
    entries: IndexMap<Key, (Value, Value)>,
}

impl Dict {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// As in Python, a key that is there keeps its place and its first form.
    pub fn insert(&mut self, key: Value, value: Value) -> Result<()> {
        match self.entries.entry(Key::of(&key)?) {
            indexmap::map::Entry::Occupied(mut entry) => entry.get_mut().1 = value,
            indexmap::map::Entry::Vacant(entry) => {
                entry.insert((key, value));
            }
        }
        Ok(())
    }

    pub fn insert_text(&mut self, key: &str, value: Value) {
        let key: Rc<str> = key.into();
        let entry = self.entries.entry(Key::Text(key.clone()));
        entry.or_insert((Value::text(key), Value::None)).1 = value;
    }

    pub fn get(&self, key: &Value) -> Result<Option<&Value>> {
        Ok(self.entries.get(&Key::of(key)?).map(|(_, value)| value))
    }

    pub fn get_text(&self, key: &str) -> Option<&Value> {
        self.entries.get(&TextKey(key)).map(|(_, value)| value)
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &(Value, Value)> + ExactSizeIterator {
        self.entries.values()
    }

    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

/// A set of values, for `|unique`.
#[derive(Default)]
pub struct Seen(std::collections::HashSet<Key>);

impl Seen {
    /// False when it is there already.
    pub fn insert(&mut self, value: &Value) -> Result<bool> {
        Ok(self.0.insert(Key::of(value)?))
    }
}
