//! The Huffman code of HPACK (RFC 7541, section 5.2 and appendix B).
//!
//! The code is canonical: codes of one length follow each other in the order of their symbols, and longer ones follow shorter ones. So the
//! lengths are all that has to be written down.

/// How many bits each symbol has; the last is the end of a string.
#[rustfmt::skip]
const BITS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

const SYMBOLS: usize = 257;
/// No byte, and it must not occur in a string (section 5.2).
const END: u16 = 256;
/// Different lengths.
const LENGTHS: usize = 21;
const LONGEST: u8 = 30;

/// The codes of one length, as the highest bits of 32.
#[derive(Clone, Copy)]
struct Row {
    bits: u8,
    first: u32,
    /// The first that is longer.
    after: u64,
    /// Where its symbols are in `sorted`.
    base: usize,
}

struct Code {
    rows: [Row; LENGTHS],
    sorted: [u16; SYMBOLS],
}

#[expect(clippy::cast_possible_truncation, reason = "symbols are below 257, codes below 2^32")]
const fn code() -> Code {
    let mut rows = [Row { bits: 0, first: 0, after: 0, base: 0 }; LENGTHS];
    let mut sorted = [0; SYMBOLS];
    let (mut row, mut place, mut next, mut bits) = (0, 0, 0_u64, 1);
    while bits <= LONGEST {
        let (base, first, mut symbol) = (place, next, 0);
        while symbol < SYMBOLS {
            if BITS[symbol] == bits {
                sorted[place] = symbol as u16;
                place += 1;
                next += 1 << (32 - bits);
            }
            symbol += 1;
        }
        if place > base {
            rows[row] = Row { bits, first: first as u32, after: next, base };
            row += 1;
        }
        bits += 1;
    }
    Code { rows, sorted }
}

static CODE: Code = code();

/// Decodes a string behind what is in `text`. `None`: it is none.
pub(super) fn decode(coded: &[u8], text: &mut Vec<u8>) -> Option<()> {
    let mut coded = coded.iter();
    let (mut bits, mut have) = (0_u64, 0_u32);
    loop {
        while have <= 32 {
            let Some(byte) = coded.next() else { break };
            bits = (bits << 8) | u64::from(*byte);
            have += 8;
        }
        if have == 0 {
            return Some(());
        }
        // Behind the end there are ones, as the padding is.
        let window = match have.checked_sub(32) {
            Some(more) => bits >> more,
            None => (bits << (32 - have)) | ((1 << (32 - have)) - 1),
        };
        let window = u32::try_from(window & u64::from(u32::MAX)).ok()?;
        let row = CODE.rows.iter().find(|row| u64::from(window) < row.after)?;
        let length = u32::from(row.bits);
        if length > have {
            // Section 5.2: padding is shorter than 8 bits, and of ones.
            return (have < 8 && window == u32::MAX).then_some(());
        }
        let symbol = CODE.sorted[row.base + ((window - row.first) >> (32 - length)) as usize];
        if symbol == END {
            return None;
        }
        text.push(u8::try_from(symbol).ok()?);
        have -= length;
        bits &= (1 << have) - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(coded: &[u8]) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        decode(coded, &mut text).map(|()| text)
    }

    /// RFC 7541, appendix C.4 and C.6.
    #[test]
    fn the_examples_of_the_rfc_are_read() {
        let www = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        assert_eq!(decoded(&www).as_deref(), Some(&b"www.example.com"[..]));
        assert_eq!(decoded(&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]).as_deref(), Some(&b"no-cache"[..]));
        assert_eq!(decoded(&[0x64, 0x02]).as_deref(), Some(&b"302"[..]));
        let date = [
            0xd0, 0x7a, 0xbe, 0x94, 0x10, 0x54, 0xd4, 0x44, 0xa8, 0x20, 0x05, 0x95, 0x04, 0x0b, 0x81, 0x66, 0xe0, 0x82,
            0xa6, 0x2d, 0x1b, 0xff,
        ];
        assert_eq!(decoded(&date).as_deref(), Some(&b"Mon, 21 Oct 2013 20:13:21 GMT"[..]));
    }

    #[test]
    fn the_code_is_complete() {
        assert_eq!(CODE.rows.last().map(|row| (row.bits, row.after)), Some((LONGEST, 1 << 32)));
    }

    #[test]
    fn an_end_within_and_padding_that_is_none_are_refused() {
        assert_eq!(decoded(&[]), Some(Vec::new()));
        assert_eq!(decoded(&[0xff]), None, "eight bits of padding");
        assert_eq!(decoded(&[0xff; 4]), None, "the end of a string");
        // `0` has five zeros.
        assert_eq!(decoded(&[0b0000_0111]).as_deref(), Some(&b"0"[..]));
        assert_eq!(decoded(&[0b0000_0110]), None, "padding of something else");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(coded: Vec<u8>) {
            let _ = decoded(&coded);
        }
    }
}
