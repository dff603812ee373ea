//! Any first bytes of a connection: once it is certain what they are, no byte that follows changes it, and a hello says the same in
//! records of any size.

use evenkeel_net::client_hello::{HELLO_MAX, Reader, read};

/// Bytes of a record's head, and of a handshake message's.
const HEADS: (usize, usize) = (5, 4);

pub fn check(data: &[u8]) {
    let whole = read(data);
    let (mut open, mut reader) = (true, Reader::default());
    for end in 0..=data.len() {
        let part = read(&data[..end]);
        assert!(!open || reader.read(&data[..end]) == part, "{end} bytes that came one by one say something else");
        open &= part == Ok(None);
        assert!(open || part == whole, "the verdict on {end} bytes is another than that on all: {part:?} {whole:?}");
    }
    let Ok(Some(hello)) = whole else { return };
    let name = hello.server_name.as_deref().unwrap_or("a");
    assert!(
        !name.is_empty() && name.len() <= 253 && name.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase())
    );
    assert!(hello.alpn.iter().all(|protocol| !protocol.is_empty()));
    let message = message(data);
    for size in [1, 7, 300] {
        let records: Vec<u8> = message.chunks(size).flat_map(record).collect();
        if records.len() <= HELLO_MAX {
            assert_eq!(read(&records).as_ref(), Ok(&Some(hello.clone())), "in records of {size}");
        }
    }
}

/// The hello of these records, with its head.
fn message(mut records: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    loop {
        if let [_, high, middle, low, ..] = message[..] {
            let length = HEADS.1 + u32::from_be_bytes([0, high, middle, low]) as usize;
            if message.len() >= length {
                message.truncate(length);
                return message;
            }
        }
        let length = usize::from(u16::from_be_bytes([records[3], records[4]]));
        let (content, rest) = records[HEADS.0..].split_at(length.min(records.len() - HEADS.0));
        message.extend_from_slice(content);
        records = rest;
    }
}

fn record(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("a small record");
    [&[22, 3, 3][..], &length.to_be_bytes(), content].concat()
}
