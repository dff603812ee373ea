//! Inner doors for `fuzz/` and for the test that replays its corpus; nothing else may use them.
//!
//! Only what cannot be reached through a socket, or far faster without one. No code of its own.

use crate::{
    codec::{FIELDS_MAX, read_body},
    connection::{HeadLimits, read_request_head},
    request,
    upstream::read_head,
};
use bytes::Bytes;
use evenkeel_model::Config;
use http::HeaderMap;
use std::net::IpAddr;

/// Who asked, as the proxies say that this configuration trusts.
#[must_use]
pub fn client_behind_proxies(headers: &HeaderMap, config: &Config) -> Option<IpAddr> {
    request::client_behind_proxies(headers, config)
}

/// The status and body of an endpoint's answer, to HEAD or not, that is followed by the end of its connection; its head comes as a whole, and
/// its body in pieces of this size. `None`: it is no answer, or not all of one.
#[must_use]
pub fn read_answer(bytes: &[u8], to_head: bool, size: usize) -> Option<(u16, Vec<u8>)> {
    let mut input = Bytes::copy_from_slice(bytes);
    let head = read_head(&mut input, to_head, &mut HeaderMap::new()).ok()??;
    Some((head.status.as_u16(), read_body(head.body, &input, size)?))
}

/// The method and body of a client's request that is followed by the end of its connection; its head comes as a whole, and its body in pieces
/// of this size. `None`: it is no request, or not all of one.
#[must_use]
pub fn read_request(bytes: &[u8], size: usize) -> Option<(String, Vec<u8>)> {
    let mut input = Bytes::copy_from_slice(bytes);
    let limits = HeadLimits { bytes: 32 * 1024, fields: FIELDS_MAX };
    let head = read_request_head(&mut input, limits, &mut HeaderMap::new()).ok()??;
    Some((head.method.to_string(), read_body(head.body, &input, size)?))
}
