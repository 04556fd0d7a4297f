//! Chat templates: Jinja as Hugging Face's transformers set it up, rendered by minijinja. Templates come
//! with models and are not trusted, so each rendering runs on a thread of its own, with limits on its
//! steps, output, memory and time, and a stack that deeply nested values cannot exhaust.

use std::io;
use std::sync::{mpsc, Arc};
use std::time::Duration;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, Error, ErrorKind};
use minijinja_contrib::pycompat::unknown_method_callback;

use crate::failure::{guard, Failure, Result};
use crate::marking::{Marking, Rendered, Spellings};
use crate::quota;
use crate::tojson::tojson;

#[derive(Clone, Copy)]
pub struct Limits {
    /// Template instructions.
    pub steps: u64,
    pub output_bytes: usize,
    /// Everything the rendering allocates less what it frees.
    pub memory_bytes: usize,
    pub time: Duration,
}

/// Address space, not memory: pages are used as the recursion gets there. `steps` bounds how deep a
/// value can be nested, hence how deep dropping and printing it recurse.
const STACK_BYTES: usize = 512 << 20;

#[derive(Debug, PartialEq)]
pub enum Rendering {
    Done(Rendered),
    /// It used up its memory or its time, and a thread with what it held is lost.
    Overrun(&'static str),
}

/// What a template is rendered with.
#[derive(Clone)]
pub struct Variables {
    /// A JSON object of what others give, and a JSON object of what it finds as the model's own where they
    /// give nothing: the texts of bos_token and its like.
    pub given: String,
    pub own: String,
    /// The special tokens that are trusted where the template spells them.
    pub spellings: Arc<Spellings>,
}

pub fn render(source: &str, variables: &Variables, limits: Limits) -> Result<Rendering> {
    let (sender, receiver) = mpsc::channel();
    let (source, variables) = (source.to_string(), variables.clone());
    let thread = std::thread::Builder::new()
        .name("chat template".into())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            let stopped = sender.clone();
            let over_quota = move || {
                let _ = stopped.send(Ok(Rendering::Overrun("memory or time")));
            };
            let outcome = quota::limited(limits.memory_bytes, limits.time, over_quota, || {
                guard(|| render_here(&source, &variables, limits)).map(Rendering::Done)
            });
            let _ = sender.send(outcome); // nobody listens after a timeout
        });
    thread.map_err(|e| Failure::Internal(format!("no thread for the chat template: {e}")))?;
    // Twice the time: the quota itself stops the thread after `time`, at its next allocation.
    match receiver.recv_timeout(limits.time * 2) {
        Ok(outcome) => outcome,
        Err(_) => Ok(Rendering::Overrun("time")),
    }
}

fn too_much(what: &str) -> Failure {
    Failure::BadRequest(format!("the chat template takes too much {what}"))
}

fn render_here(source: &str, variables: &Variables, limits: Limits) -> Result<Rendered> {
    let mut given = object(&variables.given)?;
    let mut marking = Marking::new(&variables.spellings, source, &given);
    for (name, value) in object(&variables.own)? {
        let own = marking.own(value.as_str().unwrap_or_default())?;
        given.entry(name).or_insert(own.into());
    }
    let source = marking.template(&without_generation_tags(source))?;
    let rendered = render_bounded(&source, &given.into(), limits);
    rendered.map(|text| marking.unmark(&text)).map_err(|failure| match failure {
        Failure::BadRequest(message) => Failure::BadRequest(marking.unmark(&message).text),
        Failure::BadModel(message) => Failure::BadModel(marking.unmark(&message).text),
        other => other,
    })
}

fn object(json: &str) -> Result<serde_json::Map<String, serde_json::Value>> {
    serde_json::from_str(json)
        .map_err(|e| Failure::BadRequest(format!("the chat template's variables: {e}")))
}

fn render_bounded(source: &str, context: &serde_json::Value, limits: Limits) -> Result<String> {
    let environment = environment(limits.steps);
    let template = environment.template_from_str(source);
    let template = template
        .map_err(|e| Failure::BadModel(format!("the chat template does not parse: {e}")))?;
    let mut output = BoundedOutput { bytes: Vec::new(), limit: limits.output_bytes, full: false };
    let rendered = template.render_captured_to(Value::from(Serde(context)), &mut output);
    if output.full {
        return Err(too_much("room"));
    }
    match rendered {
        Ok(_) => String::from_utf8(output.bytes).map_err(|e| Failure::Internal(e.to_string())),
        Err(e) if e.kind() == ErrorKind::OutOfFuel => Err(too_much("time")),
        Err(e) => Err(Failure::BadRequest(format!("the chat template failed: {e}"))),
    }
}

fn environment(steps: u64) -> Environment<'static> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("the default delimiters are valid"));
    environment.set_unknown_method_callback(unknown_method_callback);
    environment.set_fuel(Some(steps));
    environment.add_filter("tojson", tojson);
    environment.add_test("iterable", is_iterable);
    environment.add_test("sequence", is_sequence);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
    environment
}

/// As in Python, None cannot be iterated over: templates ask `tools is iterable and tools|length > 0`.
fn is_iterable(value: &Value) -> bool {
    !value.is_none() && value.try_iter().is_ok()
}

/// As in Jinja2, where text and mappings have a length and elements too.
fn is_sequence(value: &Value) -> bool {
    use minijinja::value::ValueKind::{Map, Seq, String, Undefined};
    matches!(value.kind(), Seq | Map | String | Undefined)
}

fn raise_exception(message: String) -> std::result::Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// The local time, as Python's datetime.now().strftime(format).
fn strftime_now(format: String) -> std::result::Result<String, Error> {
    use std::fmt::Write;
    let mut text = String::new();
    write!(text, "{}", chrono::Local::now().format(&format)).map_err(|_| {
        Error::new(ErrorKind::InvalidOperation, format!("strftime_now: bad format '{format}'"))
    })?;
    Ok(text)
}

/// {% generation %} ... {% endgeneration %} marks the assistant's tokens for training; here it is a
/// block that is always taken, with the same control of white space.
fn without_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at);
        out.push_str(before);
        let end = tag.find("%}").map_or(tag.len(), |i| i + 2);
        let inner = tag[2..end].trim_end_matches("%}");
        let word = inner.trim_matches(['-', '+']).trim();
        let statement = match word {
            "generation" => "if true",
            "endgeneration" => "endif",
            "raw" => {
                let end = tag.find("endraw").unwrap_or(tag.len());
                out.push_str(&tag[..end]);
                rest = &tag[end..];
                continue;
            }
            _ => {
                // Only past the opening: a string in the tag may hold "%}".
                out.push_str("{%");
                rest = &tag[2..];
                continue;
            }
        };
        out.push_str(&tag[..end].replacen(word, statement, 1));
        rest = &tag[end..];
    }
    out.push_str(rest);
    out
}

struct BoundedOutput {
    bytes: Vec<u8>,
    limit: usize,
    full: bool,
}

impl io::Write for BoundedOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.limit - self.bytes.len() {
            self.full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        steps: 2_000_000,
        output_bytes: 1 << 20,
        memory_bytes: 64 << 20,
        time: Duration::from_secs(5),
    };

    fn variables(given: &str) -> Variables {
        let spellings = Spellings::new(["<s>", "<|end|>"].into_iter()).unwrap();
        Variables { given: given.into(), own: "{}".into(), spellings: Arc::new(spellings) }
    }

    fn rendered(source: &str, context: &str) -> String {
        match render(source, &variables(context), LIMITS).unwrap() {
            Rendering::Done(rendered) => rendered.text,
            overrun => panic!("{overrun:?}"),
        }
    }

    fn refused(source: &str) -> String {
        render(source, &variables("{}"), LIMITS).unwrap_err().to_string()
    }

    #[test]
    fn blocks_are_trimmed_as_by_transformers() {
        let source =
            "{% for m in messages %}\n  {% if true %}\n{{ m.role }}\n  {% endif %}\n{% endfor %}\n";
        assert_eq!(rendered(source, r#"{"messages": [{"role": "user"}]}"#), "user\n");
    }

    #[test]
    fn values_print_as_in_python() {
        let source = "{{ a }} {{ b }} {{ c }} {{ d }} {{ a ~ b }} {{ [a, b]|join('+') }}";
        let context = r#"{"a": true, "b": null, "c": ["x", 1.5], "d": {"k": false}}"#;
        let expected = "True None ['x', 1.5] {'k': False} TrueNone True+None";
        assert_eq!(rendered(source, context), expected);
    }

    #[test]
    fn tojson_is_pythons() {
        let context =
            r#"{"v": {"z": [1, 2.0, 1e-7, 1e20, true, null], "a": "<é\n\u0001>", "e": {}}}"#;
        assert_eq!(
            rendered("{{ v|tojson }}", context),
            r#"{"z": [1, 2.0, 1e-07, 1e+20, true, null], "a": "<é\n\u0001>", "e": {}}"#
        );
        assert_eq!(
            rendered("{{ {'b': [1], 'a': ''}|tojson(indent=2) }}", "{}"),
            "{\n  \"b\": [\n    1\n  ],\n  \"a\": \"\"\n}"
        );
    }

    #[test]
    fn generation_tags_leave_their_body() {
        let source = "a {%- generation -%} b {%- endgeneration %} c{% set x = '%}' %}";
        assert_eq!(rendered(source, "{}"), "ab c");
        let raw = "{% raw %}{% generation %}{% endraw %}";
        assert_eq!(rendered(raw, "{}"), "{% generation %}");
    }

    #[test]
    fn python_methods_and_loop_controls_work() {
        let source = "{% for x in [1,2,3,4] %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 4 %}{% break %}{% endif %}{{ x }}{% endfor %}{{ ' a '.strip().upper() }}{{ {'k': 1}.get('z', 'none') }}{{ 'a,b'.split(',')[::-1]|join }}";
        assert_eq!(rendered(source, "{}"), "13Anoneba");
    }

    #[test]
    fn only_the_templates_special_tokens_are_trusted() {
        let source = "{{ bos_token }}{% set x = m|replace('-', '') %}{{ x ~ '<|end|>' }}";
        let mut variables = variables(r#"{"m": "<s><|e-nd|>"}"#);
        variables.own = r#"{"bos_token": "<s>", "m": "not used"}"#.into();
        let Rendering::Done(rendered) = render(source, &variables, LIMITS).unwrap() else {
            panic!()
        };
        assert_eq!(rendered.text, "<s><s><|end|><|end|>");
        assert_eq!(rendered.trusted, [0..3, 13..20]);
        assert!(refused("{{ raise_exception('no <s>') }}").contains("no <s>"));
    }

    #[test]
    fn a_raised_exception_is_a_bad_request() {
        let message = refused("{{ raise_exception('roles must alternate') }}");
        assert!(message.starts_with("bad_request: ") && message.contains("roles must alternate"));
        assert!(refused("{% for %}").starts_with("bad_model: "));
    }

    #[test]
    fn endless_work_is_refused() {
        let nested =
            "{% for a in range(9999) %}{% for b in range(9999) %}{{ a }}{% endfor %}{% endfor %}";
        assert!(refused(nested).contains("too much"));
        let recursion = "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}";
        assert!(refused(recursion).starts_with("bad_request: "));
        assert!(refused("{{ 'abcdefgh' * 1000000 }}").contains("too much room"));
    }

    #[test]
    fn doubling_a_string_is_given_up() {
        let source = "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}";
        let outcome = render(source, &variables("{}"), LIMITS).unwrap();
        assert!(matches!(outcome, Rendering::Overrun(_)));
    }

    #[test]
    fn slow_steps_are_given_up() {
        let source = "{% set x = 'ab' * 10000000 %}{% for i in range(90000) %}{% set y = x|upper %}{% endfor %}";
        let limits = Limits { time: Duration::from_millis(300), ..LIMITS };
        assert!(matches!(render(source, &variables("{}"), limits), Ok(Rendering::Overrun(_))));
    }

    #[test]
    fn deep_nesting_ends_cleanly() {
        let nest = "{% set ns = namespace(x=[]) %}{% for i in range(10) %}{% for j in range(99999) %}{% set ns.x = [ns.x] %}{% endfor %}{% endfor %}";
        let limits = Limits { steps: 4_000_000, memory_bytes: 512 << 20, ..LIMITS };
        let _ = render(nest, &variables("{}"), limits); // drops the value at its deepest
        let print = nest.replace("range(10)", "range(3)") + "{{ ns.x }}";
        let _ = render(&print, &variables("{}"), limits);
    }
}
