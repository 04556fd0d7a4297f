//! `|wordwrap`: Python's textwrap, line by line.

use crate::jinja::arguments::{given, int_or, text, truth_or, Args};
use crate::jinja::error::{raise, Result};
use crate::jinja::interpreter::Interpreter;
use crate::jinja::text_search::lines;
use crate::jinja::unicode::{is_alpha, is_numeric};
use crate::jinja::value::Value;

struct Options {
    width: usize,
    break_long_words: bool,
    break_on_hyphens: bool,
}

pub fn wordwrap(i: &mut Interpreter, value: Value, args: Args) -> Result<Value> {
    let [width, long, wrapstring, hyphens] =
        args.bind("wordwrap", ["width", "break_long_words", "wrapstring", "break_on_hyphens"])?;
    let this = text(&value, "wordwrap")?;
    let separator = given(wrapstring).map_or(Ok("\n".into()), |w| text(&w, "wordwrap"))?;
    let width = if this.is_empty() { 79 } else { int_or(width, 79, "wordwrap")? };
    let options = Options {
        width: usize::try_from(width).unwrap_or(0),
        break_long_words: truth_or(&long, true),
        break_on_hyphens: truth_or(&hyphens, true),
    };
    let mut wrapped = Vec::new();
    i.charge(this.len() * 8)?;
    for line in lines(&this, false) {
        if options.width == 0 {
            return raise(format!("wordwrap: invalid width {width}"));
        }
        let rows = wrap(line, &options);
        i.charge_items(rows.len())?;
        wrapped.push(rows.join(&separator));
    }
    let mut out = String::new();
    for (n, line) in wrapped.iter().enumerate() {
        if n > 0 {
            i.write(&separator, &mut out)?;
        }
        i.write(line, &mut out)?;
    }
    Ok(Value::text(out))
}

fn is_blank(c: char) -> bool {
    matches!(c, '\t'..='\r' | ' ')
}

/// As Vec::pop_if, which Rust 1.85 has not.
fn pop_if<T>(items: &mut Vec<T>, is_wanted: impl Fn(&T) -> bool) -> Option<T> {
    if items.last().is_some_and(is_wanted) {
        items.pop()
    } else {
        None
    }
}

fn wrap(line: &str, options: &Options) -> Vec<String> {
    let chars: Vec<char> = line.chars().collect();
    let mut chunks = chunks(&chars, options.break_on_hyphens);
    chunks.reverse();
    let blank = |chunk: &[char]| chunk.iter().all(|&c| is_blank(c));
    let mut rows: Vec<String> = Vec::new();
    while !chunks.is_empty() {
        let mut row: Vec<char> = Vec::new();
        let mut last_blank = 0;
        if !rows.is_empty() && chunks.last().is_some_and(|c| blank(c)) {
            chunks.pop();
        }
        while let Some(chunk) = pop_if(&mut chunks, |c| row.len() + c.len() <= options.width) {
            last_blank = if blank(chunk) { chunk.len() } else { 0 };
            row.extend(chunk);
        }
        if let Some(long) = pop_if(&mut chunks, |c| c.len() > options.width) {
            let room = options.width - row.len();
            let (head, tail) = broken(long, room, row.is_empty(), options);
            last_blank = if head.is_empty() { last_blank } else { 0 };
            row.extend(head);
            if !tail.is_empty() {
                chunks.push(tail);
            }
        }
        row.truncate(row.len() - last_blank);
        if !row.is_empty() {
            rows.push(row.into_iter().collect());
        }
    }
    rows
}

/// What of a chunk that is longer than a row goes into this one, which has `room`.
fn broken<'a>(
    chunk: &'a [char],
    room: usize,
    alone: bool,
    options: &Options,
) -> (&'a [char], &'a [char]) {
    if !options.break_long_words {
        return chunk.split_at(if alone { chunk.len() } else { 0 });
    }
    let mut end = room;
    if options.break_on_hyphens {
        let hyphen = chunk[..room].iter().rposition(|&c| c == '-').filter(|&h| h > 0);
        if let Some(hyphen) = hyphen.filter(|&h| chunk[..h].iter().any(|&c| c != '-')) {
            end = hyphen + 1;
        }
    }
    chunk.split_at(end)
}

/// White space, words and, within words, parts that end in a hyphen or are a dash.
fn chunks(chars: &[char], hyphens: bool) -> Vec<&[char]> {
    let mut chunks = Vec::new();
    let mut start = 0;
    for at in 1..=chars.len() {
        let ends = at == chars.len()
            || is_blank(chars[at]) != is_blank(chars[at - 1])
            || hyphens && (after_hyphen(chars, start, at) || at_dash(chars, at));
        if ends {
            chunks.push(&chars[start..at]);
            start = at;
        }
    }
    chunks
}

fn is_word(c: char) -> bool {
    c == '_' || is_alpha(c) || is_numeric(c)
}

fn is_letter(c: char) -> bool {
    is_word(c) && !is_numeric(c)
}

fn is_word_or_mark(c: char) -> bool {
    is_word(c) || "!\"'&.,?".contains(c)
}

/// A hyphen before `at` within a word: two letters before it, two after it.
fn after_hyphen(chars: &[char], start: usize, at: usize) -> bool {
    let get = |i: usize| chars.get(i).copied().unwrap_or(' ');
    if chars[at - 1] != '-' || at < 3 || at < start + 2 {
        return false;
    }
    let before = is_letter(chars[at - 2]) && is_letter(chars[at - 3])
        || at >= 4
            && is_word_or_mark(chars[at - 2])
            && chars[at - 3] == '-'
            && is_letter(chars[at - 4]);
    let after = is_letter(get(at))
        && (is_letter(get(at + 1)) || get(at + 1) == '-' && is_letter(get(at + 2)));
    before && after
}

/// `at` is where a dash of two or more hyphens between words starts or ends.
fn at_dash(chars: &[char], at: usize) -> bool {
    let dash_from = |from: usize| {
        let end = chars[from..].iter().position(|&c| c != '-').map_or(chars.len(), |n| from + n);
        (end >= from + 2 && chars.get(end).is_some_and(|&c| is_word(c))).then_some(end)
    };
    if chars[at] == '-' {
        return chars[at - 1] != '-' && is_word_or_mark(chars[at - 1]) && dash_from(at).is_some();
    }
    if chars[at - 1] != '-' {
        return false;
    }
    let from = chars[..at].iter().rposition(|&c| c != '-').map_or(0, |n| n + 1);
    from > 0 && is_word_or_mark(chars[from - 1]) && dash_from(from) == Some(at)
}
