//! Jinja2's filters, by name.

mod numbers;
mod pretty;
mod select;
mod sequences;
mod strings;
mod tojson;
mod wrap;

use super::arguments::Args;
use super::error::{raise, Result};
use super::interpreter::Interpreter;
use super::value::Value;

type Filter = fn(&mut Interpreter, Value, Args) -> Result<Value>;

const FILTERS: [(&str, Filter); 54] = [
    ("abs", numbers::abs),
    ("attr", select::attr),
    ("batch", sequences::batch),
    ("capitalize", strings::capitalize),
    ("center", strings::center),
    ("count", sequences::length),
    ("d", select::default),
    ("default", select::default),
    ("dictsort", sequences::dictsort),
    ("e", strings::escape),
    ("escape", strings::escape),
    ("filesizeformat", numbers::filesizeformat),
    ("first", sequences::first),
    ("float", numbers::float),
    ("forceescape", strings::forceescape),
    ("format", strings::format),
    ("groupby", select::groupby),
    ("indent", strings::indent),
    ("int", numbers::int),
    ("items", sequences::items),
    ("join", sequences::join),
    ("last", sequences::last),
    ("length", sequences::length),
    ("list", sequences::list),
    ("lower", strings::lower),
    ("map", select::map),
    ("max", select::max),
    ("min", select::min),
    ("pprint", pretty::pprint),
    ("random", not_supported),
    ("reject", select::reject),
    ("rejectattr", select::rejectattr),
    ("replace", strings::replace),
    ("reverse", sequences::reverse),
    ("round", numbers::round),
    ("safe", strings::safe),
    ("select", select::select),
    ("selectattr", select::selectattr),
    ("slice", sequences::slice),
    ("sort", select::sort),
    ("string", strings::string),
    ("striptags", strings::striptags),
    ("sum", select::sum),
    ("title", strings::title),
    ("tojson", tojson::tojson),
    ("trim", strings::trim),
    ("truncate", strings::truncate),
    ("unique", select::unique),
    ("upper", strings::upper),
    ("urlencode", strings::urlencode),
    ("urlize", not_supported),
    ("wordcount", strings::wordcount),
    ("wordwrap", wrap::wordwrap),
    ("xmlattr", strings::xmlattr),
];

fn find(name: &str) -> Option<Filter> {
    let found = FILTERS.binary_search_by(|(n, _)| (*n).cmp(name));
    found.ok().map(|i| FILTERS[i].1)
}

pub fn exists(name: &str) -> bool {
    find(name).is_some()
}

pub fn apply(interpreter: &mut Interpreter, name: &str, value: Value, args: Args) -> Result<Value> {
    interpreter.step()?;
    match find(name) {
        Some(filter) => filter(interpreter, value, args),
        None => raise(format!("there is no filter '{name}'")),
    }
}

fn not_supported(_: &mut Interpreter, _: Value, _: Args) -> Result<Value> {
    raise("this filter is not supported: 'random' has no one answer, 'urlize' makes HTML")
}

#[cfg(test)]
mod unit_tests {
    #[test]
    fn the_table_is_sorted() {
        assert!(super::FILTERS.is_sorted_by(|a, b| a.0 < b.0));
    }
}
