//! GPT-2's byte alphabet: every byte written as one printable character, so that a vocabulary of
//! text can hold any bytes. Printable Latin-1 stands for itself; the other 68 bytes are U+0100 onwards.

/// The characters for bytes 0 to 255.
pub const CHARS: [char; 256] = chars();

const fn is_printable(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF)
}

const fn chars() -> [char; 256] {
    let mut table = ['\0'; 256];
    let (mut byte, mut next) = (0, 0x100u32);
    while byte < 256 {
        table[byte] = if is_printable(byte as u8) {
            byte as u8 as char
        } else {
            next += 1;
            match char::from_u32(next - 1) {
                Some(c) => c,
                None => unreachable!(),
            }
        };
        byte += 1;
    }
    table
}

/// The byte that a character stands for.
pub fn byte_of(c: char) -> Option<u8> {
    match c as u32 {
        code @ 0..=0xFF if is_printable(code as u8) => Some(code as u8),
        code @ 0x100..=0x120 => Some((code - 0x100) as u8), // 0x00 to 0x20
        code @ 0x121..=0x142 => Some((code - 0x121 + 0x7F) as u8), // 0x7F to 0xA0
        0x143 => Some(0xAD),
        _ => None,
    }
}

/// A vocabulary entry's bytes; an entry with any other character (an added token) stands for its own text.
pub fn decode(token: &[u8]) -> Vec<u8> {
    std::str::from_utf8(token)
        .ok()
        .and_then(|text| text.chars().map(byte_of).collect())
        .unwrap_or_else(|| token.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_own_character() {
        for byte in 0..=255u8 {
            assert_eq!(byte_of(CHARS[byte as usize]), Some(byte));
        }
        assert_eq!(CHARS[b' ' as usize], 'Ġ');
        assert_eq!(CHARS[b'\n' as usize], 'Ċ');
        assert_eq!(CHARS[0xAD], 'Ń');
    }

    #[test]
    fn text_outside_the_alphabet_stands_for_itself() {
        assert_eq!(decode("Ġhi".as_bytes()), b" hi");
        assert_eq!(decode("<| |>".as_bytes()), b"<| |>");
    }
}
