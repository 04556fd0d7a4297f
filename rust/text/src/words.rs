//! The words of a tokenizer.json: their texts in one block, found by text or by id. 262,144 words take
//! about 8 MB; a map of strings for each direction takes ten times that.

use crate::strings::{Duplicates, Index, Texts};

/// Words in the file's order, before they can be found.
#[derive(Default)]
pub struct WordList {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    ids: Vec<u32>,
}

impl WordList {
    /// All texts together are shorter than 4 GiB.
    pub fn push_text(&mut self, text: &[u8]) {
        self.bytes.extend(text);
        self.ends.push(self.bytes.len() as u32);
    }

    pub fn is_utf8(&self) -> bool {
        std::str::from_utf8(&self.bytes).is_ok()
    }

    /// The id of the text just pushed.
    pub fn push_id(&mut self, id: u32) {
        self.ids.push(id);
    }
}

impl Texts for WordList {
    fn len(&self) -> usize {
        self.ids.len()
    }

    fn get(&self, i: usize) -> &[u8] {
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        &self.bytes[start as usize..self.ends[i] as usize]
    }
}

pub struct Words {
    list: WordList,
    index: Index,
    /// Positions in `list` in the order of their ids, which may have gaps.
    by_id: Vec<u32>,
}

impl Words {
    /// Of equal texts the last counts, as in the map that `tokenizers` reads them into.
    pub fn new(mut list: WordList) -> Words {
        list.bytes.shrink_to_fit();
        list.ends.shrink_to_fit();
        list.ids.shrink_to_fit();
        let index = Index::new(&list, Duplicates::LastWins);
        let mut by_id: Vec<u32> = (0..list.len() as u32).collect();
        if index.len() < list.len() {
            by_id.retain(|&i| index.find(&list, list.get(i as usize)) == Some(i));
        }
        by_id.sort_by_key(|&i| list.ids[i as usize]);
        Words { list, index, by_id }
    }

    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn id(&self, text: &[u8]) -> Option<u32> {
        let i = self.index.find(&self.list, text)?;
        Some(self.list.ids[i as usize])
    }

    /// Of several words with one id the last.
    pub fn text(&self, id: u32) -> Option<&[u8]> {
        let id_at = |place: usize| self.list.ids[self.by_id[place] as usize];
        let after = self.by_id.partition_point(|&i| self.list.ids[i as usize] <= id);
        let place = after.checked_sub(1).filter(|&place| id_at(place) == id)?;
        Some(self.list.get(self.by_id[place] as usize))
    }

    pub fn largest_id(&self) -> Option<u32> {
        self.by_id.last().map(|&i| self.list.ids[i as usize])
    }

    pub fn iter(&self) -> impl Iterator<Item = (&[u8], u32)> {
        let word = |&i: &u32| (self.list.get(i as usize), self.list.ids[i as usize]);
        self.by_id.iter().map(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_by_text_and_by_id() {
        let mut list = WordList::default();
        for (text, id) in [("b", 7), ("a", 2), ("", u32::MAX), ("a", 3), ("c", 7)] {
            list.push_text(text.as_bytes());
            list.push_id(id);
        }
        let words = Words::new(list);
        assert_eq!(words.len(), 4);
        assert_eq!(
            (words.id(b"a"), words.id(b""), words.id(b"d")),
            (Some(3), Some(u32::MAX), None)
        );
        assert_eq!(words.text(2), None); // "a" is 3 since
        assert_eq!(words.text(3), Some(&b"a"[..]));
        assert_eq!(words.text(7), Some(&b"c"[..]));
        assert_eq!(words.text(u32::MAX), Some(&b""[..]));
        assert_eq!(words.iter().map(|(_, id)| id).collect::<Vec<_>>(), [3, 7, 7, u32::MAX]);
    }
}
