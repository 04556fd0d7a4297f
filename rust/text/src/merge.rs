//! Bottom-up merging of neighbouring pieces, best pair first, the leftmost of equals first. This one
//! loop serves byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909; the key is the merge's rank)
//! and SentencePiece's BPE (Kudo and Richardson 2018, arXiv:1808.06226; the key is the merged piece's
//! score). O(n log n) by a heap of candidate pairs; a pair that a merge has changed is skipped when it
//! comes up.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

#[derive(Clone, Copy)]
struct Piece {
    start: usize,
    end: usize, // == start: merged into its left neighbour
    prev: usize,
    next: usize,
}

const NONE: usize = usize::MAX;

/// Merges the pieces of `text` that begin at `starts` (ascending, the first 0). `key(start, middle, end)`
/// is how good joining [start, middle) and [middle, end) is, smallest first; None forbids it.
/// Calls `emit(start, end)` for each piece that remains, in order.
pub fn merge<K: Ord>(
    length: usize,
    starts: impl Iterator<Item = usize>,
    mut key: impl FnMut(usize, usize, usize) -> Option<K>,
    mut emit: impl FnMut(usize, usize),
) {
    let mut pieces: Vec<Piece> = Vec::new();
    for start in starts {
        let i = pieces.len();
        if let Some(last) = pieces.last_mut() {
            last.end = start;
            last.next = i;
        }
        let prev = i.wrapping_sub(1); // NONE for the first
        pieces.push(Piece { start, end: length, prev, next: NONE });
    }

    // (key, left piece, end of the joined text): Reverse makes the heap's top the smallest.
    let mut candidates = BinaryHeap::new();
    let mut consider = |pieces: &[Piece], heap: &mut BinaryHeap<_>, left: usize, right: usize| {
        if left != NONE && right != NONE {
            let (l, r) = (pieces[left], pieces[right]);
            if let Some(key) = key(l.start, r.start, r.end) {
                heap.push(Reverse((key, left, r.start, r.end)));
            }
        }
    };
    for right in 1..pieces.len() {
        consider(&pieces, &mut candidates, right - 1, right);
    }
    while let Some(Reverse((_, left, middle, end))) = candidates.pop() {
        let (l, right) = (pieces[left], pieces[left].next);
        let stale =
            l.start == l.end || l.end != middle || right == NONE || pieces[right].end != end;
        if stale {
            continue;
        }
        let after = pieces[right].next;
        pieces[right].end = pieces[right].start;
        pieces[left].end = end;
        pieces[left].next = after;
        if after != NONE {
            pieces[after].prev = left;
        }
        consider(&pieces, &mut candidates, l.prev, left);
        consider(&pieces, &mut candidates, left, after);
    }

    let mut i = if pieces.is_empty() { NONE } else { 0 };
    while i != NONE {
        emit(pieces[i].start, pieces[i].end);
        i = pieces[i].next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(text: &str, ranks: &[(&str, &str)]) -> Vec<String> {
        let mut out = Vec::new();
        merge(
            text.len(),
            text.char_indices().map(|(i, _)| i),
            |a, b, c| ranks.iter().position(|&(l, r)| l == &text[a..b] && r == &text[b..c]),
            |a, b| out.push(text[a..b].to_string()),
        );
        out
    }

    #[test]
    fn the_best_pair_merges_first() {
        let ranks = [("b", "c"), ("a", "b"), ("a", "bc")];
        assert_eq!(merged("abcab", &ranks), ["abc", "ab"]);
    }

    #[test]
    fn the_leftmost_of_equal_pairs_merges_first() {
        assert_eq!(merged("aaa", &[("a", "a")]), ["aa", "a"]);
    }

    #[test]
    fn nothing_comes_of_nothing() {
        assert!(merged("", &[]).is_empty());
        assert_eq!(merged("x", &[]), ["x"]);
    }
}
