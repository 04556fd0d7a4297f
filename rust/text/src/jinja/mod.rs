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

pub use error::Kind;
pub use interpreter::Limits;

use error::Result;
use interpreter::Interpreter;
use value::Value;

/// `variables` is a JSON object; its keys keep their order.
pub fn render(source: &str, variables: &serde_json::Value, limits: Limits) -> Result<String> {
    let body = parser::parse(source)?;
    let variables = match Value::from(variables) {
        Value::Dict(dict) => (*dict).clone(),
        _ => dict::Dict::default(),
    };
    Interpreter::new(variables, limits).render(&body)
}
