//! Chat templates, rendered by jinja/. They come with models and are not trusted, so each rendering runs
//! on a thread of its own, with limits on its steps, output, memory and time, and a stack that deeply
//! nested values cannot exhaust.

use std::sync::Arc;
use std::time::Duration;

use crate::failure::{guard, Failure, Result};
use crate::jinja;
use crate::marking::{Marking, Rendered, Spellings};
use crate::quota::{self, Overrun, Quota};

#[derive(Clone, Copy)]
pub struct Limits {
    /// See jinja::Limits.
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
    let (source, variables) = (source.to_string(), variables.clone());
    let quota = Quota { bytes: limits.memory_bytes, time: limits.time, stack_bytes: STACK_BYTES };
    let body = move || guard(|| render_here(&source, &variables, limits));
    Ok(match quota::within(quota, "chat template", body)? {
        Ok(rendered) => Rendering::Done(rendered?),
        Err(Overrun(what)) => Rendering::Overrun(what),
    })
}

fn render_here(source: &str, variables: &Variables, limits: Limits) -> Result<Rendered> {
    let mut given = object(&variables.given)?;
    let mut marking = Marking::new(&variables.spellings, source, &given);
    for (name, value) in object(&variables.own)? {
        let own = marking.own(value.as_str().unwrap_or_default())?;
        given.entry(name).or_insert(own.into());
    }
    let mut template = jinja::Template::parse(source).map_err(failure_of)?;
    marking.template(&mut template)?;
    let limits = jinja::Limits {
        steps: limits.steps,
        output_bytes: limits.output_bytes,
        memory_bytes: limits.memory_bytes,
    };
    let rendered = template.render(&given.into(), limits).map_err(failure_of);
    rendered.map(|text| marking.unmark(&text)).map_err(|failure| match failure {
        Failure::BadRequest(message) => Failure::BadRequest(marking.unmark(&message).text),
        Failure::BadModel(message) => Failure::BadModel(marking.unmark(&message).text),
        other => other,
    })
}

fn failure_of(error: jinja::Error) -> Failure {
    match error.kind {
        jinja::Kind::Syntax => {
            Failure::BadModel(format!("the chat template does not parse: {error}"))
        }
        jinja::Kind::Raised => Failure::BadRequest(format!("the chat template failed: {error}")),
        jinja::Kind::TooMuch(what) => {
            Failure::BadRequest(format!("the chat template takes too much {what}"))
        }
    }
}

fn object(json: &str) -> Result<serde_json::Map<String, serde_json::Value>> {
    serde_json::from_str(json)
        .map_err(|e| Failure::BadRequest(format!("the chat template's variables: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        steps: 2_000_000,
        output_bytes: 1 << 20,
        memory_bytes: 64 << 20,
        time: Duration::from_secs(30), // a busy machine is slow
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
    }

    #[test]
    fn sizes_are_checked_before_anything_is_made() {
        let huge = [
            "'x' * 10**9",
            "'x'.ljust(10**12)",
            "'x'.zfill(10**12)",
            "'x'.center(10**30)",
            "'%1000000000s' % 1",
            "'%.1000000000f' % 1.5",
            "'%*d' % (10**12, 1)",
            "'{:1000000000}'.format(1)",
            "'{:{}}'.format(1, 10**15)",
            "[0] * 10**9",
            "(1,) * 10**9",
            "[[0] * 10000] * 10000",
            "'x'|indent(10**12, true)",
            "[1]|tojson(indent=10**12)",
            "('a' * 10000).replace('a', 'x' * 10000)",
            "'\\t'.expandtabs(10**12)",
            "'x'|center(10**12)",
            "(['x' * 10000] * 10000)|join",
            "[[1]]|batch(10**12, 1)|list",
            "strftime_now('%A' * 500000)",
        ];
        for source in huge {
            let message = refused(&format!("{{{{ {source} }}}}"));
            assert!(message.contains("too much room"), "{source}: {message}");
        }
        let doubling = "{% set ns = namespace(x='ab', y=[1], z=(1,)) %}{% for i in range(60) %}";
        for step in ["x = ns.x ~ ns.x", "x = ns.x + ns.x", "y = ns.y + ns.y"] {
            let message = refused(&format!("{doubling}{{% set ns.{step} %}}{{% endfor %}}"));
            assert!(message.contains("too much"), "{step}: {message}");
        }
    }

    #[test]
    fn values_that_share_their_parts_are_not_unfolded() {
        for end in [
            "{{ ns.x }}",
            "{{ ns.x == ns.y }}",
            "{{ ns.x|tojson }}",
            "{{ {ns.x: 1} }}",
            "{{ ns.x|pprint }}",
        ] {
            let fold = "{% set ns = namespace(x=(1,), y=(1,)) %}{% for i in range(60) %}{% set ns.x = (ns.x, ns.x) %}{% set ns.y = (ns.y, ns.y) %}{% endfor %}";
            let message = refused(&format!("{fold}{end}"));
            assert!(message.contains("too "), "{end}: {message}");
        }
    }

    #[test]
    fn recursion_and_nesting_end() {
        let (open, close) = ("(".repeat(100_000), ")".repeat(100_000));
        let endless = [
            "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}".to_string(),
            "{% macro f(a=f()) %}{% endmacro %}{{ f() }}".to_string(),
            "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}".to_string(),
            "{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}".to_string(),
            format!("{{{{ {open}1{close} }}}}"),
            format!("{{{{ {}1 }}}}", "-".repeat(100_000)),
            format!("{{{{ 1{} }}}}", "+1".repeat(100_000)),
            format!("{{{{ a{} }}}}", "|upper".repeat(100_000)),
            "{% if 1 %}".repeat(100_000),
        ];
        for source in endless {
            let message = refused(&source);
            assert!(
                ["recursion", "deeply", "long"].iter().any(|word| message.contains(word)),
                "{message}"
            );
        }
    }

    #[test]
    fn an_error_names_its_line() {
        assert!(refused("a\n{% if true %}\n{{ missing.x }}\n{% endif %}")
            .contains("line 3: 'missing' is undefined"));
        assert!(refused("a\n{{ 1 + }}").contains("line 2"));
    }

    #[test]
    fn slow_steps_are_given_up() {
        let source = "{% set x = 'ab' * 500000 %}{% for i in range(90000) %}{% set y = x|upper %}{% endfor %}";
        let limits = Limits { time: Duration::from_millis(1), ..LIMITS };
        assert!(matches!(render(source, &variables("{}"), limits), Ok(Rendering::Overrun(_))));
        assert!(refused(source).contains("too much time"));
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
