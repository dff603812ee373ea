//! JSON strings out of any bytes, in plain ASCII.
//!
//! A line may hold what a client sent, so nothing in it may end the line, close the quotes or move a terminal's cursor:
//! everything but printable ASCII leaves escaped. That also covers what only looks like an end of line (U+0085, U+2028)
//! or turns the order of reading (U+202E), which would be legal within a JSON string (RFC 8259, section 7).

/// Appends `bytes` as a JSON string with its quotes. A byte that is not UTF-8 is shown as the text `\xNN`.
pub(super) fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        text(out, chunk.valid());
        for byte in chunk.invalid() {
            out.extend_from_slice(b"\\\\x");
            hex(out, u16::from(*byte), 2);
        }
    }
    out.push(b'"');
}

fn text(out: &mut Vec<u8>, mut text: &str) {
    // Nearly always the whole text is plain: one scan, one copy.
    while let Some(end) = text.bytes().position(|b| !is_plain(b)) {
        out.extend_from_slice(&text.as_bytes()[..end]);
        let mut rest = text[end..].chars();
        match rest.next().expect("a byte that is not plain begins a character") {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            odd => odd.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                out.extend_from_slice(b"\\u");
                hex(out, *unit, 4);
            }),
        }
        text = rest.as_str();
    }
    out.extend_from_slice(text.as_bytes());
}

const fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

fn hex(out: &mut Vec<u8>, number: u16, digits: u32) {
    for digit in (0..digits).rev() {
        out.push(b"0123456789abcdef"[usize::from(number >> (4 * digit) & 0xf)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escaped(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        string(&mut out, bytes);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn everything_but_printable_ascii_leaves_escaped() {
        for (bytes, json) in [
            (&b"/a b?c=~"[..], r#""/a b?c=~""#),
            (b"\"\\", r#""\"\\""#),
            (b"a\r\n\t\0\x1b[31m\x7f", r#""a\u000d\u000a\u0009\u0000\u001b[31m\u007f""#),
            ("é\u{2028}\u{202e}😀".as_bytes(), r#""\u00e9\u2028\u202e\ud83d\ude00""#),
            (b"\xff/\xc3(", r#""\\xff/\\xc3(""#),
            (b"", r#""""#),
        ] {
            assert_eq!(escaped(bytes), json);
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_back_as_it_was(text in any::<String>()) {
            prop_assert_eq!(serde_json::from_str::<String>(&escaped(text.as_bytes())).unwrap(), text);
        }

        #[test]
        fn any_bytes_are_one_line_of_printable_ascii(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let json = escaped(&bytes);
            prop_assert!(json.bytes().all(|b| matches!(b, b' '..=b'~')));
            prop_assert!(serde_json::from_str::<String>(&json).is_ok());
        }
    }
}
