//! A peer that speaks HTTP/2 in single frames: for what no library would send.
//!
//! It keeps no state of HTTP/2 but the order of bytes: no windows, no table of fields (all are sent as literals, RFC 7541, section
//! 6.2.2, and of the answer's fields only the status is read), no answers of its own.

use crate::{
    eventually::in_time,
    place::{Place, Socket},
};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

/// RFC 9113, section 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame (RFC 9113, section 4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// 0: DATA, 1: HEADERS and so on; see the constants.
    pub kind: u8,
    /// What they mean depends on the kind.
    pub flags: u8,
    /// 0: the connection.
    pub stream: u32,
    /// What follows the head.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A part of a body.
    pub const DATA: u8 = 0;
    /// The begin of a head, or trailers.
    pub const HEADERS: u8 = 1;
    /// Deprecated.
    pub const PRIORITY: u8 = 2;
    /// The end of a stream before its end.
    pub const RST_STREAM: u8 = 3;
    /// Numbers for both sides.
    pub const SETTINGS: u8 = 4;
    /// Wants an answer.
    pub const PING: u8 = 6;
    /// The end of the connection.
    pub const GOAWAY: u8 = 7;
    /// More room.
    pub const WINDOW_UPDATE: u8 = 8;
    /// More of a head.
    pub const CONTINUATION: u8 = 9;
    /// Flag of DATA and HEADERS: nothing follows.
    pub const END_STREAM: u8 = 1;
    /// Flag of SETTINGS and PING: an answer.
    pub const ACK: u8 = 1;
    /// Flag of HEADERS and CONTINUATION: the head is complete.
    pub const END_HEADERS: u8 = 4;

    /// Any frame.
    #[must_use]
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Self {
        Self { kind, flags, stream, payload: payload.as_ref().to_vec() }
    }

    /// The whole head of a request, which has a body unless `end`.
    #[must_use]
    pub fn headers(stream: u32, fields: &[(&str, &str)], end: bool) -> Self {
        let flags = Self::END_HEADERS | if end { Self::END_STREAM } else { 0 };
        Self::new(Self::HEADERS, flags, stream, block(fields))
    }

    /// `GET path` of `a.test`, without a body.
    #[must_use]
    pub fn get(stream: u32, path: &str) -> Self {
        let fields = [(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", path)];
        Self::headers(stream, &fields, true)
    }

    /// The end of a stream with this code.
    #[must_use]
    pub fn reset(stream: u32, code: u32) -> Self {
        Self::new(Self::RST_STREAM, 0, stream, code.to_be_bytes())
    }

    /// The last four bytes as a number: the code of RST_STREAM, what WINDOW_UPDATE adds.
    #[must_use]
    pub fn number(&self) -> Option<u32> {
        Some(u32::from_be_bytes(self.payload.last_chunk().copied()?))
    }

    /// Whether nothing follows on its stream.
    #[must_use]
    pub fn ends_stream(&self) -> bool {
        matches!(self.kind, Self::DATA | Self::HEADERS) && self.flags & Self::END_STREAM != 0
    }

    /// The code of GOAWAY, which may have text behind it.
    #[must_use]
    pub fn goaway_code(&self) -> Option<u32> {
        let code = self.payload.get(4..8).filter(|_| self.kind == Self::GOAWAY)?;
        Some(u32::from_be_bytes(code.try_into().ok()?))
    }

    /// As it travels.
    ///
    /// # Panics
    /// When the payload has 16 MiB and more.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).expect("a length of three bytes").to_be_bytes();
        [&length[1..], &[self.kind, self.flags], &self.stream.to_be_bytes(), &self.payload].concat()
    }
}

/// Fields as literals that no table remembers.
#[must_use]
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            length(text.len(), &mut block);
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// An integer with a prefix of seven bits (RFC 7541, section 5.1).
fn length(mut n: usize, block: &mut Vec<u8>) {
    if n < 127 {
        block.push(u8::try_from(n).expect("seven bits"));
        return;
    }
    block.push(127);
    n -= 127;
    while n >= 128 {
        block.push(u8::try_from(n % 128).expect("seven bits") | 128);
        n /= 128;
    }
    block.push(u8::try_from(n).expect("seven bits"));
}

/// A client (or server) that speaks HTTP/2 in single frames. Dropping it closes the connection.
#[derive(Debug)]
pub struct FrameWire {
    reader: ReadHalf<Socket>,
    writer: WriteHalf<Socket>,
}

impl FrameWire {
    /// Connects and says that it speaks HTTP/2, with these settings (pairs of a number and a value).
    ///
    /// # Panics
    /// When nobody accepts there.
    pub async fn to(place: &Place, settings: &[(u16, u32)]) -> Self {
        let socket = in_time("a connection", place.connect()).await;
        Self::begun(socket.unwrap_or_else(|e| panic!("cannot connect to {place}: {e}")), settings).await
    }

    /// The same over a connection that is there, such as one within TLS.
    ///
    /// # Panics
    /// When the peer has closed.
    pub async fn begun(socket: Socket, settings: &[(u16, u32)]) -> Self {
        let mut wire = Self::over(socket);
        let begin = [PREFACE, &greeting(settings).bytes()].concat();
        wire.try_send(&begin).await.expect("a fresh connection takes a few bytes");
        wire
    }

    /// The other side: a connection that was accepted. Reads the client's preface and sends these settings.
    ///
    /// # Panics
    /// When the client speaks something else.
    pub async fn accepted(socket: Socket, settings: &[(u16, u32)]) -> Self {
        let mut wire = Self::over(socket);
        let mut preface = [0; PREFACE.len()];
        in_time("a preface", wire.reader.read_exact(&mut preface)).await.expect("a whole preface");
        assert_eq!(preface, PREFACE, "{}", String::from_utf8_lossy(&preface));
        wire.send(greeting(settings)).await;
        wire
    }

    fn over(socket: Socket) -> Self {
        let (reader, writer) = tokio::io::split(socket);
        Self { reader, writer }
    }

    /// Sends these frames, or any bytes, if the peer takes them.
    ///
    /// # Errors
    /// What the system says when the peer has closed.
    pub async fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        in_time("the peer takes what we send", self.writer.write_all(bytes)).await
    }

    /// Sends a frame.
    ///
    /// # Panics
    /// When the peer has closed.
    pub async fn send(&mut self, frame: Frame) {
        self.try_send(&frame.bytes()).await.unwrap_or_else(|e| panic!("the peer closed while we sent: {e}"));
    }

    /// The next frame; `None` at the end of the connection, orderly or not.
    pub async fn frame(&mut self) -> Option<Frame> {
        in_time("a frame", async {
            let mut head = [0; 9];
            self.reader.read_exact(&mut head).await.ok()?;
            let [a, b, c, kind, flags, stream @ ..] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            self.reader.read_exact(&mut payload).await.ok()?;
            Some(Frame { kind, flags, stream: u32::from_be_bytes(stream) & 0x7fff_ffff, payload })
        })
        .await
    }

    /// The next frame of this kind and stream, others skipped; `None` when the connection ends first.
    pub async fn frame_of(&mut self, kind: u8, stream: u32) -> Option<Frame> {
        loop {
            let frame = self.frame().await?;
            if frame.kind == kind && frame.stream == stream {
                return Some(frame);
            }
        }
    }

    /// The next frame of this stream, others skipped; `None` when the connection ends first.
    pub async fn frame_on(&mut self, stream: u32) -> Option<Frame> {
        loop {
            let frame = self.frame().await?;
            if frame.stream == stream {
                return Some(frame);
            }
        }
    }

    /// The code of GOAWAY if there is one before the connection ends. A peer that closes while we still send is free to reset the
    /// connection, and then the last frame may be lost on the way.
    pub async fn goaway(&mut self) -> Option<u32> {
        self.frame_of(Frame::GOAWAY, 0).await?.goaway_code()
    }

    /// Reads until the connection ends; the last code of GOAWAY.
    pub async fn ended(&mut self) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = self.frame().await {
            code = frame.goaway_code().or(code);
        }
        code
    }
}

/// SETTINGS with these numbers and values.
fn greeting(settings: &[(u16, u32)]) -> Frame {
    let payload: Vec<u8> =
        settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    Frame::new(Frame::SETTINGS, 0, 0, payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_literals_with_lengths_of_seven_bits() {
        assert_eq!(block(&[("a", "bc")]), b"\0\x01a\x02bc");
        let long = "x".repeat(127 + 300);
        assert_eq!(&block(&[("a", &long)])[..6], [0, 1, b'a', 127, 0xac, 2]);
    }

    #[test]
    fn a_frame_has_nine_bytes_before_its_payload() {
        assert_eq!(Frame::reset(5, 8).bytes(), [0, 0, 4, 3, 0, 0, 0, 0, 5, 0, 0, 0, 8]);
    }
}
