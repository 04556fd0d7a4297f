//! What follows an operand: attributes, elements, calls, filters and tests.

use super::ast::{Arguments, Expr, FilterCall, Unary};
use super::error::Result;
use super::expressions::MAX_CHAIN;
use super::lexer::Token;
use super::parser::Parser;
use super::value::Value;
use super::{filters, tests};

impl Parser {
    pub(super) fn postfix(&mut self, operand: Expr) -> Result<Expr> {
        let mut expr = operand;
        for _ in 0..MAX_CHAIN {
            expr = if self.skip_operator(".") {
                match self.next() {
                    Token::Name(name) => Expr::Attribute(Box::new(expr), name),
                    Token::Int(i) => {
                        Expr::Item(Box::new(expr), Box::new(Expr::Const(Value::Int(i))))
                    }
                    _ => return self.fail("expected a name or a number after '.'"),
                }
            } else if self.skip_operator("[") {
                self.subscript(expr)?
            } else if self.at_operator("(") {
                Expr::Call(Box::new(expr), self.arguments()?)
            } else {
                return Ok(expr);
            };
        }
        self.fail("an expression is too long")
    }

    fn subscript(&mut self, of: Expr) -> Result<Expr> {
        let of = Box::new(of);
        let first = match self.at_operator(":") {
            true => None,
            false => Some(Box::new(self.expression()?)),
        };
        if !self.at_operator(":") {
            let Some(index) = first else { return self.fail("expected an index") };
            let mut items = vec![*index];
            while self.skip_operator(",") && !self.at_operator("]") {
                items.push(self.expression()?);
            }
            self.expect_operator("]")?;
            let index = if items.len() == 1 { items.remove(0) } else { Expr::Tuple(items) };
            return Ok(Expr::Item(of, Box::new(index)));
        }
        let mut parts = [first, None, None];
        for part in &mut parts[1..] {
            if self.skip_operator(":") && !self.at_operator("]") && !self.at_operator(":") {
                *part = Some(Box::new(self.expression()?));
            }
        }
        self.expect_operator("]")?;
        Ok(Expr::Slice(of, parts))
    }

    pub(super) fn arguments(&mut self) -> Result<Arguments> {
        self.expect_operator("(")?;
        let mut arguments = Arguments::default();
        let mut first = true;
        while !self.at_operator(")") {
            if !std::mem::take(&mut first) {
                self.expect_operator(",")?;
                if self.at_operator(")") {
                    break;
                }
            }
            self.argument(&mut arguments)?;
        }
        self.expect_operator(")")?;
        Ok(arguments)
    }

    fn argument(&mut self, arguments: &mut Arguments) -> Result<()> {
        let named = matches!(self.peek(), Token::Name(_))
            && matches!(self.peek_second(), Token::Operator("="));
        if arguments.double_star.is_some() || arguments.star.is_some() && self.at_operator("*") {
            return self.fail("an argument after '**', or '*' twice");
        }
        if self.skip_operator("*") {
            arguments.star = Some(Box::new(self.expression()?));
        } else if self.skip_operator("**") {
            arguments.double_star = Some(Box::new(self.expression()?));
        } else if named {
            let name = self.name()?;
            self.next();
            if arguments.named.iter().any(|(n, _)| *n == name) {
                return self.fail(format!("argument '{name}' is there twice"));
            }
            arguments.named.push((name, self.expression()?));
        } else if !arguments.named.is_empty() || arguments.star.is_some() {
            return self.fail("a positional argument after a named one");
        } else {
            arguments.positional.push(self.expression()?);
        }
        Ok(())
    }

    fn dotted_name(&mut self) -> Result<String> {
        let mut name = self.name()?.to_string();
        while self.skip_operator(".") {
            name.push('.');
            name.push_str(&self.name()?);
        }
        Ok(name)
    }

    pub(super) fn filter_call(&mut self) -> Result<FilterCall> {
        let name = self.dotted_name()?;
        if !filters::exists(&name) && !self.conditional {
            self.unknown.push((self.line(), format!("there is no filter '{name}'")));
        }
        let arguments = match self.at_operator("(") {
            true => self.arguments()?,
            false => Arguments::default(),
        };
        Ok(FilterCall { name: name.into(), arguments })
    }

    pub(super) fn test(&mut self, value: Expr) -> Result<Expr> {
        let negated = self.skip_word("not");
        let name = self.dotted_name()?;
        if !tests::exists(&name) && !self.conditional {
            self.unknown.push((self.line(), format!("there is no test '{name}'")));
        }
        let ends = |p: &Parser| ["else", "or", "and"].iter().any(|word| p.at_word(word));
        let arguments = match self.peek() {
            Token::Operator("(") => self.arguments()?,
            Token::Name(_)
            | Token::Text(_)
            | Token::Int(_)
            | Token::Float(_)
            | Token::Operator("[" | "{")
                if !ends(self) =>
            {
                if self.at_word("is") {
                    return self.fail("tests cannot be chained with 'is'");
                }
                let operand = self.primary()?;
                Arguments { positional: vec![self.postfix(operand)?], ..Default::default() }
            }
            _ => Arguments::default(),
        };
        let test = Expr::Test(Box::new(value), FilterCall { name: name.into(), arguments });
        Ok(if negated { Expr::Unary(Unary::Not, Box::new(test)) } else { test })
    }
}
