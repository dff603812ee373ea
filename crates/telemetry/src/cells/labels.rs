//! Closed sets of label values. What a peer sends never becomes a label by itself.

use super::reason::Fault;

/// An enum whose variants are the values of one label, numbered from 0.
macro_rules! label_set {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$variant_doc:meta])* $variant:ident => $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// All of them, in order.
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$variant),+];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The value of the label.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// Its place in [`Self::ALL`].
            #[must_use]
            pub const fn index(self) -> usize {
                self as usize
            }
        }
    };
}
pub(super) use label_set;

label_set! {
    /// A request's method, as the label `method` shows it. A client may invent methods, so all but nine are one.
    pub enum MethodLabel {
        /// `GET`
        Get => "GET",
        /// `HEAD`
        Head => "HEAD",
        /// `POST`
        Post => "POST",
        /// `PUT`
        Put => "PUT",
        /// `DELETE`
        Delete => "DELETE",
        /// `CONNECT`
        Connect => "CONNECT",
        /// `OPTIONS`
        Options => "OPTIONS",
        /// `TRACE`
        Trace => "TRACE",
        /// `PATCH`
        Patch => "PATCH",
        /// Every other method, and a request that never parsed.
        Other => "OTHER",
    }
}

impl From<&http::Method> for MethodLabel {
    #[inline]
    fn from(method: &http::Method) -> Self {
        match *method {
            http::Method::GET => Self::Get,
            http::Method::HEAD => Self::Head,
            http::Method::POST => Self::Post,
            http::Method::PUT => Self::Put,
            http::Method::DELETE => Self::Delete,
            http::Method::CONNECT => Self::Connect,
            http::Method::OPTIONS => Self::Options,
            http::Method::TRACE => Self::Trace,
            http::Method::PATCH => Self::Patch,
            _ => Self::Other,
        }
    }
}

label_set! {
    /// What an endpoint answered to one attempt, as the label `code_class` shows it.
    pub enum CodeClass {
        /// 100 to 199: the attempt became a tunnel (101).
        Informational => "1xx",
        /// 200 to 299
        Success => "2xx",
        /// 300 to 399
        Redirection => "3xx",
        /// 400 to 499
        ClientError => "4xx",
        /// 500 to 599
        ServerError => "5xx",
        /// No answer that we could use: not connected, reset, too late, no HTTP.
        None => "none",
    }
}

impl CodeClass {
    /// The class of a status code; [`Self::None`] outside 100 to 599.
    #[inline]
    #[must_use]
    pub const fn of(code: u16) -> Self {
        match code {
            100..=199 => Self::Informational,
            200..=299 => Self::Success,
            300..=399 => Self::Redirection,
            400..=499 => Self::ClientError,
            500..=599 => Self::ServerError,
            _ => Self::None,
        }
    }
}

label_set! {
    /// How a call of gRPC ended, as the label `class` shows it.
    pub enum GrpcClass {
        /// `grpc-status: 0`
        Ok => "ok",
        /// The server did as it should, and the call was wrong, came at the wrong time or was given up.
        ClientError => "client_error",
        /// The server could not do what it should have done.
        ServerError => "server_error",
        /// No status: the call was broken off, or what answered it does not speak gRPC.
        None => "none",
    }
}

impl GrpcClass {
    /// The class of a status. UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE and DATA_LOSS are what OpenTelemetry's
    /// semantic conventions for gRPC call an error of the server; a code that gRPC has not (doc/statuscodes.md) is as good as UNKNOWN.
    #[inline]
    #[must_use]
    pub const fn of(status: u8) -> Self {
        match status {
            0 => Self::Ok,
            1 | 3 | 5..=11 | 16 => Self::ClientError,
            _ => Self::ServerError,
        }
    }
}

label_set! {
    /// How an attempt to connect to an endpoint ended, as the label `result` shows it.
    pub enum ConnectResult {
        /// Connected.
        Ok => "ok",
        /// Refused, unreachable, or without an address.
        Failed => "failed",
        /// Neither yes nor no in time.
        TimedOut => "timed_out",
        /// Connected, but TLS did not come about, or not in time.
        TlsFailed => "tls_failed",
    }
}

label_set! {
    /// How an attempt after the first ended, as the label `outcome` shows it.
    pub enum RetryOutcome {
        /// The endpoint answered, whatever its status.
        Answered => "answered",
        /// It failed as well.
        Failed => "failed",
        /// The client left before it ended.
        Abandoned => "abandoned",
    }
}

label_set! {
    /// Why a connection without a good PROXY header was closed, as the label `reason` shows it.
    pub enum ProxyHeaderError {
        /// It came from an address that is not listed.
        Untrusted => "untrusted",
        /// It began with something else.
        Missing => "missing",
        /// Its header breaks the rules of the protocol.
        Malformed => "malformed",
        /// Its header is longer than headers are.
        TooLong => "too_long",
        /// Its header was not complete in time.
        TimedOut => "timed_out",
        /// It ended before its header did.
        Closed => "closed",
    }
}

label_set! {
    /// What the client of an HTTP/2 connection did so that we ended it, as the label `kind` shows it.
    pub enum Http2Fault {
        /// It spoke something else, such as HTTP/1.1.
        Preface => "preface",
        /// Requests that were given up as soon as they were made (CVE-2023-44487), or that had to be reset for what was wrong with them.
        RapidReset => "rapid_reset",
        /// One head in CONTINUATION frames without end (CVE-2024-27316).
        Continuation => "continuation",
        /// A head many times larger than is allowed, unpacked.
        HeaderList => "header_list",
        /// DATA frames that carry nothing (CVE-2019-9518), or hardly anything and faster than it can be passed on.
        Data => "data",
        /// SETTINGS, each of which must be answered (CVE-2019-9515).
        Settings => "settings",
        /// PING, each of which must be answered (CVE-2019-9512).
        Ping => "ping",
        /// PRIORITY (CVE-2019-9513).
        Priority => "priority",
        /// WINDOW_UPDATE for nothing that was sent.
        WindowUpdate => "window_update",
        /// Frames of unknown kinds.
        Unknown => "unknown",
        /// Anything else that RFC 9113 calls a connection error.
        Protocol => "protocol",
    }
}

label_set! {
    /// How a TLS handshake with a client ended, as the label `result` shows it.
    pub enum TlsHandshake {
        /// A new session.
        Full => "full",
        /// A session from before.
        Resumed => "resumed",
        /// Not within `timeouts.tls`.
        TimedOut => "timed_out",
        /// The client began with HTTP instead, and was told so.
        PlainHttp => "plain_http",
        /// It asked for a name that no certificate has, where that is refused.
        UnknownName => "unknown_name",
        /// It showed no certificate where one is wanted, or none that counts.
        ClientCertificate => "client_certificate",
        /// No version, cipher suite, group or protocol that both sides speak.
        Incompatible => "incompatible",
        /// The client gave up and said so: it does not trust our certificate.
        Alert => "alert",
        /// What came was not TLS, or broke its rules.
        Malformed => "malformed",
        /// The client closed the connection.
        Closed => "closed",
    }
}

label_set! {
    /// What a client has done to TLS after its handshake, as the label `kind` shows it.
    pub enum TlsFault {
        /// It sent a record that its key does not open.
        BadRecord => "bad_record",
        /// It gave up and said so.
        Alert => "alert",
        /// What came was not TLS, or broke its rules.
        Malformed => "malformed",
    }
}

label_set! {
    /// How a session of a tcp listener ended, as the label `result` and the field `reason` of the access log show it.
    pub enum SessionResult {
        /// Both sides have ended in order, and all was passed on.
        Complete => "complete",
        /// The client failed, or left before it was clear where it belongs.
        ClientClosed => "client_closed",
        /// The endpoint failed in the middle.
        UpstreamReset => "upstream_reset",
        /// No byte moved in either direction for `timeouts.tunnel_idle` of the upstream.
        Idle => "idle",
        /// Every endpoint is unhealthy, ejected, draining or without an address.
        NoEndpoint => "no_endpoint",
        /// No endpoint that was tried could be connected to.
        ConnectFailed => "connect_failed",
        /// The client asked for a name, or for none, that leads nowhere.
        UnknownName => "unknown_name",
        /// It did not begin with a ClientHello, and nothing else is wanted.
        NoHello => "no_hello",
        /// Its ClientHello was not there within `timeouts.tls`.
        TimedOut => "timed_out",
        /// The listener or the process has ended before it.
        Stopped => "stopped",
        /// A fault of our own.
        Internal => "internal",
    }
}

impl SessionResult {
    /// Whose fault it was; empty for an end in order.
    #[must_use]
    pub const fn fault(self) -> &'static str {
        match self {
            Self::Complete => "",
            Self::ClientClosed | Self::Idle | Self::UnknownName | Self::NoHello | Self::TimedOut => {
                Fault::Client.as_str()
            }
            Self::UpstreamReset | Self::NoEndpoint | Self::ConnectFailed => Fault::Upstream.as_str(),
            Self::Stopped => Fault::Policy.as_str(),
            Self::Internal => Fault::Us.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invented_method_is_other_and_case_matters() {
        for label in &MethodLabel::ALL[..9] {
            let method = http::Method::from_bytes(label.as_str().as_bytes()).unwrap();
            assert_eq!(MethodLabel::from(&method), *label);
        }
        for odd in ["get", "PROPFIND", "G", "OTHER"] {
            assert_eq!(MethodLabel::from(&http::Method::from_bytes(odd.as_bytes()).unwrap()), MethodLabel::Other);
        }
    }

    #[test]
    fn a_status_outside_the_five_classes_is_no_answer() {
        let class = |code| CodeClass::of(code).as_str();
        assert_eq!([99, 101, 204, 304, 404, 599, 600].map(class), ["none", "1xx", "2xx", "3xx", "4xx", "5xx", "none"]);
    }

    #[test]
    fn a_status_of_grpc_has_the_class_of_who_must_change_something() {
        let of = |class| (0..=20).filter(|code| GrpcClass::of(*code) == class).collect::<Vec<_>>();
        assert_eq!(of(GrpcClass::Ok), [0]);
        assert_eq!(of(GrpcClass::ClientError), [1, 3, 5, 6, 7, 8, 9, 10, 11, 16]);
        assert_eq!(of(GrpcClass::ServerError), [2, 4, 12, 13, 14, 15, 17, 18, 19, 20]);
    }

    #[test]
    fn a_label_is_found_at_its_index() {
        for label in MethodLabel::ALL {
            assert_eq!(MethodLabel::ALL[label.index()], label);
        }
    }
}
