//! A request as it leaves: its head, and how its body ends. Pure.

use crate::{
    body::Body,
    codec::{self, Framing, Output},
    request::plain_length,
};
use http::{Request, header};
use http_body::Body as _;

/// All of a request, whose body it takes. `bytes` is an empty buffer.
pub(super) fn output(request: &mut Request<Body>, mut bytes: Vec<u8>) -> Output {
    let body = std::mem::take(request.body_mut());
    let mut untold = None;
    // What the head says is what must follow, also when the body has turned out to be empty since it was made.
    let framing = if request.headers().contains_key(header::TRANSFER_ENCODING) {
        Framing::Chunked { announced: request.headers().get_all(header::TRAILER).iter().cloned().collect() }
    } else if let Some(told) = plain_length(request.headers()) {
        match told.to_str().ok().and_then(|told| told.parse().ok()) {
            Some(0) | None => Framing::None,
            Some(length) => Framing::Length(length),
        }
    } else if let Some(length) = body.size_hint().exact().filter(|length| *length > 0) {
        untold = Some(length);
        Framing::Length(length)
    } else {
        Framing::None
    };
    write(request, untold, &mut bytes);
    Output::new(bytes, body, framing)
}

/// Writes the head of a request whose target is a path or `*`. `length`: of a body that no field tells of.
fn write<B>(request: &Request<B>, length: Option<u64>, bytes: &mut Vec<u8>) {
    let target = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    bytes.extend_from_slice(request.method().as_str().as_bytes());
    bytes.push(b' ');
    bytes.extend_from_slice(target.as_bytes());
    bytes.extend_from_slice(b" HTTP/1.1\r\n");
    for (name, value) in request.headers() {
        codec::write(name, value, bytes);
    }
    if let Some(length) = length {
        codec::write_length(length, bytes);
    }
    bytes.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Cut;
    use http::{HeaderValue, Method};
    use std::{
        io,
        pin::Pin,
        task::{Context, Poll, Waker},
    };
    use tokio::io::AsyncWrite;

    /// Takes one byte at a time, as a socket that is nearly full.
    #[derive(Default)]
    struct Narrow(Vec<u8>);

    impl AsyncWrite for Narrow {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.0.extend(bytes.first());
            Poll::Ready(Ok(1))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// All that leaves of a request with this field and body.
    fn leaves(field: (&'static str, &'static str), body: Body) -> Result<String, Cut> {
        let mut request = Request::new(body);
        request.headers_mut().insert(field.0, HeaderValue::from_static(field.1));
        let (mut output, mut left) = (output(&mut request, Vec::new()), Narrow::default());
        let cx = &mut Context::from_waker(Waker::noop());
        loop {
            let Poll::Ready(asked) = output.poll_body(cx) else { panic!("it is there") };
            asked?;
            if !output.waits() {
                assert!(output.is_whole());
                return Ok(String::from_utf8(left.0).unwrap());
            }
            assert!(output.poll_write(&mut left, cx, drop).is_ready());
        }
    }

    #[test]
    fn what_follows_a_head_is_what_it_says() {
        let full = || Body::from("hello".to_owned());
        let head = "GET / HTTP/1.1\r\n";
        for (field, body, left) in [
            (("x", "y"), Body::empty(), Ok("x: y\r\n\r\n")),
            (("x", "y"), full(), Ok("x: y\r\ncontent-length: 5\r\n\r\nhello")),
            (("content-length", "5"), full(), Ok("content-length: 5\r\n\r\nhello")),
            (("content-length", "0"), Body::empty(), Ok("content-length: 0\r\n\r\n")),
            (("transfer-encoding", "chunked"), full(), Ok("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")),
            (("transfer-encoding", "chunked"), Body::empty(), Ok("transfer-encoding: chunked\r\n\r\n0\r\n\r\n")),
            (("content-length", "4"), full(), Err(Cut)),
            (("content-length", "6"), full(), Err(Cut)),
            (("content-length", "6"), Body::empty(), Err(Cut)),
        ] {
            assert_eq!(leaves(field, body), left.map(|left| format!("{head}{left}")), "{field:?}");
        }
    }

    #[test]
    fn a_request_is_written_line_by_line() {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = "/a?b".parse().unwrap();
        request.headers_mut().insert("host", HeaderValue::from_static("a"));
        let mut bytes = Vec::new();
        write(&request, Some(12), &mut bytes);
        assert_eq!(bytes, b"POST /a?b HTTP/1.1\r\nhost: a\r\ncontent-length: 12\r\n\r\n");
    }
}
