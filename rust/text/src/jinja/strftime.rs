//! datetime.now().strftime in the C locale. The time has no zone, so %z and %Z are empty.

use std::fmt::Write;

use chrono::{Datelike, NaiveDateTime, Timelike};

/// None when the text would be longer than `limit`.
pub fn formatted(format: &str, time: &NaiveDateTime, limit: usize) -> Option<String> {
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if out.len() > limit {
            return None;
        }
        match c {
            '%' => match chars.next() {
                Some(letter) => push_letter(letter, time, &mut out),
                None => out.push('%'),
            },
            c => out.push(c),
        }
    }
    (out.len() <= limit).then_some(out)
}

fn push_letter(letter: char, t: &NaiveDateTime, out: &mut String) {
    let hour12 = t.hour12().1;
    // Writing to a String cannot fail.
    let _ = match letter {
        'a' => write!(out, "{}", t.format("%a")),
        'A' => write!(out, "{}", t.format("%A")),
        'b' | 'h' => write!(out, "{}", t.format("%b")),
        'B' => write!(out, "{}", t.format("%B")),
        'c' => write!(out, "{}", t.format("%a %b %e %H:%M:%S %Y")),
        'C' => write!(out, "{:02}", t.year() / 100),
        'd' => write!(out, "{:02}", t.day()),
        'D' | 'x' => write!(out, "{}", t.format("%m/%d/%y")),
        'e' => write!(out, "{:2}", t.day()),
        'f' => write!(out, "{:06}", t.nanosecond() / 1000),
        'F' => write!(out, "{}", t.format("%Y-%m-%d")),
        'g' => write!(out, "{:02}", t.iso_week().year() % 100),
        'G' => write!(out, "{}", t.iso_week().year()),
        'H' => write!(out, "{:02}", t.hour()),
        'I' => write!(out, "{hour12:02}"),
        'j' => write!(out, "{:03}", t.ordinal()),
        'k' => write!(out, "{:2}", t.hour()),
        'l' => write!(out, "{hour12:2}"),
        'm' => write!(out, "{:02}", t.month()),
        'M' => write!(out, "{:02}", t.minute()),
        'n' => out.write_char('\n'),
        'p' => out.write_str(if t.hour() < 12 { "AM" } else { "PM" }),
        'P' => out.write_str(if t.hour() < 12 { "am" } else { "pm" }),
        'r' => write!(out, "{}", t.format("%I:%M:%S %p")),
        'R' => write!(out, "{}", t.format("%H:%M")),
        's' => {
            use chrono::TimeZone;
            let seconds =
                chrono::Local.from_local_datetime(t).earliest().map_or(0, |l| l.timestamp());
            write!(out, "{seconds}")
        }
        'S' => write!(out, "{:02}", t.second()),
        't' => out.write_char('\t'),
        'T' | 'X' => write!(out, "{}", t.format("%H:%M:%S")),
        'u' => write!(out, "{}", t.weekday().number_from_monday()),
        'U' => write!(out, "{}", t.format("%U")),
        'V' => write!(out, "{:02}", t.iso_week().week()),
        'w' => write!(out, "{}", t.weekday().num_days_from_sunday()),
        'W' => write!(out, "{}", t.format("%W")),
        'y' => write!(out, "{:02}", t.year() % 100),
        'Y' => write!(out, "{}", t.year()),
        'z' | 'Z' => Ok(()),
        '%' => out.write_char('%'),
        // As the C library does.
        other => write!(out, "%{other}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_is_the_c_librarys() {
        let date = chrono::NaiveDate::from_ymd_opt(2024, 12, 30).unwrap();
        let time = date.and_hms_micro_opt(5, 7, 9, 42).unwrap();
        let format =
            "%a %A %b %B %c|%C %d %D %e %f %F %g %G %h %H %I %j %k %l %m %M %p %P %r %R %S %T %u \
                      %U %V %w %W %x %X %y %Y %z%Z%%";
        // date -u -d '2024-12-30 05:07:09' +"…" of GNU coreutils, %f apart.
        let expected = "Mon Monday Dec December Mon Dec 30 05:07:09 2024|20 30 12/30/24 30 000042 \
                        2024-12-30 25 2025 Dec 05 05 365  5  5 12 07 AM am 05:07:09 AM 05:07 09 05:07:09 1 \
                        52 01 1 53 12/30/24 05:07:09 24 2024 %";
        assert_eq!(formatted(format, &time, 1000).unwrap(), expected);
        assert_eq!(formatted("%q %", &time, 1000).unwrap(), "%q %");
        assert_eq!(formatted("%A%A%A%A", &time, 10), None);
    }
}
