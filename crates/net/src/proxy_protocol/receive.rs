//! Reads a header from a connection, and not one byte of what follows it.
//!
//! The bytes are looked at before they are taken (MSG_PEEK): whoever serves the connection afterwards, HTTP or TLS, finds it as if there
//! had been no header, and ordinary connections have no buffer in their way.

use super::{Announced, HeaderFault, parse};
use crate::Stream;
use std::io;
use tokio::io::AsyncReadExt;

/// Bytes that are looked at in one go: most headers are one segment of less.
const PIECE: usize = 256;

/// Why there is no header.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The bytes are none.
    #[error(transparent)]
    Fault(#[from] HeaderFault),
    /// The peer ended the connection before or within its header.
    #[error("the connection ended before its PROXY header did")]
    Closed,
    /// The kernel's word.
    #[error("the PROXY header cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// Waits for a header and takes it. It waits as long as the peer is silent: put a timeout around it.
///
/// # Errors
/// [`ReceiveError`]; then the connection is of no use.
pub async fn receive(stream: &mut Stream) -> Result<Announced, ReceiveError> {
    let mut bytes = Vec::new();
    let mut piece = [0; PIECE];
    loop {
        let there = stream.peek(&mut piece).await?;
        if there == 0 {
            return Err(ReceiveError::Closed);
        }
        let before = bytes.len();
        bytes.extend_from_slice(&piece[..there]);
        let header = parse(&bytes)?;
        // Without an end in sight, all that is there belongs to the header.
        let belongs = header.map_or(there, |header| header.length - before);
        stream.read_exact(&mut piece[..belongs]).await?;
        if let Some(header) = header {
            return Ok(header.announced);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::AsyncWriteExt,
        net::{TcpListener, TcpStream, UnixStream},
    };

    async fn tcp() -> (Stream, Stream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Stream::Tcp(ours), Stream::Tcp(listener.accept().await.unwrap().0))
    }

    fn unix() -> (Stream, Stream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Stream::Unix(ours), Stream::Unix(theirs))
    }

    const LINE: &[u8] = b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n";

    fn is_line(announced: Announced) -> bool {
        matches!(announced, Announced::Ip { source, .. } if source.to_string() == "1.2.3.4:9")
    }

    #[tokio::test]
    async fn what_follows_in_the_same_segment_is_left_for_the_next_reader() {
        for (mut ours, mut theirs) in [tcp().await, unix()] {
            theirs.write_all(&[LINE, b"GET / HTTP/1.1"].concat()).await.unwrap();
            assert!(is_line(receive(&mut ours).await.unwrap()));
            drop(theirs);
            let mut rest = Vec::new();
            ours.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest, b"GET / HTTP/1.1");
        }
    }

    #[tokio::test]
    async fn a_header_may_come_byte_by_byte() {
        for (mut ours, mut theirs) in [tcp().await, unix()] {
            let sender = async {
                for byte in [LINE, b"rest"].concat() {
                    theirs.write_all(&[byte]).await.unwrap();
                    tokio::task::yield_now().await;
                }
                theirs.shutdown().await.unwrap();
            };
            let (announced, ()) = tokio::join!(receive(&mut ours), sender);
            assert!(is_line(announced.unwrap()));
            let mut rest = Vec::new();
            ours.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest, b"rest");
        }
    }

    #[tokio::test]
    async fn a_header_longer_than_one_look_is_taken_whole() {
        let (mut ours, mut theirs) = tcp().await;
        let value = vec![7; 3000];
        let block = [&[1, 2, 3, 4, 5, 6, 7, 8, 0, 9, 0, 10][..], &[4, 0x0b, 0xb8], &value].concat();
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        let header = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11"[..], &length, &block, b"rest"].concat();
        theirs.write_all(&header).await.unwrap();
        theirs.shutdown().await.unwrap();
        assert!(is_line(receive(&mut ours).await.unwrap()));
        let mut rest = Vec::new();
        ours.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"rest");
    }

    #[tokio::test]
    async fn an_end_within_the_header_and_another_protocol_are_told_apart() {
        let (mut ours, mut theirs) = unix();
        theirs.write_all(&LINE[..20]).await.unwrap();
        drop(theirs);
        assert!(matches!(receive(&mut ours).await, Err(ReceiveError::Closed)));
        let (mut ours, mut theirs) = unix();
        theirs.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        assert!(matches!(receive(&mut ours).await, Err(ReceiveError::Fault(HeaderFault::Missing))));
    }
}
