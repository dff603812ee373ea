//! What an origin answers to one path.

use bytes::Bytes;
use std::time::Duration;

/// What an origin answers to one path.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Body,
    pub(super) delay: Duration,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    /// The request, as JSON.
    Echo,
    /// These bytes.
    Bytes(Bytes),
}

impl Answer {
    /// 200 and the request itself as JSON: `origin`, `method`, `target`, `version`, `headers` (pairs, in order), `body`.
    #[must_use]
    pub fn echo() -> Self {
        Self { status: 200, headers: Vec::new(), body: Body::Echo, delay: Duration::ZERO }
    }

    /// This status, with its number as the body.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self { status, body: Body::Bytes(status.to_string().into()), ..Self::echo() }
    }

    /// 200 and this body.
    #[must_use]
    pub fn text(body: impl Into<Bytes>) -> Self {
        Self { body: Body::Bytes(body.into()), ..Self::echo() }
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Body::Bytes(body.into());
        self
    }

    /// With one more field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// After this time.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}
