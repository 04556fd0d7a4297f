//! Expressions, with Jinja2's precedences: comparisons above `+`, `+` above `~`, `~` above `*`; a filter
//! or a test binds to the unary expression before it, and `**` groups to the left.

use super::ast::{Arguments, Binary, Comparison, Expr, FilterCall, Unary};
use super::error::Result;
use super::lexer::Token;
use super::parser::Parser;
use super::value::Value;
use super::{filters, tests};

/// Operations that may follow each other without brackets: each is a level of the tree.
const MAX_CHAIN: usize = 1000;

const MATH: [(&str, Binary); 4] = [
    ("*", Binary::Multiply),
    ("/", Binary::Divide),
    ("//", Binary::FloorDivide),
    ("%", Binary::Modulo),
];

const SUMS: [(&str, Binary); 2] = [("+", Binary::Add), ("-", Binary::Subtract)];

const COMPARISONS: [(&str, Comparison); 6] = [
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<", Comparison::Less),
    ("<=", Comparison::LessOrEqual),
    (">", Comparison::Greater),
    (">=", Comparison::GreaterOrEqual),
];

impl Parser {
    pub(super) fn expression(&mut self) -> Result<Expr> {
        self.nested(|p| p.conditional())
    }

    fn conditional(&mut self) -> Result<Expr> {
        let unknown = self.unknown.len();
        let mut value = self.or()?;
        for _ in 0..MAX_CHAIN {
            if !self.skip_word("if") {
                return Ok(value);
            }
            let test = Box::new(self.or()?);
            let otherwise = match self.skip_word("else") {
                true => Some(Box::new(self.nested(|p| p.conditional())?)),
                false => None,
            };
            self.unknown.truncate(unknown);
            value = Expr::Conditional { test, then: Box::new(value), otherwise };
        }
        self.fail("an expression is too long")
    }

    fn chain(
        &mut self,
        operand: fn(&mut Parser) -> Result<Expr>,
        mut step: impl FnMut(&mut Parser, Expr) -> Result<std::result::Result<Expr, Expr>>,
    ) -> Result<Expr> {
        let mut left = operand(self)?;
        for _ in 0..MAX_CHAIN {
            left = match step(self, left)? {
                Ok(longer) => longer,
                Err(done) => return Ok(done),
            };
        }
        self.fail("an expression is too long")
    }

    fn binary(
        &mut self,
        operators: &[(&str, Binary)],
        operand: fn(&mut Parser) -> Result<Expr>,
    ) -> Result<Expr> {
        self.chain(operand, |p, left| {
            let Some((_, operator)) = operators.iter().find(|(o, _)| p.at_operator(o)) else {
                return Ok(Err(left));
            };
            p.next();
            Ok(Ok(Expr::Binary(*operator, Box::new(left), Box::new(operand(p)?))))
        })
    }

    fn or(&mut self) -> Result<Expr> {
        self.chain(Parser::and, |p, left| match p.skip_word("or") {
            true => Ok(Ok(Expr::Or(Box::new(left), Box::new(p.and()?)))),
            false => Ok(Err(left)),
        })
    }

    fn and(&mut self) -> Result<Expr> {
        self.chain(Parser::not, |p, left| match p.skip_word("and") {
            true => Ok(Ok(Expr::And(Box::new(left), Box::new(p.not()?)))),
            false => Ok(Err(left)),
        })
    }

    fn not(&mut self) -> Result<Expr> {
        if self.skip_word("not") {
            return Ok(Expr::Unary(Unary::Not, Box::new(self.nested(Parser::not)?)));
        }
        let first = self.sum()?;
        let mut rest = Vec::new();
        while let Some(comparison) = self.comparison() {
            rest.push((comparison, self.sum()?));
        }
        Ok(if rest.is_empty() { first } else { Expr::Compare(Box::new(first), rest) })
    }

    fn comparison(&mut self) -> Option<Comparison> {
        if let Some((_, found)) = COMPARISONS.iter().find(|(o, _)| self.at_operator(o)) {
            self.next();
            return Some(*found);
        }
        if self.skip_word("in") {
            return Some(Comparison::In);
        }
        let not_in = matches!(self.peek_second(), Token::Name(name) if **name == *"in");
        if self.at_word("not") && not_in {
            self.next();
            self.next();
            return Some(Comparison::NotIn);
        }
        None
    }

    fn sum(&mut self) -> Result<Expr> {
        self.binary(&SUMS, Parser::concat)
    }

    fn concat(&mut self) -> Result<Expr> {
        let mut parts = vec![self.product()?];
        while self.skip_operator("~") {
            parts.push(self.product()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expr::Concat(parts) })
    }

    fn product(&mut self) -> Result<Expr> {
        self.binary(&MATH, Parser::power)
    }

    fn power(&mut self) -> Result<Expr> {
        self.binary(&[("**", Binary::Power)], |p| p.unary(true))
    }

    fn unary(&mut self, filters: bool) -> Result<Expr> {
        let operator = match self.peek() {
            Token::Operator("-") => Some(Unary::Negative),
            Token::Operator("+") => Some(Unary::Positive),
            _ => None,
        };
        let operand = match operator {
            Some(operator) => {
                self.next();
                let operand = self.nested(|p| p.unary(false))?;
                Expr::Unary(operator, Box::new(operand))
            }
            None => self.primary()?,
        };
        let mut expr = self.postfix(operand)?;
        if !filters {
            return Ok(expr);
        }
        for _ in 0..MAX_CHAIN {
            expr = if self.skip_operator("|") {
                Expr::Filter(Box::new(expr), self.filter_call()?)
            } else if self.skip_word("is") {
                self.test(expr)?
            } else if self.at_operator("(") {
                Expr::Call(Box::new(expr), self.arguments()?)
            } else {
                return Ok(expr);
            };
        }
        self.fail("an expression is too long")
    }

    fn primary(&mut self) -> Result<Expr> {
        let line = self.line();
        Ok(match self.next() {
            Token::Name(name) => match &*name {
                "true" | "True" => Expr::Const(Value::Bool(true)),
                "false" | "False" => Expr::Const(Value::Bool(false)),
                "none" | "None" => Expr::Const(Value::None),
                _ => Expr::Name(name),
            },
            Token::Text(text) => {
                let mut whole = text.to_string();
                while let Token::Text(more) = self.peek() {
                    whole.push_str(more);
                    self.next();
                }
                Expr::Const(Value::text(whole))
            }
            Token::Int(value) => Expr::Const(Value::Int(value)),
            Token::Float(value) => Expr::Const(Value::Float(value)),
            Token::Operator("(") => {
                let inner = match self.at_operator(")") {
                    true => Expr::Tuple(Vec::new()),
                    false => self.tuple(true)?,
                };
                self.expect_operator(")")?;
                inner
            }
            Token::Operator("[") => Expr::List(self.items("]")?),
            Token::Operator("{") => self.dict()?,
            other => {
                let message = format!("expected an expression, got {other:?}");
                return Err(super::error::Error::syntax(line, message));
            }
        })
    }

    /// One expression, or a tuple of several. `conditions`: they may be `a if b`.
    pub(super) fn tuple(&mut self, conditions: bool) -> Result<Expr> {
        let one = |p: &mut Parser| match conditions {
            true => p.expression(),
            false => p.nested(Parser::or),
        };
        let first = one(self)?;
        if !self.at_operator(",") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.skip_operator(",") {
            let ended = matches!(self.peek(), Token::VariableEnd | Token::BlockEnd)
                || self.at_operator(")")
                || self.at_word("recursive");
            if ended {
                break;
            }
            items.push(one(self)?);
        }
        Ok(Expr::Tuple(items))
    }

    /// Up to and past `close`.
    fn items(&mut self, close: &str) -> Result<Vec<Expr>> {
        let mut items = Vec::new();
        while !self.at_operator(close) {
            if !items.is_empty() {
                self.expect_operator(",")?;
                if self.at_operator(close) {
                    break;
                }
            }
            items.push(self.expression()?);
        }
        self.expect_operator(close)?;
        Ok(items)
    }

    fn dict(&mut self) -> Result<Expr> {
        let mut entries = Vec::new();
        while !self.at_operator("}") {
            if !entries.is_empty() {
                self.expect_operator(",")?;
                if self.at_operator("}") {
                    break;
                }
            }
            let key = self.expression()?;
            self.expect_operator(":")?;
            entries.push((key, self.expression()?));
        }
        self.expect_operator("}")?;
        Ok(Expr::Dict(entries))
    }

    fn postfix(&mut self, operand: Expr) -> Result<Expr> {
        let mut expr = operand;
        for _ in 0..MAX_CHAIN {
            expr = if self.skip_operator(".") {
                match self.next() {
                    Token::Name(name) => Expr::Attribute(Box::new(expr), name),
                    Token::Int(i) => Expr::Item(Box::new(expr), Box::new(Expr::Const(Value::Int(i)))),
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

    fn test(&mut self, value: Expr) -> Result<Expr> {
        let negated = self.skip_word("not");
        let name = self.dotted_name()?;
        if !tests::exists(&name) && !self.conditional {
            self.unknown.push((self.line(), format!("there is no test '{name}'")));
        }
        let ends = |p: &Parser| ["else", "or", "and"].iter().any(|word| p.at_word(word));
        let arguments = match self.peek() {
            Token::Operator("(") => self.arguments()?,
            Token::Name(_) | Token::Text(_) | Token::Int(_) | Token::Float(_)
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
