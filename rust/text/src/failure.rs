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
        // One line whatever a dependency wrote, and no NUL: C++ reads it as a C string.
        let line = message.replace(['\n', '\r', '\0'], " ");
        write!(f, "{kind}: {line}")
    }
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
        assert_eq!(Failure::BadModel("a\nb\0c".into()).to_string(), "bad_model: a b c");
    }
}
