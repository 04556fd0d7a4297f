//! Finding and splitting as Python's str does: positions count code points.

use super::error::{raise, Result};
use super::unicode::{is_line_break, is_space};

/// text[start:end], for the methods that take a start and an end.
pub struct Window<'a> {
    pub text: &'a str,
    start: usize,
}

impl<'a> Window<'a> {
    /// None when it starts after the text's end: then not even empty text is in it.
    pub fn of(text: &'a str, start: Option<i128>, end: Option<i128>) -> Option<Window<'a>> {
        if start.is_none() && end.is_none() {
            return Some(Window { text, start: 0 });
        }
        let length = text.chars().count() as i128;
        let bound = |i: i128| if i < 0 { (i.saturating_add(length)).max(0) } else { i };
        let start = bound(start.unwrap_or(0));
        let end = bound(end.unwrap_or(length)).min(length);
        if start > end {
            return None;
        }
        let byte =
            |chars: i128| text.char_indices().nth(chars as usize).map_or(text.len(), |(b, _)| b);
        Some(Window { text: &text[byte(start)..byte(end)], start: start as usize })
    }

    /// The position in the whole text.
    pub fn find(&self, part: &str, last: bool) -> Option<usize> {
        let found = if last { self.text.rfind(part) } else { self.text.find(part) };
        found.map(|byte| self.start + self.text[..byte].chars().count())
    }
}

/// How often `part` is in the text, without overlaps.
pub fn count(text: &str, part: &str) -> usize {
    match part.is_empty() {
        true => text.chars().count() + 1,
        false => text.matches(part).count(),
    }
}

/// At most `most` splits, from the right if so. White space parts without a separator.
pub fn split<'a>(
    text: &'a str,
    separator: Option<&str>,
    most: usize,
    right: bool,
) -> Result<Vec<&'a str>> {
    let limit = most.saturating_add(1);
    match separator {
        Some("") => raise("empty separator"),
        Some(separator) if right => {
            let mut parts: Vec<&str> = text.rsplitn(limit, separator).collect();
            parts.reverse();
            Ok(parts)
        }
        Some(separator) => Ok(text.splitn(limit, separator).collect()),
        None if right => Ok(split_space_from_right(text, most)),
        None => Ok(split_space(text, most)),
    }
}

fn split_space(text: &str, most: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        let end = if parts.len() == most { None } else { rest.find(is_space) };
        match end {
            Some(end) => {
                parts.push(&rest[..end]);
                rest = rest[end..].trim_start_matches(is_space);
            }
            None => {
                parts.push(rest);
                break;
            }
        }
    }
    parts
}

fn split_space_from_right(text: &str, most: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim_end_matches(is_space);
    while !rest.is_empty() {
        let start = match parts.len() == most {
            true => None,
            false => {
                rest.char_indices().rfind(|&(_, c)| is_space(c)).map(|(i, c)| i + c.len_utf8())
            }
        };
        match start {
            Some(start) => {
                parts.push(&rest[start..]);
                rest = rest[..start].trim_end_matches(is_space);
            }
            None => {
                parts.push(rest);
                break;
            }
        }
    }
    parts.reverse();
    parts
}

pub fn lines(text: &str, keep_ends: bool) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let Some((at, c)) = rest.char_indices().find(|&(_, c)| is_line_break(c)) else {
            lines.push(rest);
            break;
        };
        let end = at + if rest[at..].starts_with("\r\n") { 2 } else { c.len_utf8() };
        lines.push(&rest[..if keep_ends { end } else { at }]);
        rest = &rest[end..];
    }
    lines
}

pub fn partition<'a>(text: &'a str, separator: &'a str, right: bool) -> Result<[&'a str; 3]> {
    if separator.is_empty() {
        return raise("empty separator");
    }
    let found = if right { text.rsplit_once(separator) } else { text.split_once(separator) };
    Ok(match found {
        Some((before, after)) => [before, separator, after],
        None if right => ["", "", text],
        None => [text, "", ""],
    })
}
