//! Runs a template's statements, within limits.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use super::ast::{Body, FilterCall, Name, Node, Statement, Target};
use super::dict::Dict;
use super::error::{raise, Error, Kind, Result};
use super::macros::MacroObject;
use super::value::Value;

#[derive(Clone, Copy)]
pub struct Limits {
    /// Statements, expressions and elements gone through; `BYTES_A_STEP` bytes of text are one as well.
    pub steps: u64,
    /// Of the rendered text, and of any text on the way to it.
    pub output_bytes: usize,
    /// Lists larger than a quarter of this are refused before they are made.
    pub memory_bytes: usize,
}

const BYTES_A_STEP: usize = 256;

/// Calls, expressions and generators within each other. Python raises RecursionError near 1000 frames, and
/// a macro's call takes five.
const MAX_DEPTH: usize = 4000;
const MAX_CALLS: usize = 200;

/// The variables of a block that has its own, within those around it.
#[derive(Default)]
pub struct Scope {
    variables: RefCell<Vec<(Name, Value)>>,
    parent: Option<Rc<Scope>>,
}

impl Scope {
    pub fn within(parent: &Rc<Scope>) -> Rc<Scope> {
        Rc::new(Scope { variables: RefCell::default(), parent: Some(parent.clone()) })
    }

    pub fn set(&self, name: &Name, value: Value) {
        let mut variables = self.variables.borrow_mut();
        match variables.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => *old = value,
            None => variables.push((name.clone(), value)),
        }
    }

    pub fn get(&self, name: &str) -> Option<Value> {
        let mut scope = Some(self);
        while let Some(here) = scope {
            let variables = here.variables.borrow();
            if let Some((_, value)) = variables.iter().find(|(n, _)| **n == *name) {
                return Some(value.clone());
            }
            scope = here.parent.as_deref();
        }
        None
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Flow {
    Normal,
    Break,
    Continue,
}

pub struct Interpreter {
    pub limits: Limits,
    steps_left: u64,
    depth: usize,
    calls: usize,
    root: Rc<Scope>,
    variables: Dict,
    /// What may hold itself: emptied at the end.
    scopes: Vec<Weak<Scope>>,
    namespaces: Vec<Weak<RefCell<Dict>>>,
}

impl Interpreter {
    pub fn new(variables: Dict, limits: Limits) -> Interpreter {
        Interpreter {
            limits,
            steps_left: limits.steps,
            depth: 0,
            calls: 0,
            root: Rc::default(),
            variables,
            scopes: Vec::new(),
            namespaces: Vec::new(),
        }
    }

    pub fn render(&mut self, body: &Body) -> Result<String> {
        let mut out = String::new();
        let root = self.root.clone();
        self.run(body, &root, &mut out)?;
        Ok(out)
    }

    pub fn step(&mut self) -> Result<()> {
        self.take(1)
    }

    fn take(&mut self, steps: usize) -> Result<()> {
        match self.steps_left.checked_sub(steps as u64) {
            Some(left) => {
                self.steps_left = left;
                Ok(())
            }
            None => Err(Error::too_much("time")),
        }
    }

    /// Looking through `bytes` of text.
    pub fn charge(&mut self, bytes: usize) -> Result<()> {
        self.take(bytes / BYTES_A_STEP)
    }

    /// Before text of that size is made.
    pub fn charge_text(&mut self, bytes: usize) -> Result<()> {
        if bytes > self.limits.output_bytes {
            return Err(Error::too_much("room"));
        }
        self.charge(bytes)
    }

    /// Before a list of that size is made.
    pub fn charge_items(&mut self, count: usize) -> Result<()> {
        if count.saturating_mul(size_of::<Value>()) > self.limits.memory_bytes / 4 {
            return Err(Error::too_much("room"));
        }
        self.take(count / 8)
    }

    pub fn deeper<T>(&mut self, body: impl FnOnce(&mut Interpreter) -> Result<T>) -> Result<T> {
        if self.depth >= MAX_DEPTH {
            return raise("maximum recursion depth exceeded");
        }
        self.depth += 1;
        let result = body(self);
        self.depth -= 1;
        result
    }

    /// The same for calls of macros and recursive loops.
    pub fn calling<T>(&mut self, body: impl FnOnce(&mut Interpreter) -> Result<T>) -> Result<T> {
        if self.calls >= MAX_CALLS {
            return raise("maximum recursion depth exceeded");
        }
        self.calls += 1;
        let result = self.deeper(body);
        self.calls -= 1;
        result
    }

    pub fn new_namespace(&mut self, attributes: Dict) -> Value {
        let namespace = Rc::new(RefCell::new(attributes));
        self.namespaces.push(Rc::downgrade(&namespace));
        Value::Namespace(namespace)
    }

    /// `scope` is held by a value that may be put into it.
    pub fn captured(&mut self, scope: &Rc<Scope>) {
        self.scopes.push(Rc::downgrade(scope));
    }

    pub fn lookup(&self, name: &Name, scope: &Scope) -> Value {
        let found = scope.get(name).or_else(|| self.variables.get_text(name).cloned());
        found
            .or_else(|| super::globals::function(name))
            .unwrap_or_else(|| Value::undefined(format!("'{name}' is undefined")))
    }

    pub fn write(&mut self, text: &str, out: &mut String) -> Result<()> {
        if text.len() > self.limits.output_bytes.saturating_sub(out.len()) {
            return Err(Error::too_much("room"));
        }
        self.charge(text.len())?;
        out.push_str(text);
        Ok(())
    }

    pub fn run(&mut self, body: &[Node], scope: &Rc<Scope>, out: &mut String) -> Result<Flow> {
        for node in body {
            let flow = self.step().and_then(|()| self.statement(node, scope, out));
            let flow = flow.map_err(|mut error| {
                if error.line == 0 && error.kind == Kind::Raised {
                    error.line = node.line;
                }
                error
            })?;
            if flow != Flow::Normal {
                return Ok(flow);
            }
        }
        Ok(Flow::Normal)
    }

    fn statement(&mut self, node: &Node, scope: &Rc<Scope>, out: &mut String) -> Result<Flow> {
        match &node.statement {
            Statement::Text(text) => self.write(text, out)?,
            Statement::Output(values) => {
                for value in values {
                    let value = self.evaluate(value, scope)?;
                    self.print(&value, out)?;
                }
            }
            Statement::If { branches, otherwise } => {
                for (test, body) in branches {
                    if self.evaluate(test, scope)?.truth() {
                        return self.deeper(|i| i.run(body, scope, out));
                    }
                }
                return self.deeper(|i| i.run(otherwise, scope, out));
            }
            Statement::For(definition) => return self.for_loop(definition, scope, out),
            Statement::Set { target, value } => {
                let value = self.evaluate(value, scope)?;
                self.assign(target, value, scope)?;
            }
            Statement::SetBlock { target, filters, body } => {
                return match self.captured_text(filters, body, scope)? {
                    Ok(value) => self.assign(target, value, scope).map(|()| Flow::Normal),
                    Err(flow) => Ok(flow),
                };
            }
            Statement::FilterBlock { filters, body } => {
                match self.captured_text(filters, body, scope)? {
                    Ok(value) => self.print(&value, out)?,
                    Err(flow) => return Ok(flow),
                }
            }
            Statement::With { bindings, body } => {
                let inner = Scope::within(scope);
                for (target, value) in bindings {
                    let value = self.evaluate(value, scope)?;
                    self.assign(target, value, &inner)?;
                }
                return self.deeper(|i| i.run(body, &inner, out));
            }
            Statement::Scope(body) => {
                let inner = Scope::within(scope);
                self.deeper(|i| i.run(body, &inner, out))?;
            }
            Statement::Block(body) => {
                let inner = Scope::within(&self.root.clone());
                self.deeper(|i| i.run(body, &inner, out))?;
            }
            Statement::Macro(definition) => {
                self.captured(scope);
                let object = MacroObject { definition: definition.clone(), scope: scope.clone() };
                scope.set(&definition.name, Value::Macro(Rc::new(object)));
            }
            Statement::Call { call, caller } => {
                let text = self.call_block(call, caller, scope)?;
                self.write(&text, out)?;
            }
            Statement::Load(what) => {
                return raise(format!("'{what}': a chat template has no other templates to load"));
            }
            Statement::Break => return Ok(Flow::Break),
            Statement::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Normal)
    }

    fn print(&mut self, value: &Value, out: &mut String) -> Result<()> {
        let text = self.str(value)?;
        self.write(&text, out)
    }

    /// What a body renders to, filtered; or that it left its loop, and the text is lost.
    fn captured_text(
        &mut self,
        filters: &[FilterCall],
        body: &[Node],
        scope: &Rc<Scope>,
    ) -> Result<std::result::Result<Value, Flow>> {
        let inner = Scope::within(scope);
        let mut text = String::new();
        let flow = self.deeper(|i| i.run(body, &inner, &mut text))?;
        if flow != Flow::Normal {
            return Ok(Err(flow));
        }
        let mut value = Value::text(text);
        for filter in filters {
            value = self.filter(value, filter, &inner)?;
        }
        Ok(Ok(value))
    }

    pub fn assign(&mut self, target: &Target, value: Value, scope: &Rc<Scope>) -> Result<()> {
        match target {
            Target::Name(name) => scope.set(name, value),
            Target::Attribute(name, attribute) => match self.lookup(name, scope) {
                Value::Namespace(_) if attribute.starts_with('_') => {
                    return raise("a namespace's attributes must not start with an underscore");
                }
                Value::Namespace(namespace) => {
                    namespace.borrow_mut().insert_text(attribute, value);
                }
                _ => return raise("cannot assign attribute on non-namespace object"),
            },
            Target::Tuple(targets) => {
                let items = self.iterate(&value)?;
                if items.len() != targets.len() {
                    let (want, got) = (targets.len(), items.len());
                    return raise(format!("expected {want} values to unpack, got {got}"));
                }
                for (target, item) in targets.iter().zip(items) {
                    self.assign(target, item, scope)?;
                }
            }
        }
        Ok(())
    }
}

impl Drop for Interpreter {
    fn drop(&mut self) {
        for scope in self.scopes.drain(..).filter_map(|scope| scope.upgrade()) {
            scope.variables.take();
        }
        for namespace in self.namespaces.drain(..).filter_map(|namespace| namespace.upgrade()) {
            namespace.take().clear();
        }
    }
}
