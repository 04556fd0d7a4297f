"""Small templates, by kind, that ours and transformers' Jinja2 must treat alike: the same text, or an error in both."""

from jinja_cases import errors, filters, lists, numbers, printing, statements, strings, undefined, whitespace

# What the templates can name.
CONTEXT = {
    "s": "Hello, wörld",
    "words": "the quick brown fox",
    "ws": "  a  b\tc \n",
    "path": "a/b/c.txt",
    "quote": "it's \"so\"",
    "empty": "",
    "html": "<b>1 & 2</b>",
    "n": 7,
    "neg": -7,
    "x": 2.5,
    "big": 1e16,
    "tiny": 0.00001,
    "t": True,
    "f": False,
    "nothing": None,
    "items": [3, 1, 2],
    "names": ["bob", "Alice", "carol"],
    "mixed": [1, "a", None, 2.0],
    "nested": [[1, 2], [3, [4]]],
    "d": {"b": 1, "a": "two", "items": [5], "C": None},
    "users": [
        {"name": "Bob", "age": 30, "tags": ["x"]},
        {"name": "alice", "age": 25, "tags": []},
        {"name": "Carol", "age": 30, "tags": ["y", "z"]},
    ],
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi <there>"},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]},
    ],
}

KINDS = {
    "strings": strings.CASES,
    "numbers": numbers.CASES,
    "lists": lists.CASES,
    "filters": filters.CASES,
    "printing": printing.CASES,
    "statements": statements.CASES,
    "undefined": undefined.CASES,
    "whitespace": whitespace.CASES,
    "errors": errors.CASES,
}
