//! What goes wrong on this side of the boundary, and the one place where panics stop.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Once;

/// The kinds of sluice::Error that this crate can cause. `Display` is read by ffi.cpp: "kind: message".
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    BadRequest(String),
    BadModel(String),
    Unsupported(String),
    Internal(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, message) = match self {
            Failure::BadRequest(message) => ("bad_request", message),
            Failure::BadModel(message) => ("bad_model", message),
            Failure::Unsupported(message) => ("unsupported", message),
            Failure::Internal(message) => ("internal", message),
        };
        write!(f, "{kind}: {}", printable(message))
    }
}

/// One line that a terminal shows as it is, whatever a file or a template put into it: control characters
/// (C0, DEL, C1), line separators and what changes the direction of text as escapes. No NUL either: C++
/// reads it as a C string.
fn printable(message: &str) -> String {
    let mut line = String::with_capacity(message.len());
    for c in message.chars() {
        match u32::from(c) {
            0x0a | 0x0d => line.push(' '),
            code @ (0..=0x1f | 0x7f..=0x9f) => line.push_str(&format!("\\x{code:02x}")),
            code @ (0x61c | 0x200e | 0x200f | 0x2028..=0x202e | 0x2066..=0x2069) => {
                line.push_str(&format!("\\u{code:04x}"));
            }
            _ => line.push(c),
        }
    }
    line
}

impl std::error::Error for Failure {}

pub type Result<T> = std::result::Result<T, Failure>;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `body`; a panic in it becomes Failure::Internal. Every exported function is one guard.
pub fn guard<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        // The library never prints: a guarded panic is reported by its error alone.
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                previous(info);
            }
        }));
    });
    let outer = GUARDED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(body));
    GUARDED.set(outer);
    outcome.unwrap_or_else(|panic| Err(Failure::Internal(panic_message(panic))))
}

fn panic_message(panic: Box<dyn Any + Send>) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_string())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    format!("panic in rust/text: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_internal_failure() {
        let failure = guard::<()>(|| panic!("boom")).unwrap_err();
        assert_eq!(failure, Failure::Internal("panic in rust/text: boom".into()));
    }

    #[test]
    fn a_message_is_one_line() {
        assert_eq!(Failure::BadModel("a\nb\0c".into()).to_string(), "bad_model: a b\\x00c");
    }

    #[test]
    fn a_message_cannot_command_a_terminal() {
        let hostile =
            "\u{1b}]0;owned\u{7} \u{7f}\u{9b}31m \u{202e}abc\u{2066}\u{200f}\u{61c}\u{2028} é🙂\t.";
        let shown = "bad_request: \\x1b]0;owned\\x07 \\x7f\\x9b31m \\u202eabc\\u2066\\u200f\\u061c\\u2028 é🙂\\x09.";
        assert_eq!(Failure::BadRequest(hostile.into()).to_string(), shown);
    }
}
