//! Macros, and `call` blocks, whose body is a macro named `caller`.

use std::rc::Rc;

use super::arguments::Args;
use super::ast::{Expr, Macro};
use super::error::{raise, Result};
use super::interpreter::{Interpreter, Scope};
use super::value::Value;

pub struct MacroObject {
    pub definition: Rc<Macro>,
    /// Where it was defined.
    pub scope: Rc<Scope>,
}

impl MacroObject {
    pub fn attribute(&self, name: &str) -> Option<Value> {
        let definition = &self.definition;
        match name {
            "name" => Some(Value::text(definition.name.clone())),
            "arguments" => {
                let names = definition.parameters.iter().map(|p| Value::text(p.clone()));
                Some(Value::tuple(names.collect()))
            }
            "catch_kwargs" => Some(Value::Bool(definition.uses_kwargs)),
            "catch_varargs" => Some(Value::Bool(definition.uses_varargs)),
            "caller" => Some(Value::Bool(definition.uses_caller)),
            _ => None,
        }
    }
}

impl Interpreter {
    pub fn call_macro(&mut self, object: &Rc<MacroObject>, args: Args) -> Result<String> {
        let definition = &object.definition;
        let scope = Scope::within(&object.scope);
        self.bind_parameters(definition, &scope, args)?;
        let mut text = String::new();
        self.calling(|i| i.run(&definition.body, &scope, &mut text))?;
        Ok(text)
    }

    fn bind_parameters(
        &mut self,
        definition: &Macro,
        scope: &Rc<Scope>,
        mut args: Args,
    ) -> Result<()> {
        let Macro { name: macro_name, parameters, defaults, .. } = definition;
        let positional = parameters.len().min(args.positional.len());
        let extra = args.positional.split_off(positional);
        let mut given: Vec<Option<Value>> = args.positional.into_iter().map(Some).collect();
        for name in &parameters[positional..] {
            given.push(take_named(&mut args.named, name));
        }
        if definition.uses_caller && !parameters.iter().any(|p| **p == *"caller") {
            let caller =
                take_named(&mut args.named, "caller").filter(|v| !matches!(v, Value::None));
            let caller = caller.unwrap_or_else(|| Value::undefined("no caller defined"));
            scope.set(&"caller".into(), caller);
        }
        if definition.uses_kwargs {
            let mut kwargs = super::dict::Dict::default();
            args.named.drain(..).for_each(|(name, value)| kwargs.insert_text(&name, value));
            scope.set(&"kwargs".into(), Value::Dict(Rc::new(kwargs)));
        } else if let Some((name, _)) = args.named.first() {
            return raise(format!("macro '{macro_name}' takes no keyword argument '{name}'"));
        }
        if definition.uses_varargs {
            scope.set(&"varargs".into(), Value::tuple(extra));
        } else if !extra.is_empty() {
            let most = parameters.len();
            return raise(format!("macro '{macro_name}' takes not more than {most} arguments"));
        }
        let required = parameters.len() - defaults.len();
        for (i, (name, value)) in parameters.iter().zip(given).enumerate() {
            let value = match (value, i.checked_sub(required)) {
                (Some(value), _) => value,
                (None, Some(default)) => self.evaluate(&defaults[default], scope)?,
                (None, None) => Value::undefined(format!("parameter '{name}' was not provided")),
            };
            scope.set(name, value);
        }
        Ok(())
    }

    pub fn call_block(
        &mut self,
        call: &Expr,
        caller: &Rc<Macro>,
        scope: &Rc<Scope>,
    ) -> Result<Rc<str>> {
        let Expr::Call(callee, arguments) = call else { return raise("not a call") };
        let callee = self.evaluate(callee, scope)?;
        let mut args = self.arguments(arguments, scope)?;
        if args.named.iter().any(|(name, _)| **name == *"caller") {
            return raise("got several values for keyword argument 'caller'");
        }
        let object = MacroObject { definition: caller.clone(), scope: scope.clone() };
        self.captured(scope);
        args.named.push(("caller".into(), Value::Macro(Rc::new(object))));
        let value = self.call(&callee, args)?;
        self.str(&value)
    }
}

fn take_named(named: &mut Vec<(Rc<str>, Value)>, name: &str) -> Option<Value> {
    let at = named.iter().position(|(n, _)| **n == *name)?;
    Some(named.remove(at).1)
}
