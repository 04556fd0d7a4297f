//! The value of an expression.

use std::rc::Rc;

use super::arguments::Args;
use super::ast::{Arguments, Comparison, Expr, FilterCall, Unary};
use super::dict::Dict;
use super::error::{raise, Result};
use super::interpreter::{Interpreter, Scope};
use super::operators::{arithmetic, Number};
use super::value::{Range, Value};
use super::{filters, tests};

impl Interpreter {
    pub fn evaluate(&mut self, expr: &Expr, scope: &Rc<Scope>) -> Result<Value> {
        self.step()?;
        self.deeper(|i| i.evaluate_here(expr, scope))
    }

    fn all(&mut self, exprs: &[Expr], scope: &Rc<Scope>) -> Result<Vec<Value>> {
        exprs.iter().map(|e| self.evaluate(e, scope)).collect()
    }

    fn evaluate_here(&mut self, expr: &Expr, scope: &Rc<Scope>) -> Result<Value> {
        match expr {
            Expr::Const(value) => Ok(value.clone()),
            Expr::Name(name) => Ok(self.lookup(name, scope)),
            Expr::List(items) => Ok(Value::list(self.all(items, scope)?)),
            Expr::Tuple(items) => Ok(Value::tuple(self.all(items, scope)?)),
            Expr::Dict(entries) => self.dict(entries, scope),
            Expr::Unary(operator, operand) => {
                let operand = self.evaluate(operand, scope)?;
                unary(*operator, operand)
            }
            Expr::Binary(operator, a, b) => {
                let a = self.evaluate(a, scope)?;
                let b = self.evaluate(b, scope)?;
                self.binary(*operator, &a, &b)
            }
            Expr::And(a, b) | Expr::Or(a, b) => {
                let first = self.evaluate(a, scope)?;
                if first.truth() == matches!(expr, Expr::Or(..)) {
                    return Ok(first);
                }
                self.evaluate(b, scope)
            }
            Expr::Compare(first, rest) => self.compare(first, rest, scope),
            Expr::Concat(parts) => self.concat(parts, scope),
            Expr::Conditional { test, then, otherwise } => {
                if self.evaluate(test, scope)?.truth() {
                    return self.evaluate(then, scope);
                }
                match otherwise {
                    Some(otherwise) => self.evaluate(otherwise, scope),
                    None => Ok(Value::undefined("the condition is false and there is no 'else'")),
                }
            }
            Expr::Attribute(of, name) => {
                let of = self.evaluate(of, scope)?;
                self.attribute(&of, name)
            }
            Expr::Item(of, index) => {
                let of = self.evaluate(of, scope)?;
                let index = self.evaluate(index, scope)?;
                self.item(&of, &index)
            }
            Expr::Slice(of, parts) => {
                let of = self.evaluate(of, scope)?;
                let mut bounds = [None, None, None];
                for (bound, part) in bounds.iter_mut().zip(parts) {
                    *bound = part.as_ref().map(|e| self.evaluate(e, scope)).transpose()?;
                }
                self.slice(&of, bounds)
            }
            Expr::Call(callee, arguments) => {
                let callee = self.evaluate(callee, scope)?;
                let args = self.arguments(arguments, scope)?;
                self.call(&callee, args)
            }
            Expr::Filter(of, filter) => {
                let value = self.evaluate(of, scope)?;
                self.filter(value, filter, scope)
            }
            Expr::Test(of, test) => {
                let value = self.evaluate(of, scope)?;
                let args = self.arguments(&test.arguments, scope)?;
                Ok(Value::Bool(tests::apply(self, &test.name, &value, args)?))
            }
        }
    }

    fn dict(&mut self, entries: &[(Expr, Expr)], scope: &Rc<Scope>) -> Result<Value> {
        let mut dict = Dict::default();
        for (key, value) in entries {
            let key = self.evaluate(key, scope)?;
            dict.insert(key, self.evaluate(value, scope)?)?;
        }
        Ok(Value::Dict(Rc::new(dict)))
    }

    fn concat(&mut self, parts: &[Expr], scope: &Rc<Scope>) -> Result<Value> {
        let mut text = String::new();
        for part in parts {
            let value = self.evaluate(part, scope)?;
            let part = self.str(&value)?;
            self.write(&part, &mut text)?;
        }
        Ok(Value::text(text))
    }

    pub fn filter(
        &mut self,
        value: Value,
        filter: &FilterCall,
        scope: &Rc<Scope>,
    ) -> Result<Value> {
        let args = self.arguments(&filter.arguments, scope)?;
        filters::apply(self, &filter.name, value, args)
    }

    fn compare(
        &mut self,
        first: &Expr,
        rest: &[(Comparison, Expr)],
        scope: &Rc<Scope>,
    ) -> Result<Value> {
        let mut left = self.evaluate(first, scope)?;
        for (comparison, right) in rest {
            let right = self.evaluate(right, scope)?;
            if !self.compares(*comparison, &left, &right)? {
                return Ok(Value::Bool(false));
            }
            left = right;
        }
        Ok(Value::Bool(true))
    }

    pub fn compares(&mut self, comparison: Comparison, a: &Value, b: &Value) -> Result<bool> {
        Ok(match comparison {
            Comparison::Equal => self.equal(a, b)?,
            Comparison::NotEqual => !self.equal(a, b)?,
            Comparison::In => self.contains(b, a)?,
            Comparison::NotIn => !self.contains(b, a)?,
            Comparison::Less => self.order(a, b, "<")?.is_some_and(|o| o.is_lt()),
            Comparison::LessOrEqual => self.order(a, b, "<=")?.is_some_and(|o| o.is_le()),
            Comparison::Greater => self.order(a, b, ">")?.is_some_and(|o| o.is_gt()),
            Comparison::GreaterOrEqual => self.order(a, b, ">=")?.is_some_and(|o| o.is_ge()),
        })
    }

    pub fn arguments(&mut self, arguments: &Arguments, scope: &Rc<Scope>) -> Result<Args> {
        let mut args =
            Args { positional: self.all(&arguments.positional, scope)?, named: Vec::new() };
        for (name, value) in &arguments.named {
            args.named.push((name.clone(), self.evaluate(value, scope)?));
        }
        if let Some(star) = &arguments.star {
            let value = self.evaluate(star, scope)?;
            args.positional.extend(self.iterate(&value)?);
        }
        if let Some(double_star) = &arguments.double_star {
            let Value::Dict(dict) = self.evaluate(double_star, scope)? else {
                return raise("an argument after ** must be a mapping");
            };
            self.charge_items(dict.len())?;
            for (key, value) in dict.iter() {
                let Value::Text(name) = key else {
                    return raise("keywords must be text");
                };
                if args.named.iter().any(|(n, _)| **n == *name.text) {
                    return raise(format!("got several values for argument '{}'", name.text));
                }
                args.named.push((name.text.clone(), value.clone()));
            }
        }
        Ok(args)
    }

    /// `value.name`: the attributes and methods of its type come before a mapping's keys.
    pub fn attribute(&mut self, value: &Value, name: &Rc<str>) -> Result<Value> {
        if let Some(found) = self.own_attribute(value, name)? {
            return Ok(found);
        }
        let entry = self.element(value, &Value::text(name.clone()))?;
        Ok(entry.unwrap_or_else(|| no_attribute(value, name)))
    }

    /// `value[index]`: elements come before attributes.
    pub fn item(&mut self, value: &Value, index: &Value) -> Result<Value> {
        if let Value::Undefined(why) = value {
            return raise(&**why);
        }
        if let Some(found) = self.element(value, index)? {
            return Ok(found);
        }
        let Value::Text(name) = index else {
            let index = self.repr(index)?;
            return Ok(Value::undefined(format!(
                "{} object has no element {index}",
                value.type_name()
            )));
        };
        let found = self.own_attribute(value, &name.text)?;
        Ok(found.unwrap_or_else(|| no_attribute(value, &name.text)))
    }

    /// What getattr finds; None if nothing.
    pub fn own_attribute(&mut self, value: &Value, name: &Rc<str>) -> Result<Option<Value>> {
        if name.starts_with("__") && !value.is_undefined() {
            return Ok(None);
        }
        Ok(match value {
            Value::Undefined(why) => return raise(&**why),
            Value::Namespace(attributes) => attributes.borrow().get_text(name).cloned(),
            Value::Loop(state) => return state.clone().attribute(self, value, name),
            Value::Macro(object) => object.attribute(name),
            Value::Cycler(cycler) if **name == *"current" => {
                Some(cycler.0[*cycler.1.borrow()].clone())
            }
            Value::Range(Range { start, stop, step }) => match &**name {
                "start" => Some(Value::Int(*start)),
                "stop" => Some(Value::Int(*stop)),
                "step" => Some(Value::Int(*step)),
                _ => super::methods::bound(value, name),
            },
            Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
                match (&**name, Number::of(value)) {
                    ("real", Some(Number::Float(x))) => Some(Value::Float(x)),
                    ("imag", Some(Number::Float(_))) => Some(Value::Float(0.0)),
                    ("real" | "numerator", Some(Number::Int(i))) => Some(Value::Int(i)),
                    ("imag", _) => Some(Value::Int(0)),
                    ("denominator", Some(Number::Int(_))) => Some(Value::Int(1)),
                    _ => super::methods::bound(value, name),
                }
            }
            _ => super::methods::bound(value, name),
        })
    }

    pub fn call(&mut self, callee: &Value, args: Args) -> Result<Value> {
        self.step()?;
        match callee {
            Value::Undefined(why) => raise(&**why),
            Value::Method(method) => self.deeper(|i| i.call_method(&method.0, &method.1, args)),
            Value::Function(name) => super::globals::call(self, name, args),
            Value::Macro(object) => Ok(Value::text(self.call_macro(object, args)?)),
            Value::Loop(state) => {
                let [iterable] = args.bind("loop", ["iterable"])?;
                let iterable = super::arguments::required(iterable, "loop", "iterable")?;
                Ok(Value::text(self.recurse(state, &iterable)?))
            }
            Value::Joiner(joiner) => {
                let [] = args.bind("joiner", [])?;
                let used = joiner.1.replace(true);
                Ok(if used { joiner.0.clone() } else { Value::text("") })
            }
            other => raise(format!("'{}' object is not callable", other.type_name())),
        }
    }
}

fn no_attribute(value: &Value, name: &str) -> Value {
    Value::undefined(format!("'{} object' has no attribute '{name}'", value.type_name()))
}

fn unary(operator: Unary, operand: Value) -> Result<Value> {
    if operator == Unary::Not {
        return Ok(Value::Bool(!operand.truth()));
    }
    if let Value::Undefined(why) = &operand {
        return raise(&**why);
    }
    match (operator, Number::of(&operand)) {
        (Unary::Positive, Some(Number::Int(i))) => Ok(Value::Int(i)),
        (Unary::Positive, Some(Number::Float(x))) => Ok(Value::Float(x)),
        (_, Some(Number::Float(x))) => Ok(Value::Float(-x)),
        (_, Some(number)) => arithmetic(super::ast::Binary::Subtract, Number::Int(0), number),
        _ => raise(format!("bad operand type for a sign: '{}'", operand.type_name())),
    }
}
