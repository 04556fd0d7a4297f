//! `for`: the loop, and the variable `loop` that tells of it. Elements are tested one by one as the loop
//! comes to them, since a body may change what the test looks at.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::ast::For;
use super::error::{raise, Result};
use super::interpreter::{Flow, Interpreter, Scope};
use super::value::Value;

pub struct Loop {
    definition: Rc<For>,
    /// Around the loop.
    scope: Rc<Scope>,
    depth: usize,
    state: RefCell<State>,
}

struct State {
    rest: VecDeque<Value>,
    /// All of `rest` has passed the test.
    tested: bool,
    /// Looked at ahead of its turn.
    peeked: Option<Value>,
    /// From 0; the number of elements so far less one.
    index: usize,
    started: bool,
    previous: Option<Value>,
    current: Option<Value>,
    length: Option<usize>,
    changed: Option<Vec<Value>>,
}

impl Loop {
    /// The next element that passes the test.
    fn advance(&self, interpreter: &mut Interpreter) -> Result<Option<Value>> {
        loop {
            let Some(item) = self.state.borrow_mut().rest.pop_front() else { return Ok(None) };
            let tested = self.state.borrow().tested;
            let Some(test) = self.definition.test.as_ref().filter(|_| !tested) else {
                return Ok(Some(item));
            };
            let scope = Scope::within(&self.scope);
            interpreter.assign(&self.definition.target, item.clone(), &scope)?;
            if interpreter.evaluate(test, &scope)?.truth() {
                return Ok(Some(item));
            }
        }
    }

    fn next(&self, interpreter: &mut Interpreter) -> Result<Option<Value>> {
        let peeked = self.state.borrow_mut().peeked.take();
        let item = match peeked {
            Some(item) => Some(item),
            None => self.advance(interpreter)?,
        };
        let mut state = self.state.borrow_mut();
        if item.is_some() {
            state.index += usize::from(state.started);
            state.started = true;
            state.previous = state.current.take();
            state.current = item.clone();
        }
        Ok(item)
    }

    fn peek(&self, interpreter: &mut Interpreter) -> Result<Option<Value>> {
        if self.state.borrow().peeked.is_none() {
            let item = self.advance(interpreter)?;
            self.state.borrow_mut().peeked = item;
        }
        Ok(self.state.borrow().peeked.clone())
    }

    pub fn length(&self, interpreter: &mut Interpreter) -> Result<usize> {
        if let Some(length) = self.state.borrow().length {
            return Ok(length);
        }
        let mut rest = VecDeque::new();
        while let Some(item) = self.advance(interpreter)? {
            rest.push_back(item);
        }
        let mut state = self.state.borrow_mut();
        let length = state.index + 1 + usize::from(state.peeked.is_some()) + rest.len();
        state.length = Some(length);
        state.rest = rest;
        state.tested = true;
        Ok(length)
    }

    pub fn attribute(
        &self,
        i: &mut Interpreter,
        this: &Value,
        name: &Rc<str>,
    ) -> Result<Option<Value>> {
        let index = self.state.borrow().index;
        let none = |what: &str| Value::undefined(format!("there is no {what} item"));
        Ok(Some(match &**name {
            "index" => Value::size(index + 1),
            "index0" => Value::size(index),
            "first" => Value::Bool(index == 0),
            "last" => Value::Bool(self.peek(i)?.is_none()),
            "length" => Value::size(self.length(i)?),
            "revindex" => Value::size(self.length(i)? - index),
            "revindex0" => Value::size(self.length(i)? - index - 1),
            "depth" => Value::size(self.depth + 1),
            "depth0" => Value::size(self.depth),
            "previtem" => {
                let previous = self.state.borrow().previous.clone();
                previous.unwrap_or_else(|| none("previous"))
            }
            "nextitem" => self.peek(i)?.unwrap_or_else(|| none("next")),
            "cycle" | "changed" => Value::Method(Rc::new((this.clone(), name.clone()))),
            _ => return Ok(None),
        }))
    }

    pub fn describe(&self, i: &mut Interpreter) -> Result<String> {
        let length = self.length(i)?;
        Ok(format!("<LoopContext {}/{length}>", self.state.borrow().index + 1))
    }

    pub fn cycle(&self, values: Vec<Value>) -> Result<Value> {
        match values.is_empty() {
            true => raise("no items for cycling given"),
            false => Ok(values[self.state.borrow().index % values.len()].clone()),
        }
    }

    pub fn changed(&self, i: &mut Interpreter, values: Vec<Value>) -> Result<Value> {
        let last = self.state.borrow_mut().changed.replace(values.clone());
        let same = match last {
            Some(last) => i.equal(&Value::tuple(last), &Value::tuple(values))?,
            None => false,
        };
        Ok(Value::Bool(!same))
    }
}

impl Interpreter {
    pub fn for_loop(
        &mut self,
        definition: &Rc<For>,
        scope: &Rc<Scope>,
        out: &mut String,
    ) -> Result<Flow> {
        let iterable = self.evaluate(&definition.iterable, scope)?;
        self.deeper(|i| i.go_through(definition, &iterable, scope, 0, out))
    }

    /// `loop(iterable)` in a recursive loop: its body again, as text.
    pub fn recurse(&mut self, outer: &Rc<Loop>, iterable: &Value) -> Result<String> {
        if !outer.definition.recursive {
            return raise("the loop must have the 'recursive' marker to be called recursively");
        }
        let mut text = String::new();
        let depth = outer.depth + 1;
        self.calling(|i| {
            i.go_through(&outer.definition, iterable, &outer.scope, depth, &mut text)
        })?;
        Ok(text)
    }

    fn go_through(
        &mut self,
        definition: &Rc<For>,
        iterable: &Value,
        scope: &Rc<Scope>,
        depth: usize,
        out: &mut String,
    ) -> Result<Flow> {
        let state = State {
            rest: self.iterate(iterable)?.into(),
            tested: false,
            peeked: None,
            index: 0,
            started: false,
            previous: None,
            current: None,
            length: None,
            changed: None,
        };
        let this = Rc::new(Loop {
            definition: definition.clone(),
            scope: scope.clone(),
            depth,
            state: RefCell::new(state),
        });
        let name = "loop".into();
        let mut any = false;
        while let Some(item) = this.next(self)? {
            any = true;
            self.step()?;
            let inner = Scope::within(scope);
            inner.set(&name, Value::Loop(this.clone()));
            self.assign(&definition.target, item, &inner)?;
            if self.run(&definition.body, &inner, out)? == Flow::Break {
                break;
            }
        }
        match any {
            true => Ok(Flow::Normal),
            false => self.run(&definition.otherwise, scope, out),
        }
    }
}
