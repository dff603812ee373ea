//! Gives field values memory of their own before they go out by HTTP/2.
//!
//! Values are slices of the buffer in which hyper and `h2` have read them, 8 KiB and more. HTTP/1 forgets them once they are written; an HTTP/2 connection
//! remembers some in its table (HPACK, RFC 7541, section 2.3.2; h2 0.4.20, `hpack::table`) for as long as it lives, and with each of them
//! its buffer: a hundred answers would cost an idle connection a megabyte.

use bytes::BytesMut;
use http::{HeaderMap, HeaderValue};

/// Copies all values together, which is one allocation and what the table then keeps alive at most for each of them.
pub(crate) fn detach(fields: &mut HeaderMap) {
    let mut copy = BytesMut::with_capacity(fields.values().map(HeaderValue::len).sum());
    for value in fields.values_mut() {
        copy.extend_from_slice(value.as_bytes());
        let mut own = HeaderValue::from_maybe_shared(copy.split().freeze()).expect("it was a value before");
        own.set_sensitive(value.is_sensitive());
        *value = own;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn values_stay_what_they_are_and_let_go_of_where_they_came_from() {
        let read = Bytes::from(b"one two \xff".repeat(1000));
        let mut fields = HeaderMap::new();
        for range in [0..3, 4..7, 8..9, 9..9] {
            fields.append("x", HeaderValue::from_maybe_shared(read.slice(range)).unwrap());
        }
        fields.get_mut("x").unwrap().set_sensitive(true);
        let before = fields.clone();

        detach(&mut fields);

        assert_eq!(fields, before);
        assert!(fields["x"].is_sensitive());
        drop(before);
        assert!(read.is_unique());
    }
}
