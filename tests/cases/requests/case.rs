//! What a case about a request is.

/// One case. The name is a sentence about the bytes.
#[derive(Clone, Debug)]
pub(in crate::cases) struct Case {
    pub(in crate::cases) name: &'static str,
    pub(super) sends: Vec<u8>,
    pub(super) outcome: Outcome,
    /// Fields that the request has when it leaves, `name: value`.
    pub(super) with: Vec<&'static str>,
    /// Names that it has not.
    pub(super) without: Vec<&'static str>,
    /// The method of the case's requests, where an answer to it has no body.
    pub(super) method: &'static str,
    /// How many 1xx the client gets; what follows `Pause` is sent when they are there.
    pub(super) interim: usize,
    /// What is sent after those.
    pub(super) later: Vec<u8>,
    /// The client ends its side behind its bytes, and `NEXT` is not sent.
    pub(super) finishes: bool,
    /// Where the code does less than the strictest reading of the RFCs asks for: why that is no danger.
    pub(super) because: &'static str,
}

/// What becomes of it.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// We answer with this, nothing reaches the endpoint, the connection ends.
    Refused(u16),
    /// We answer with this, nothing reaches the endpoint, the connection goes on.
    Declined(u16),
    /// These requests reach the endpoint and are answered, the connection goes on.
    Served(Vec<&'static str>),
    /// These requests reach the endpoint and are answered, the connection ends.
    Last(Vec<&'static str>),
    /// At most the beginning of a request reaches the endpoint, broken off so that it sees it; it gets this answer
    /// and the connection ends.
    BrokenOff(u16),
    /// The connection ends without a word, and at most the beginning of a request reaches the endpoint, broken off.
    Silence,
}

/// A case without its outcome.
pub(super) struct Draft(Case);

/// The beginning of a case: a plain `GET /`, until it says something else.
pub(super) fn case(name: &'static str) -> Draft {
    Draft(Case {
        name,
        sends: b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        outcome: Outcome::Silence,
        with: Vec::new(),
        without: Vec::new(),
        method: "GET",
        interim: 0,
        later: Vec::new(),
        finishes: false,
        because: "",
    })
}

impl Draft {
    /// Exactly these bytes.
    pub(super) fn sends(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.0.sends = bytes.as_ref().to_vec();
        self
    }

    /// `POST /` with a Host; these are the further fields, the empty line and the body.
    pub(super) fn post(self, rest: &str) -> Self {
        self.sends(format!("POST / HTTP/1.1\r\nHost: a\r\n{rest}"))
    }

    /// `POST /` in chunks; these are the chunks.
    pub(super) fn chunks(self, chunks: &str) -> Self {
        self.post(&format!("Transfer-Encoding: chunked\r\n\r\n{chunks}"))
    }

    /// `GET /` with a Host and these lines, without the end of the last one.
    pub(super) fn field(self, lines: impl AsRef<[u8]>) -> Self {
        self.sends([b"GET / HTTP/1.1\r\nHost: a\r\n", lines.as_ref(), b"\r\n\r\n"].concat())
    }

    /// `GET` of this target, with a Host.
    pub(super) fn target(self, target: impl AsRef<[u8]>) -> Self {
        self.sends([b"GET ", target.as_ref(), b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat())
    }

    /// This request line, with a Host.
    pub(super) fn line(self, line: &str) -> Self {
        self.sends(format!("{line}\r\nHost: a\r\n\r\n"))
    }

    /// The answers to the case's requests are answers to this method.
    pub(super) fn asking(mut self, method: &'static str) -> Self {
        self.0.method = method;
        self
    }

    /// The client waits for a 1xx and then sends these bytes.
    pub(super) fn then_after_100(mut self, bytes: &str) -> Self {
        self.0.interim = 1;
        self.0.later = bytes.into();
        self
    }

    /// The client ends its side.
    pub(super) fn then_finishes(mut self) -> Self {
        self.0.finishes = true;
        self
    }

    fn ends(mut self, outcome: Outcome) -> Case {
        self.0.outcome = outcome;
        self.0
    }

    pub(super) fn refused(self, status: u16) -> Case {
        self.ends(Outcome::Refused(status))
    }

    pub(super) fn declined(self, status: u16) -> Case {
        self.ends(Outcome::Declined(status))
    }

    pub(super) fn served(self, request: &'static str) -> Case {
        self.ends(Outcome::Served(vec![request]))
    }

    pub(super) fn served_each(self, requests: &[&'static str]) -> Case {
        self.ends(Outcome::Served(requests.to_vec()))
    }

    pub(super) fn last(self, request: &'static str) -> Case {
        self.ends(Outcome::Last(vec![request]))
    }

    pub(super) fn last_each(self, requests: &[&'static str]) -> Case {
        self.ends(Outcome::Last(requests.to_vec()))
    }

    pub(super) fn broken_off(self, status: u16) -> Case {
        self.ends(Outcome::BrokenOff(status))
    }

    pub(super) fn silence(self) -> Case {
        self.ends(Outcome::Silence)
    }
}

impl Case {
    /// The request has this field when it leaves.
    pub(super) fn with(mut self, field: &'static str) -> Self {
        self.with.push(field);
        self
    }

    /// The request has no field of this name when it leaves.
    pub(super) fn without(mut self, name: &'static str) -> Self {
        self.without.push(name);
        self
    }

    /// Why what the RFCs would have refused is served.
    pub(super) fn because(mut self, reason: &'static str) -> Self {
        self.because = reason;
        self
    }
}
