//! Statements, as Jinja2 parses them. Expressions are in expressions.rs.

use std::rc::Rc;

use super::ast::{Body, FilterCall, For, Name, Node, Statement};
use super::error::{Error, Result};
use super::lexer::{tokenize, Token};

/// Python's parser gives up at a nesting of about this depth as well.
const MAX_DEPTH: usize = 200;

pub struct Parser {
    tokens: Vec<(u32, Token)>,
    at: usize,
    depth: usize,
    /// Filters and tests that do not exist. Jinja2 refuses the template for them at once, except where
    /// they stand in an `if` and may never be reached.
    pub(super) unknown: Vec<(u32, String)>,
    pub(super) conditional: bool,
    /// Loops that a `break` here would leave.
    loops: usize,
    blocks: Vec<Name>,
}

pub fn parse(source: &str) -> Result<Body> {
    let mut parser = Parser {
        tokens: tokenize(source)?,
        at: 0,
        depth: 0,
        unknown: Vec::new(),
        conditional: false,
        loops: 0,
        blocks: Vec::new(),
    };
    let body = parser.body(&[])?;
    match parser.unknown.pop() {
        Some((line, message)) => Err(Error::syntax(line, message)),
        None => Ok(body),
    }
}

impl Parser {
    pub(super) fn peek(&self) -> &Token {
        &self.tokens[self.at].1
    }

    pub(super) fn peek_second(&self) -> &Token {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)].1
    }

    pub(super) fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    pub(super) fn line(&self) -> u32 {
        self.tokens[self.at].0
    }

    pub(super) fn fail<T>(&self, message: impl Into<String>) -> Result<T> {
        Err(Error::syntax(self.line(), message))
    }

    pub(super) fn at_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Name(name) if **name == *word)
    }

    pub(super) fn at_operator(&self, operator: &str) -> bool {
        matches!(self.peek(), Token::Operator(o) if *o == operator)
    }

    pub(super) fn skip_word(&mut self, word: &str) -> bool {
        let found = self.at_word(word);
        self.at += usize::from(found);
        found
    }

    pub(super) fn skip_operator(&mut self, operator: &str) -> bool {
        let found = self.at_operator(operator);
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect_operator(&mut self, operator: &str) -> Result<()> {
        if self.skip_operator(operator) {
            return Ok(());
        }
        self.fail(format!("expected '{operator}', got {:?}", self.peek()))
    }

    pub(super) fn name(&mut self) -> Result<Name> {
        match self.next() {
            Token::Name(name) => Ok(name),
            other => self.fail(format!("expected a name, got {other:?}")),
        }
    }

    pub(super) fn nested<T>(&mut self, parse: impl FnOnce(&mut Parser) -> Result<T>) -> Result<T> {
        if self.depth >= MAX_DEPTH {
            return self.fail("nested too deeply");
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    /// Up to a block whose name is one of `ends`, which is the next token then; up to the end if none.
    fn body(&mut self, ends: &[&str]) -> Result<Body> {
        let mut body = Body::new();
        loop {
            let line = self.line();
            let statement = match self.next() {
                Token::Data(text) => Statement::Text(text),
                Token::VariableBegin => {
                    let expr = self.tuple(true)?;
                    self.expect(Token::VariableEnd)?;
                    Statement::Output(vec![expr])
                }
                Token::BlockBegin => {
                    if ends.iter().any(|end| self.at_word(end)) {
                        return Ok(body);
                    }
                    let statement = self.nested(Parser::statement)?;
                    self.expect(Token::BlockEnd)?;
                    statement
                }
                Token::End if ends.is_empty() => return Ok(body),
                _ => return self.fail(format!("the template ends, expected one of {ends:?}")),
            };
            body.push(Node { line, statement });
        }
    }

    pub(super) fn expect(&mut self, token: Token) -> Result<()> {
        if *self.peek() == token {
            self.next();
            return Ok(());
        }
        self.fail(format!("expected {token:?}, got {:?}", self.peek()))
    }

    /// The end of an opening tag; a colon as in Python may stand before it.
    fn tag_end(&mut self) -> Result<()> {
        self.skip_operator(":");
        self.expect(Token::BlockEnd)
    }

    /// The body of a block, from the end of its opening tag to past the word that closes it.
    pub(super) fn block_body(&mut self, end: &str) -> Result<Body> {
        self.tag_end()?;
        let body = self.body(&[end])?;
        self.next();
        Ok(body)
    }

    /// `parse` where unknown filters count again, as Jinja2 compiles a new frame for it.
    fn in_frame<T>(&mut self, parse: impl FnOnce(&mut Parser) -> Result<T>) -> Result<T> {
        let outer = std::mem::replace(&mut self.conditional, false);
        let parsed = parse(self);
        self.conditional = outer;
        parsed
    }

    /// The same for what Jinja2 compiles to a function: no `break` leaves it.
    pub(super) fn in_function<T>(
        &mut self,
        parse: impl FnOnce(&mut Parser) -> Result<T>,
    ) -> Result<T> {
        let loops = std::mem::replace(&mut self.loops, 0);
        let parsed = self.in_frame(parse);
        self.loops = loops;
        parsed
    }

    fn statement(&mut self) -> Result<Statement> {
        let word = self.name()?;
        match &*word {
            "for" => self.for_loop(),
            "if" => self.if_chain(),
            "set" => self.set(),
            "with" => self.with(),
            "macro" => self.macro_definition(),
            "call" => self.call_block(),
            "filter" => self.in_frame(|p| {
                let filters = p.filters()?;
                let body = p.block_body("endfilter")?;
                Ok(Statement::FilterBlock { filters, body })
            }),
            "print" => self.print(),
            "block" => self.block(),
            "generation" => {
                let body = self.in_function(|p| p.block_body("endgeneration"))?;
                Ok(Statement::Scope(body))
            }
            "break" | "continue" if self.loops == 0 => {
                self.fail(format!("'{word}' outside a loop"))
            }
            "break" => Ok(Statement::Break),
            "continue" => Ok(Statement::Continue),
            "include" => self.load("include"),
            "import" => self.load("import"),
            "from" => self.load("import"),
            "extends" => self.load("extends"),
            _ => self.fail(format!("unknown tag '{word}'")),
        }
    }

    fn load(&mut self, what: &'static str) -> Result<Statement> {
        while !matches!(self.peek(), Token::BlockEnd | Token::End) {
            self.next();
        }
        Ok(Statement::Load(what))
    }

    fn for_loop(&mut self) -> Result<Statement> {
        let target = self.target(false)?;
        if !self.skip_word("in") {
            return self.fail("expected 'in'");
        }
        let iterable = self.tuple(false)?;
        let test = match self.skip_word("if") {
            true => Some(self.in_frame(Parser::expression)?),
            false => None,
        };
        let recursive = self.skip_word("recursive");
        self.tag_end()?;
        self.loops += 1;
        let body = self.in_frame(|p| p.body(&["endfor", "else"]));
        self.loops -= 1;
        let body = body?;
        let otherwise = match &*self.name()? {
            "else" => self.in_frame(|p| p.block_body("endfor"))?,
            _ => Body::new(),
        };
        let parsed = For { target, iterable, test, recursive, body, otherwise };
        Ok(Statement::For(Rc::new(parsed)))
    }

    fn if_chain(&mut self) -> Result<Statement> {
        let outer = std::mem::replace(&mut self.conditional, true);
        let mut branches = Vec::new();
        let mut otherwise = Body::new();
        loop {
            let test = self.tuple(false)?;
            self.tag_end()?;
            branches.push((test, self.body(&["elif", "else", "endif"])?));
            match &*self.name()? {
                "elif" => continue,
                "else" => otherwise = self.block_body("endif")?,
                _ => {}
            }
            break;
        }
        self.conditional = outer;
        Ok(Statement::If { branches, otherwise })
    }

    fn set(&mut self) -> Result<Statement> {
        let target = self.target(true)?;
        if self.skip_operator("=") {
            let value = self.tuple(true)?;
            return Ok(Statement::Set { target, value });
        }
        self.in_frame(|p| {
            let filters = if p.skip_operator("|") { p.filters()? } else { Vec::new() };
            let body = p.block_body("endset")?;
            Ok(Statement::SetBlock { target, filters, body })
        })
    }

    fn filters(&mut self) -> Result<Vec<FilterCall>> {
        let mut filters = vec![self.filter_call()?];
        while self.skip_operator("|") {
            filters.push(self.filter_call()?);
        }
        Ok(filters)
    }

    fn with(&mut self) -> Result<Statement> {
        let mut bindings = Vec::new();
        while *self.peek() != Token::BlockEnd {
            if !bindings.is_empty() {
                self.expect_operator(",")?;
            }
            let target = self.target(false)?;
            self.expect_operator("=")?;
            bindings.push((target, self.expression()?));
        }
        let body = self.in_frame(|p| p.block_body("endwith"))?;
        Ok(Statement::With { bindings, body })
    }

    fn print(&mut self) -> Result<Statement> {
        let mut values = Vec::new();
        while *self.peek() != Token::BlockEnd {
            if !values.is_empty() {
                self.expect_operator(",")?;
            }
            values.push(self.expression()?);
        }
        Ok(Statement::Output(values))
    }

    fn block(&mut self) -> Result<Statement> {
        let name = self.name()?;
        if self.blocks.contains(&name) {
            return self.fail(format!("block '{name}' is there twice"));
        }
        self.blocks.push(name.clone());
        self.skip_word("scoped");
        if self.skip_word("required") {
            return self.fail("a required block has nothing to replace it");
        }
        let body = self.in_function(|p| p.block_body("endblock"))?;
        self.skip_word(&name);
        Ok(Statement::Block(body))
    }
}
