//! Expressions, with Jinja2's precedences: comparisons above `+`, `+` above `~`, `~` above `*`; a filter
//! or a test binds to the unary expression before it, and `**` groups to the left.

use super::ast::{Binary, Comparison, Expr, Unary};
use super::error::Result;
use super::lexer::Token;
use super::parser::Parser;
use super::value::Value;

/// Operations that may follow each other without brackets: each is a level of the tree.
pub(super) const MAX_CHAIN: usize = 1000;

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

    pub(super) fn primary(&mut self) -> Result<Expr> {
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
}
