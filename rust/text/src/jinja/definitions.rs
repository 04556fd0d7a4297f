//! Macros, `call` blocks, and the names that statements assign to.

use std::rc::Rc;

use super::ast::{Body, Expr, Macro, Name, Statement, Target};
use super::error::Result;
use super::free_names::uses;
use super::lexer::Token;
use super::parser::Parser;

impl Parser {
    pub(super) fn macro_definition(&mut self) -> Result<Statement> {
        let name = self.assignable()?;
        let parsed = self.in_function(|p| {
            let (parameters, defaults) = p.signature()?;
            let body = p.block_body("endmacro")?;
            Ok(macro_of(name, parameters, defaults, body))
        })?;
        Ok(Statement::Macro(Rc::new(parsed)))
    }

    pub(super) fn call_block(&mut self) -> Result<Statement> {
        let (parameters, defaults) = match self.at_operator("(") {
            true => self.in_function(Parser::signature)?,
            false => Default::default(),
        };
        let call = self.expression()?;
        if !matches!(call, Expr::Call(..)) {
            return self.fail("expected a call");
        }
        let body = self.in_function(|p| p.block_body("endcall"))?;
        let caller = macro_of("caller".into(), parameters, defaults, body);
        Ok(Statement::Call { call, caller: Rc::new(caller) })
    }

    fn signature(&mut self) -> Result<(Vec<Name>, Vec<Expr>)> {
        let (mut parameters, mut defaults) = (Vec::new(), Vec::new());
        self.expect_operator("(")?;
        while !self.at_operator(")") {
            if !parameters.is_empty() {
                self.expect_operator(",")?;
            }
            let name = self.assignable()?;
            if parameters.contains(&name) {
                return self.fail(format!("parameter '{name}' is there twice"));
            }
            parameters.push(name);
            if self.skip_operator("=") {
                defaults.push(self.expression()?);
            } else if !defaults.is_empty() {
                return self.fail("a parameter without a default follows one with a default");
            } else if parameters.last().is_some_and(|p| **p == *"caller") {
                return self.fail("the special parameter 'caller' needs a default");
            }
        }
        self.expect_operator(")")?;
        Ok((parameters, defaults))
    }

    /// A name that can be assigned to.
    pub(super) fn assignable(&mut self) -> Result<Name> {
        let name = self.name()?;
        match &*name {
            "true" | "false" | "none" | "True" | "False" | "None" => {
                self.fail(format!("cannot assign to '{name}'"))
            }
            _ => Ok(name),
        }
    }

    /// What `set`, `for` and `with` assign to: names, perhaps in tuples. `attributes`: `ns.x` as well.
    pub(super) fn target(&mut self, attributes: bool) -> Result<Target> {
        let first = self.single_target(attributes)?;
        if !self.at_operator(",") {
            return Ok(first);
        }
        let mut targets = vec![first];
        while self.skip_operator(",") {
            if self.at_word("in") || self.at_operator(")") {
                break;
            }
            targets.push(self.single_target(attributes)?);
        }
        Ok(Target::Tuple(targets))
    }

    fn single_target(&mut self, attributes: bool) -> Result<Target> {
        if self.skip_operator("(") {
            let inner = self.nested(|p| p.target(attributes))?;
            self.expect_operator(")")?;
            return Ok(inner);
        }
        if attributes && matches!(self.peek_second(), Token::Operator(".")) {
            let namespace = self.name()?;
            self.next();
            return Ok(Target::Attribute(namespace, self.name()?));
        }
        if !attributes && self.at_word("loop") && self.loop_target() {
            return self.fail("cannot assign to the special variable 'loop'");
        }
        Ok(Target::Name(self.assignable()?))
    }

    /// `with` may assign to `loop`, a `for` may not.
    fn loop_target(&self) -> bool {
        !matches!(self.peek_second(), Token::Operator("="))
    }
}

fn macro_of(name: Name, parameters: Vec<Name>, defaults: Vec<Expr>, body: Body) -> Macro {
    let [uses_varargs, uses_kwargs, uses_caller] =
        ["varargs", "kwargs", "caller"].map(|special| uses(&body, special));
    Macro { name, parameters, defaults, body, uses_varargs, uses_kwargs, uses_caller }
}
