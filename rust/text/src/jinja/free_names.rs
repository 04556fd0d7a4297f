//! Whether a macro's body uses one of the names that make it take more arguments than it lists.

use super::ast::{Arguments, Body, Expr, FilterCall, Statement, Target};

/// `name` is read in `body` before the body itself assigns it.
pub fn uses(body: &Body, name: &str) -> bool {
    matches!(search(body, name), Found::Read)
}

enum Found {
    Read,
    Assigned,
    Nothing,
}

fn search(body: &Body, name: &str) -> Found {
    for node in body {
        let found = statement(&node.statement, name);
        if !matches!(found, Found::Nothing) {
            return found;
        }
    }
    Found::Nothing
}

fn found(read: bool) -> Found {
    if read {
        Found::Read
    } else {
        Found::Nothing
    }
}

fn statement(s: &Statement, name: &str) -> Found {
    match s {
        Statement::Text(_) | Statement::Load(_) | Statement::Break | Statement::Continue => {
            Found::Nothing
        }
        Statement::Output(values) => found(values.iter().any(|e| expr(e, name))),
        Statement::For(f) => {
            let header = expr(&f.iterable, name) || f.test.iter().any(|e| expr(e, name));
            found(
                header
                    || !assigns(&f.target, name) && uses(&f.body, name)
                    || uses(&f.otherwise, name),
            )
        }
        Statement::If { branches, otherwise } => {
            let read = branches.iter().any(|(test, body)| expr(test, name) || uses(body, name));
            found(read || uses(otherwise, name))
        }
        Statement::Set { target, value } if expr(value, name) || reads(target, name) => Found::Read,
        Statement::Set { target, .. } if assigns(target, name) => Found::Assigned,
        Statement::Set { .. } => Found::Nothing,
        Statement::SetBlock { target, filters, body } => {
            if filters.iter().any(|f| call(f, name)) || uses(body, name) || reads(target, name) {
                return Found::Read;
            }
            if assigns(target, name) {
                Found::Assigned
            } else {
                Found::Nothing
            }
        }
        Statement::FilterBlock { filters, body } => {
            found(filters.iter().any(|f| call(f, name)) || uses(body, name))
        }
        Statement::With { bindings, body } => {
            let read = bindings.iter().any(|(_, e)| expr(e, name));
            let hidden = bindings.iter().any(|(t, _)| assigns(t, name));
            found(read || !hidden && uses(body, name))
        }
        Statement::Macro(m) => {
            let read = m.defaults.iter().any(|e| expr(e, name)) || uses(&m.body, name);
            if *m.name == *name && !read {
                Found::Assigned
            } else {
                found(read)
            }
        }
        Statement::Call { call: e, caller } => found(
            expr(e, name)
                || caller.defaults.iter().any(|e| expr(e, name))
                || uses(&caller.body, name),
        ),
        Statement::Scope(body) => found(uses(body, name)),
        Statement::Block(_) => Found::Nothing,
    }
}

fn assigns(target: &Target, name: &str) -> bool {
    match target {
        Target::Name(n) => **n == *name,
        Target::Tuple(targets) => targets.iter().any(|t| assigns(t, name)),
        Target::Attribute(..) => false,
    }
}

fn reads(target: &Target, name: &str) -> bool {
    match target {
        Target::Name(_) => false,
        Target::Tuple(targets) => targets.iter().any(|t| reads(t, name)),
        Target::Attribute(namespace, _) => **namespace == *name,
    }
}

fn call(f: &FilterCall, name: &str) -> bool {
    arguments(&f.arguments, name)
}

fn arguments(a: &Arguments, name: &str) -> bool {
    let stars = a.star.iter().chain(&a.double_star);
    a.positional.iter().any(|e| expr(e, name))
        || a.named.iter().any(|(_, e)| expr(e, name))
        || stars.into_iter().any(|e| expr(e, name))
}

fn expr(e: &Expr, name: &str) -> bool {
    match e {
        Expr::Const(_) => false,
        Expr::Name(n) => **n == *name,
        Expr::List(items) | Expr::Tuple(items) | Expr::Concat(items) => {
            items.iter().any(|e| expr(e, name))
        }
        Expr::Dict(entries) => entries.iter().any(|(k, v)| expr(k, name) || expr(v, name)),
        Expr::Unary(_, a) | Expr::Attribute(a, _) => expr(a, name),
        Expr::Binary(_, a, b) | Expr::And(a, b) | Expr::Or(a, b) | Expr::Item(a, b) => {
            expr(a, name) || expr(b, name)
        }
        Expr::Compare(first, rest) => expr(first, name) || rest.iter().any(|(_, e)| expr(e, name)),
        Expr::Conditional { test, then, otherwise } => {
            expr(test, name) || expr(then, name) || otherwise.iter().any(|e| expr(e, name))
        }
        Expr::Slice(of, parts) => expr(of, name) || parts.iter().flatten().any(|e| expr(e, name)),
        Expr::Call(of, args) => expr(of, name) || arguments(args, name),
        Expr::Filter(of, f) | Expr::Test(of, f) => expr(of, name) || call(f, name),
    }
}
