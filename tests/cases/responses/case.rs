//! What a case about an answer is.

use crate::cases::scribe::Then;

/// One case. The name is a sentence about the bytes.
#[derive(Clone, Debug)]
pub(in crate::cases) struct Case {
    pub(in crate::cases) name: &'static str,
    /// The method and version of the request.
    pub(super) asks: (&'static str, &'static str),
    /// Further fields of the request, each with the end of its line.
    pub(super) says: &'static str,
    /// What the endpoint sends, and does then.
    pub(super) sends: Vec<u8>,
    pub(super) then: Then,
    pub(super) outcome: Outcome,
    /// Fields that the answer has when it arrives, `name: value`.
    pub(super) with: Vec<&'static str>,
    /// Names that it has not.
    pub(super) without: Vec<&'static str>,
    /// The statuses of 1xx that the client gets before.
    pub(super) interim: Vec<u16>,
    /// The endpoint's connection is used again.
    pub(super) reused: bool,
    /// Where the code does less than the strictest reading of the RFCs asks for: why that is no danger.
    pub(super) because: &'static str,
}

/// What the client gets.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// This answer, and its connection goes on.
    Relayed(&'static str),
    /// This answer, and its connection ends.
    Last(&'static str),
    /// Our 502 with this reason, and its connection goes on.
    Refused(&'static str),
    /// At most the beginning of an answer, visibly cut, and the end of its connection; or our 502.
    Cut,
}

/// A case without its outcome.
pub(super) struct Draft(Case);

/// The beginning of a case: a plain `GET` of HTTP/1.1 and an endpoint that keeps its connection.
pub(super) fn case(name: &'static str) -> Draft {
    Draft(Case {
        name,
        asks: ("GET", "HTTP/1.1"),
        says: "",
        sends: Vec::new(),
        then: Then::Goes,
        outcome: Outcome::Cut,
        with: Vec::new(),
        without: Vec::new(),
        interim: Vec::new(),
        reused: false,
        because: "",
    })
}

impl Draft {
    /// The client asks with this method.
    pub(super) fn to(mut self, method: &'static str) -> Self {
        self.0.asks.0 = method;
        self
    }

    /// The client speaks HTTP/1.0 and wants to keep its connection.
    pub(super) fn asked_by_http10(mut self) -> Self {
        self.0.asks.1 = "HTTP/1.0";
        self.0.says = "Connection: keep-alive\r\n";
        self
    }

    /// The client takes trailers.
    pub(super) fn asked_by_one_that_takes_trailers(mut self) -> Self {
        self.0.says = "TE: trailers\r\nConnection: TE\r\n";
        self
    }

    /// Exactly these bytes.
    pub(super) fn sends(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.0.sends = bytes.as_ref().to_vec();
        self
    }

    /// `200 OK`; these are the fields, the empty line and the body.
    pub(super) fn ok(self, rest: &str) -> Self {
        self.sends(format!("HTTP/1.1 200 OK\r\n{rest}"))
    }

    /// `200 OK` in chunks; these are the chunks.
    pub(super) fn chunks(self, chunks: &str) -> Self {
        self.ok(&format!("Transfer-Encoding: chunked\r\n\r\n{chunks}"))
    }

    /// The endpoint closes then.
    pub(super) fn then_closes(mut self) -> Self {
        self.0.then = Then::Closes;
        self
    }

    fn ends(mut self, outcome: Outcome) -> Case {
        self.0.outcome = outcome;
        self.0
    }

    /// It arrives so, and both connections go on.
    pub(super) fn relayed(mut self, answer: &'static str) -> Case {
        self.0.reused = true;
        self.ends(Outcome::Relayed(answer))
    }

    /// It arrives so, and the endpoint's connection is not used again.
    pub(super) fn relayed_once(self, answer: &'static str) -> Case {
        self.ends(Outcome::Relayed(answer))
    }

    /// It arrives so, the client's connection ends, and the endpoint's connection is used again.
    pub(super) fn last(mut self, answer: &'static str) -> Case {
        self.0.reused = true;
        self.ends(Outcome::Last(answer))
    }

    /// It arrives so, and both connections end.
    pub(super) fn last_of_both(self, answer: &'static str) -> Case {
        self.ends(Outcome::Last(answer))
    }

    pub(super) fn refused(self) -> Case {
        self.ends(Outcome::Refused("upstream_protocol"))
    }

    /// With the reason for an endpoint that goes away.
    pub(super) fn refused_as_reset(self) -> Case {
        self.ends(Outcome::Refused("upstream_reset"))
    }

    pub(super) fn cut(self) -> Case {
        self.ends(Outcome::Cut)
    }
}

impl Case {
    /// The answer has this field when it arrives.
    pub(super) fn with(mut self, field: &'static str) -> Self {
        self.with.push(field);
        self
    }

    /// The answer has no field of this name when it arrives.
    pub(super) fn without(mut self, name: &'static str) -> Self {
        self.without.push(name);
        self
    }

    /// Before it, these 1xx arrive.
    pub(super) fn behind(mut self, interim: &[u16]) -> Self {
        self.interim = interim.to_vec();
        self
    }

    /// Why what the RFCs would have refused is passed on.
    pub(super) fn because(mut self, reason: &'static str) -> Self {
        self.because = reason;
        self
    }
}
