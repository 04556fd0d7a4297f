//! The values of a template: Python's, as far as a template can see them. Lists and mappings never change
//! (the sandbox forbids it), so they are shared.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::dict::Dict;
use super::error::Result;
use super::interpreter::Interpreter;
use super::loops::Loop;
use super::macros::MacroObject;

#[derive(Clone)]
pub enum Value {
    /// What to say when more is asked of it than printing, iterating or its truth.
    Undefined(Rc<str>),
    None,
    Bool(bool),
    /// Python's integers have no bounds; beyond these an operation raises.
    Int(i128),
    Float(f64),
    Text(Text),
    List(Rc<Vec<Value>>),
    Tuple(Rc<Vec<Value>>),
    Dict(Rc<Dict>),
    /// `dict.keys()` and its like.
    View(View, Rc<Dict>),
    Range(Range),
    /// A generator: true, without a length, and empty once it has been gone through.
    Iterator(Rc<RefCell<Iter>>),
    Namespace(Rc<RefCell<Dict>>),
    Cycler(Rc<(Vec<Value>, RefCell<usize>)>),
    Joiner(Rc<(Value, RefCell<bool>)>),
    Loop(Rc<Loop>),
    Macro(Rc<MacroObject>),
    /// A method of the value.
    Method(Rc<(Value, Rc<str>)>),
    /// A global function, by its name.
    Function(&'static str),
}

/// `safe` is markupsafe's Markup, which `|safe` and `|escape` make: text added to it is escaped as HTML.
#[derive(Clone)]
pub struct Text {
    pub text: Rc<str>,
    pub safe: bool,
}

#[derive(Clone, Copy, PartialEq)]
pub enum View {
    Keys,
    Values,
    Items,
}

#[derive(Clone, Copy, PartialEq)]
pub struct Range {
    pub start: i128,
    pub stop: i128,
    pub step: i128,
}

impl Range {
    pub fn len(&self) -> usize {
        let (low, high) = match self.step > 0 {
            true => (self.start, self.stop),
            false => (self.stop, self.start),
        };
        let span = high.saturating_sub(low);
        if span <= 0 {
            0
        } else {
            ((span - 1) / self.step.saturating_abs() + 1) as usize
        }
    }

    pub fn get(&self, i: usize) -> i128 {
        self.start + self.step * i as i128
    }
}

pub type Produce = Box<dyn FnOnce(&mut Interpreter) -> Result<Vec<Value>>>;

pub enum Iter {
    Ready(VecDeque<Value>),
    /// Computed when it is first looked at, as a Python generator is.
    Lazy(Produce),
}

impl Value {
    pub fn text(text: impl Into<Rc<str>>) -> Value {
        Value::Text(Text { text: text.into(), safe: false })
    }

    pub fn safe_text(text: impl Into<Rc<str>>) -> Value {
        Value::Text(Text { text: text.into(), safe: true })
    }

    pub fn list(items: Vec<Value>) -> Value {
        Value::List(Rc::new(items))
    }

    pub fn tuple(items: Vec<Value>) -> Value {
        Value::Tuple(Rc::new(items))
    }

    pub fn size(size: usize) -> Value {
        Value::Int(size as i128)
    }

    pub fn undefined(why: impl Into<Rc<str>>) -> Value {
        Value::Undefined(why.into())
    }

    pub fn iterator(items: Vec<Value>) -> Value {
        Value::Iterator(Rc::new(RefCell::new(Iter::Ready(items.into()))))
    }

    pub fn lazy(produce: Produce) -> Value {
        Value::Iterator(Rc::new(RefCell::new(Iter::Lazy(produce))))
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(&text.text),
            _ => None,
        }
    }

    pub fn is_undefined(&self) -> bool {
        matches!(self, Value::Undefined(_))
    }

    pub fn is_safe(&self) -> bool {
        matches!(self, Value::Text(Text { safe: true, .. }))
    }

    pub fn truth(&self) -> bool {
        match self {
            Value::Undefined(_) | Value::None => false,
            Value::Bool(value) => *value,
            Value::Int(value) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::Text(text) => !text.text.is_empty(),
            Value::List(items) | Value::Tuple(items) => !items.is_empty(),
            Value::Dict(dict) | Value::View(_, dict) => dict.len() > 0,
            Value::Range(range) => range.len() > 0,
            _ => true,
        }
    }

    /// The name of its Python type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Undefined(_) => "Undefined",
            Value::None => "NoneType",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::Text(text) => {
                if text.safe {
                    "Markup"
                } else {
                    "str"
                }
            }
            Value::List(_) => "list",
            Value::Tuple(_) => "tuple",
            Value::Dict(_) => "dict",
            Value::View(View::Keys, _) => "dict_keys",
            Value::View(View::Values, _) => "dict_values",
            Value::View(View::Items, _) => "dict_items",
            Value::Range(_) => "range",
            Value::Iterator(_) => "generator",
            Value::Namespace(_) => "Namespace",
            Value::Cycler(_) => "Cycler",
            Value::Joiner(_) => "Joiner",
            Value::Loop(_) => "LoopContext",
            Value::Macro(_) => "Macro",
            Value::Method(_) => "builtin_function_or_method",
            Value::Function(_) => "function",
        }
    }
}

impl From<&serde_json::Value> for Value {
    fn from(json: &serde_json::Value) -> Value {
        use serde_json::Value as Json;
        match json {
            Json::Null => Value::None,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => match (number.as_i128(), number.as_f64()) {
                (Some(value), _) => Value::Int(value),
                (None, value) => Value::Float(value.unwrap_or(f64::NAN)),
            },
            Json::String(text) => Value::text(text.as_str()),
            Json::Array(items) => Value::list(items.iter().map(Value::from).collect()),
            Json::Object(entries) => {
                let mut dict = Dict::default();
                for (key, value) in entries {
                    dict.insert_text(key, Value::from(value));
                }
                Value::Dict(Rc::new(dict))
            }
        }
    }
}
