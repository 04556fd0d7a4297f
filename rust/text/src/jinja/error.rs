//! Why a template could not be parsed or rendered.

use std::fmt;

#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Jinja2's TemplateSyntaxError: the source is at fault whatever the variables are.
    Syntax,
    /// An exception while rendering: Python's, Jinja2's or the template's own.
    Raised,
    /// A limit was reached: "time", "room".
    TooMuch(&'static str),
}

#[derive(Debug, Clone)]
pub struct Error {
    pub kind: Kind,
    pub message: String,
    /// Of the statement, 0 while unknown.
    pub line: u32,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn raised(message: impl Into<String>) -> Error {
        Error { kind: Kind::Raised, message: message.into(), line: 0 }
    }

    pub fn syntax(line: u32, message: impl Into<String>) -> Error {
        Error { kind: Kind::Syntax, message: message.into(), line }
    }

    pub fn too_much(what: &'static str) -> Error {
        Error { kind: Kind::TooMuch(what), message: String::new(), line: 0 }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.kind, self.line) {
            (Kind::TooMuch(what), _) => write!(f, "it takes too much {what}"),
            (_, 0) => f.write_str(&self.message),
            (_, line) => write!(f, "line {line}: {}", self.message),
        }
    }
}

/// As Python's `raise`.
pub fn raise<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::raised(message))
}
