//! A client that sends exactly these bytes and reads the answers with the strictest of parsers.

use super::strict::{self, Message, Parsed};
use evenkeel_testkit::{Place, in_time};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What came back.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Final answers.
    pub(super) answers: Vec<Message>,
    /// The status of each 1xx.
    pub(super) interim: Vec<u16>,
    /// Behind the last whole answer.
    pub(super) left: Vec<u8>,
    pub(super) fault: Option<String>,
    /// The connection was ended by the proxy.
    pub(super) ended: bool,
}

impl Heard {
    pub(super) fn statuses(&self) -> Vec<u16> {
        self.answers.iter().map(Message::status).collect()
    }
}

/// One connection.
pub(super) struct Caller {
    stream: TcpStream,
    heard: Heard,
    /// The method of each request, in order; `GET` behind the last.
    methods: Vec<&'static str>,
}

impl Caller {
    pub(super) async fn of(place: &Place, methods: Vec<&'static str>) -> Self {
        let connecting = TcpStream::connect(place.authority());
        let stream = in_time("a connection", connecting).await.expect("the proxy accepts");
        stream.set_nodelay(true).expect("an open socket");
        Self { stream, heard: Heard::default(), methods }
    }

    /// Sends these bytes, as far as they are taken: a refusal may come before their end.
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        let _ = in_time("the proxy takes the bytes", self.stream.write_all(bytes)).await;
    }

    /// Ends our side.
    pub(super) async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Reads until so many final answers are there, or the connection ends.
    pub(super) async fn hears(&mut self, answers: usize) -> &Heard {
        self.read(|heard| heard.answers.len() >= answers).await;
        &self.heard
    }

    /// Reads until so many 1xx are there, or the connection ends.
    pub(super) async fn hears_interim(&mut self, answers: usize) {
        self.read(|heard| heard.interim.len() >= answers).await;
    }

    /// Reads until the proxy ends the connection.
    pub(super) async fn hears_the_end(&mut self) {
        self.read(|_| false).await;
    }

    pub(super) fn heard(self) -> Heard {
        self.heard
    }

    async fn read(&mut self, enough: impl Fn(&Heard) -> bool) {
        while !enough(&self.heard) && !self.heard.ended && self.heard.fault.is_none() {
            let read = in_time("an answer or the end", self.stream.read_buf(&mut self.heard.left)).await;
            self.heard.ended = !matches!(read, Ok(n) if n > 0);
            self.parse();
        }
    }

    fn parse(&mut self) {
        loop {
            if self.heard.left.is_empty() {
                return;
            }
            let method = self.methods.get(self.heard.answers.len()).copied().unwrap_or("GET");
            match strict::response(&self.heard.left, method, self.heard.ended) {
                Parsed::Whole(message, used) => {
                    self.heard.left.drain(..used);
                    match message.status() {
                        status @ 100..=199 => self.heard.interim.push(status),
                        _ => self.heard.answers.push(message),
                    }
                }
                Parsed::Part => return,
                Parsed::Fault(why) => {
                    self.heard.fault = Some(why);
                    return;
                }
            }
        }
    }
}
