//! Jinja2 as Hugging Face's transformers sets it up for chat templates: the language with Python's values
//! behind it, because templates call Python's methods and print Python's values. Templates are untrusted:
//! every step is counted, and sizes are checked before anything is made.
//!
//! Based on Jinja2's and Python's documentation; tests/text compares with the originals. README.md lists
//! what differs.

mod arguments;
mod ast;
mod compare;
mod definitions;
mod dict;
mod error;
mod evaluate;
mod expressions;
mod filters;
mod format;
mod free_names;
mod globals;
mod html;
mod interpreter;
mod lexer;
mod literals;
mod loops;
mod macros;
mod methods;
mod number_format;
mod operators;
mod own_text;
mod parser;
mod percent;
mod print;
mod sequences;
mod strftime;
mod string_methods;
mod suffixes;
mod tests;
mod text_search;
mod unicode;
mod value;

pub use error::{Error, Kind};
pub use interpreter::Limits;

use ast::Body;
use error::Result;
use interpreter::Interpreter;
use value::Value;

pub struct Template(Body);

impl Template {
    pub fn parse(source: &str) -> Result<Template> {
        parser::parse(source).map(Template)
    }

    /// See own_text.rs.
    pub fn change_own_texts<E>(
        &mut self,
        mut change: impl FnMut(&str) -> std::result::Result<String, E>,
    ) -> std::result::Result<(), E> {
        own_text::change_own_texts(&mut self.0, &mut change)
    }

    /// `variables` is a JSON object; its keys keep their order.
    pub fn render(&self, variables: &serde_json::Value, limits: Limits) -> Result<String> {
        let variables = match Value::from(variables) {
            Value::Dict(dict) => (*dict).clone(),
            _ => dict::Dict::default(),
        };
        Interpreter::new(variables, limits).render(&self.0)
    }
}
