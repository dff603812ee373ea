//! What was wrong with an answer, in words that a person can act on.

use evenkeel_model::Duration;
use evenkeel_net::{ConnectError, tls::Refusal};
use std::{error::Error as _, fmt, io, ops::RangeInclusive};

/// Why an answer is a bad one. Its text stands in the log and in the admin API.
#[derive(Debug)]
pub(crate) enum Failure {
    /// There is no connection.
    Connect(ConnectError),
    /// There was none in time.
    NoConnection { limit: Duration },
    /// There was one, but TLS did not come about.
    Tls(Refusal),
    /// There was one, and the time is over.
    NoAnswer { limit: Duration },
    /// What came is no HTTP, or it ended too early.
    Broken(hyper::Error),
    /// The call of gRPC ended with another status than OK.
    Call { status: Option<String> },
    /// The answer to the call does not say SERVING.
    NotServing { answer: &'static str },
    /// Not one of the statuses that we want.
    Status { got: u16, wanted: Vec<RangeInclusive<u16>> },
    /// The text is not in the first part of the body.
    Body { wanted: String },
}

impl Failure {
    /// Whether the endpoint was too slow rather than wrong.
    pub(crate) fn timed_out(&self) -> bool {
        matches!(self, Self::NoConnection { .. } | Self::NoAnswer { .. })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The kernel's text is "Connection refused (os error 111)"; the number helps nobody.
            Self::Connect(ConnectError::Io(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                f.write_str("connection refused")
            }
            Self::Connect(error) => error.fmt(f),
            Self::Tls(refusal) => refusal.fmt(f),
            Self::NoConnection { limit } => write!(f, "no connection within {limit:?}"),
            Self::NoAnswer { limit } => write!(f, "no answer within {limit:?}"),
            Self::Broken(error) => match error.source() {
                // That hyper gave the request up says less than why it did.
                Some(cause) if error.is_canceled() => write!(f, "no complete HTTP answer: {cause}"),
                Some(cause) => write!(f, "no complete HTTP answer: {error}: {cause}"),
                None => write!(f, "no complete HTTP answer: {error}"),
            },
            Self::Call { status: Some(status) } => match status.as_str() {
                "5" => f.write_str("grpc-status 5, the server does not know this service"),
                "12" => f.write_str("grpc-status 12, the server has no grpc.health.v1"),
                other => write!(f, "grpc-status {other:?}, wanted 0"),
            },
            Self::Call { status: None } => f.write_str("no grpc-status"),
            Self::NotServing { answer } => write!(f, "{answer}, wanted SERVING"),
            Self::Status { got, wanted } => {
                write!(f, "status {got}, wanted ")?;
                for (n, range) in wanted.iter().enumerate() {
                    let comma = if n == 0 { "" } else { ", " };
                    let (first, last) = (range.start(), range.end());
                    if first == last { write!(f, "{comma}{first}") } else { write!(f, "{comma}{first}-{last}") }?;
                }
                Ok(())
            }
            // Debug escapes what would break a line of the log.
            Self::Body { wanted } => write!(f, "the body does not contain {wanted:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_reads_as_what_to_do_something_about() {
        let refused = ConnectError::Io(io::Error::from_raw_os_error(111));
        for (failure, text) in [
            (Failure::Connect(refused), "connection refused"),
            (Failure::Connect(ConnectError::NoAddress), "the name has no address yet"),
            (Failure::NoConnection { limit: Duration::from_secs(2) }, "no connection within 2s"),
            (Failure::NoAnswer { limit: Duration::from_millis(1500) }, "no answer within 1.5s"),
            (Failure::Status { got: 500, wanted: vec![200..=299] }, "status 500, wanted 200-299"),
            (Failure::Status { got: 302, wanted: vec![200..=200, 204..=206] }, "status 302, wanted 200, 204-206"),
            (Failure::Body { wanted: "o\nk".into() }, r#"the body does not contain "o\nk""#),
        ] {
            assert_eq!(failure.to_string(), text);
        }
    }
}
