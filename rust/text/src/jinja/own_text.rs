//! What of a template's own text its rendering may write out: what stands between the tags, and the string
//! literals in them. Left out are literals that are only compared with other strings ("'</think>' in content",
//! "content.split('</think>')", keys): nothing of them gets out.

use std::rc::Rc;

use super::ast::{Arguments, Body, Expr, FilterCall, Macro, Statement};
use super::value::Value;

/// Methods of strings and mappings that look for their arguments.
const COMPARING_METHODS: &[&str] = &[
    "split",
    "rsplit",
    "startswith",
    "endswith",
    "strip",
    "lstrip",
    "rstrip",
    "replace",
    "find",
    "rfind",
    "index",
    "rindex",
    "count",
    "partition",
    "rpartition",
    "removeprefix",
    "removesuffix",
    "get",
    "pop",
];
const COMPARING_FILTERS: &[&str] =
    &["split", "replace", "trim", "select", "reject", "selectattr", "rejectattr"];

/// Of these only for the first: the next is what is written instead.
const FIRST_ONLY: &[&str] = &["replace", "get", "pop"];

/// What becomes of a text.
#[derive(Clone, Copy, PartialEq)]
enum Use {
    Written,
    Compared,
}
use Use::{Compared, Written};

/// Puts what `change` makes of it in the place of each such text.
pub fn change_own_texts<E>(
    body: &mut Body,
    change: &mut impl FnMut(&str) -> Result<String, E>,
) -> Result<(), E> {
    Walk { change }.body(body)
}

struct Walk<'c, F> {
    change: &'c mut F,
}

/// Of a template that was just parsed, nobody else holds a part.
fn only<T>(part: &mut Rc<T>) -> &mut T {
    Rc::get_mut(part).expect("a parsed template shares no parts")
}

fn written_if(is_written: bool) -> Use {
    if is_written {
        Written
    } else {
        Compared
    }
}

impl<E, F: FnMut(&str) -> Result<String, E>> Walk<'_, F> {
    fn body(&mut self, body: &mut Body) -> Result<(), E> {
        body.iter_mut().try_for_each(|node| self.statement(&mut node.statement))
    }

    fn statement(&mut self, statement: &mut Statement) -> Result<(), E> {
        match statement {
            Statement::Text(text) => *text = (self.change)(text)?.into(),
            Statement::Output(values) => self.all(values, Written)?,
            Statement::For(f) => {
                let f = only(f);
                self.expr(&mut f.iterable, Written)?;
                self.all(&mut f.test, Written)?;
                self.body(&mut f.body)?;
                self.body(&mut f.otherwise)?;
            }
            Statement::If { branches, otherwise } => {
                for (test, body) in branches {
                    self.expr(test, Written)?;
                    self.body(body)?;
                }
                self.body(otherwise)?;
            }
            Statement::Set { value, .. } => self.expr(value, Written)?,
            Statement::SetBlock { filters, body, .. }
            | Statement::FilterBlock { filters, body } => {
                filters.iter_mut().try_for_each(|filter| self.filter(filter))?;
                self.body(body)?;
            }
            Statement::With { bindings, body } => {
                self.all(bindings.iter_mut().map(|(_, value)| value), Written)?;
                self.body(body)?;
            }
            Statement::Macro(m) => self.macro_of(m)?,
            Statement::Call { call, caller } => {
                self.expr(call, Written)?;
                self.macro_of(caller)?;
            }
            Statement::Scope(body) | Statement::Block(body) => self.body(body)?,
            Statement::Load(_) | Statement::Break | Statement::Continue => {}
        }
        Ok(())
    }

    fn macro_of(&mut self, m: &mut Rc<Macro>) -> Result<(), E> {
        let m = only(m);
        self.all(&mut m.defaults, Written)?;
        self.body(&mut m.body)
    }

    fn all<'e>(
        &mut self,
        exprs: impl IntoIterator<Item = &'e mut Expr>,
        becomes: Use,
    ) -> Result<(), E> {
        exprs.into_iter().try_for_each(|expr| self.expr(expr, becomes))
    }

    fn expr(&mut self, expr: &mut Expr, becomes: Use) -> Result<(), E> {
        match expr {
            Expr::Const(Value::Text(text)) if becomes == Written => {
                *expr = Expr::Const(Value::text((self.change)(&text.text)?));
                Ok(())
            }
            Expr::Const(_) | Expr::Name(_) => Ok(()),
            Expr::List(items) | Expr::Tuple(items) | Expr::Concat(items) => {
                self.all(items, becomes)
            }
            Expr::Dict(members) => members.iter_mut().try_for_each(|(key, value)| {
                self.expr(key, Compared)?;
                self.expr(value, becomes)
            }),
            Expr::Unary(_, operand) | Expr::Attribute(operand, _) => self.expr(operand, becomes),
            Expr::Binary(_, a, b) | Expr::And(a, b) | Expr::Or(a, b) => {
                self.expr(a, becomes)?;
                self.expr(b, becomes)
            }
            Expr::Compare(first, rest) => {
                self.expr(first, Compared)?;
                self.all(rest.iter_mut().map(|(_, operand)| operand), Compared)
            }
            Expr::Conditional { test, then, otherwise } => {
                self.expr(test, Written)?;
                self.expr(then, becomes)?;
                self.all(otherwise.as_deref_mut(), becomes)
            }
            Expr::Item(object, key) => {
                self.expr(object, becomes)?;
                self.expr(key, Compared)
            }
            Expr::Slice(object, parts) => {
                self.expr(object, becomes)?;
                self.all(parts.iter_mut().filter_map(|part| part.as_deref_mut()), Written)
            }
            Expr::Call(callee, arguments) => {
                self.expr(callee, becomes)?;
                let method = match &**callee {
                    Expr::Attribute(_, name) => &**name,
                    _ => "",
                };
                self.arguments(arguments, COMPARING_METHODS.contains(&method), method)
            }
            Expr::Filter(subject, filter) => {
                self.expr(subject, becomes)?;
                self.filter(filter)
            }
            Expr::Test(subject, test) => {
                self.expr(subject, Compared)?;
                self.arguments(&mut test.arguments, true, "")
            }
        }
    }

    fn filter(&mut self, filter: &mut FilterCall) -> Result<(), E> {
        let compares = COMPARING_FILTERS.contains(&&*filter.name);
        self.arguments(&mut filter.arguments, compares, &filter.name)
    }

    fn arguments(
        &mut self,
        arguments: &mut Arguments,
        compares: bool,
        callee: &str,
    ) -> Result<(), E> {
        let rest = written_if(!compares || FIRST_ONLY.contains(&callee));
        let mut positional = arguments.positional.iter_mut();
        self.all(positional.next(), written_if(!compares))?;
        self.all(positional, rest)?;
        self.all(arguments.named.iter_mut().map(|(_, value)| value), rest)?;
        self.all(arguments.star.as_deref_mut(), rest)?;
        self.all(arguments.double_star.as_deref_mut(), rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jinja::parser::parse;

    fn texts(source: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut note = |text: &str| {
            found.extend(Some(text.to_string()).filter(|text| !text.is_empty()));
            Ok::<_, ()>(text.to_string())
        };
        change_own_texts(&mut parse(source).unwrap(), &mut note).unwrap();
        found
    }

    #[test]
    fn text_and_literals_that_are_written_out_are_found() {
        assert_eq!(
            texts("a {{ 'b' ~ \"c\\\"d\" }}e{# f #}{%- if x %} g {% endif -%}"),
            ["a ", "b", "c\"d", "e", " g "]
        );
        assert_eq!(texts("{{ {'k': {'l': 'v'}} }}}}"), ["v", "}}"]);
        assert_eq!(texts("{% set x = ('a', f('b')) %}{{ x ~ ('}}') }}"), ["a", "b", "}}"]);
        assert_eq!(texts("{% raw %}{{ 'a' }}{% endraw %}{{ 'b' }}"), ["{{ 'a' }}", "b"]);
        assert_eq!(texts("{ % {{'é'}}"), ["{ % ", "é"]);
        assert_eq!(
            texts("{% macro m(x='a') %}b{% endmacro %}{% call m('c') %}d{% endcall %}"),
            ["a", "b", "c", "d"]
        );
        assert_eq!(texts("{{ '\\x3c|end|>' 'x' }}"), ["<|end|>x"]);
    }

    #[test]
    fn literals_that_are_compared_are_left_out() {
        for compared in [
            "'a' in x",
            "'a' not in x",
            "x == 'a'",
            "'a' != x",
            "x in ['a', 'b']",
            "x in ('a')",
            "x.split('a')[-1]",
            "x.startswith(('a', 'b'))",
            "m['a']",
            "m.get('a')",
            "f(x)['a']",
            "x|selectattr('a', 'equalto', 'b')",
            "x is in 'a' and 'b' == y",
            "x is equalto('a') or 'b' is string",
        ] {
            let source = format!("{{{{ {compared} }}}}");
            assert_eq!(texts(&source), [""; 0], "{compared}");
        }
        assert_eq!(texts("{{ x.replace('a', 'b') ~ y|replace('c', 'd') }}"), ["b", "d"]);
        assert_eq!(
            texts("{% for x in ['a', 'b'] if x in ['c'] %}{{ m.get('d', 'e') }}{% endfor %}"),
            ["a", "b", "e"]
        );
        assert_eq!(texts("{{ x.f('a') ~ g('b') ~ ['c'] }}"), ["a", "b", "c"]);
        assert_eq!(texts("{% if x == 'a' %}{{ 'b' }}{% endif %}"), ["b"]);
    }
}
