//! Joins small parts of a body that are there at the same time, so that they leave as one.
//!
//! Under `download` and `upload`. Each part becomes a frame of HTTP/2 of its own, with a head of nine bytes, and a peer that counts frames takes
//! many small ones for a flood: h2 (0.4.20, `DataFrameBudget`) ends a connection, with everything on it, for some 130 that wait with
//! its default settings, some 2 000 with those of hyper's server and 10 000 with those of its client. No time passes: a small part that is
//! alone leaves at once.

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

/// Parts below this are joined: copying them costs less than a frame does.
const SMALL: usize = 1024;
/// And not beyond this: what every peer of HTTP/2 takes in one frame (RFC 9113, section 4.2).
const JOINED_MAX: usize = 16 * 1024;

/// Which small parts of a body are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    /// None: nobody counts frames.
    Never,
    /// Those that are there.
    WhatIsThere,
}

/// A body whose small parts are joined.
pub(crate) struct Joined<B: Body> {
    body: B,
    join: Join,
    gathered: Option<Gathered>,
    /// What has been looked at and could not be joined: it comes next.
    behind: Option<Part<B>>,
}

/// As a body gives it.
type Part<B> = Option<Result<Frame<Bytes>, <B as Body>::Error>>;

/// Small parts that will leave as one.
struct Gathered {
    first: Bytes,
    /// All of them, when there are several.
    all: BytesMut,
}

impl Gathered {
    fn len(&self) -> usize {
        self.first.len().max(self.all.len())
    }

    fn add(&mut self, part: &[u8]) {
        if self.all.is_empty() {
            self.all.extend_from_slice(&self.first);
        }
        self.all.extend_from_slice(part);
    }

    fn leaves(self) -> Frame<Bytes> {
        Frame::data(if self.all.is_empty() { self.first } else { self.all.freeze() })
    }
}

impl<B: Body<Data = Bytes> + Unpin> Joined<B> {
    pub(crate) fn new(body: B, join: Join) -> Self {
        Self { body, join, gathered: None, behind: None }
    }

    pub(super) fn body(&self) -> &B {
        &self.body
    }

    pub(super) fn body_mut(&mut self) -> &mut B {
        &mut self.body
    }

    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Part<B>> {
        loop {
            let Some(gathered) = &mut self.gathered else {
                let next = match self.behind.take() {
                    Some(behind) => behind,
                    None => ready!(Pin::new(&mut self.body).poll_frame(cx)),
                };
                match data(&next) {
                    Some(data) if data.len() < SMALL && self.join != Join::Never => {
                        self.gathered = Some(Gathered { first: data.clone(), all: BytesMut::new() });
                        continue;
                    }
                    _ => return Poll::Ready(next),
                }
            };
            if !self.body.is_end_stream() {
                match Pin::new(&mut self.body).poll_frame(cx) {
                    Poll::Pending => {}
                    Poll::Ready(next) => match data(&next).filter(|data| gathered.len() + data.len() <= JOINED_MAX) {
                        Some(data) => {
                            gathered.add(data);
                            continue;
                        }
                        None => self.behind = Some(next),
                    },
                }
            }
            return Poll::Ready(self.gathered.take().map(|gathered| Ok(gathered.leaves())));
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.gathered.is_none() && self.behind.is_none() && self.body.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let gathered = self.gathered.as_ref().map_or(0, Gathered::len);
        let behind = self.behind.as_ref().and_then(data).map_or(0, Bytes::len);
        let to_come = self.body.size_hint();
        to_come.exact().map_or(to_come, |to_come| SizeHint::with_exact(to_come + (gathered + behind) as u64))
    }
}

fn data<E>(part: &Option<Result<Frame<Bytes>, E>>) -> Option<&Bytes> {
    part.as_ref()?.as_ref().ok()?.data_ref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use std::{collections::VecDeque, task::Waker};

    /// What a body gives, part by part.
    #[derive(Clone, Debug, PartialEq)]
    enum Step {
        Data(usize),
        Waits,
        Trailers,
        Fails,
    }
    use Step::{Data, Fails, Trailers, Waits};

    struct Script(VecDeque<Step>);

    impl Body for Script {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Part<Self>> {
            Poll::Ready(match self.0.pop_front() {
                Some(Data(length)) => Some(Ok(Frame::data(vec![b'x'; length].into()))),
                Some(Waits) => return Poll::Pending,
                Some(Trailers) => Some(Ok(Frame::trailers(HeaderMap::new()))),
                Some(Fails) => Some(Err("broken off")),
                None => None,
            })
        }

        fn is_end_stream(&self) -> bool {
            self.0.is_empty()
        }

        fn size_hint(&self) -> SizeHint {
            let length = |step: &Step| if let Data(length) = step { *length as u64 } else { 0 };
            SizeHint::with_exact(self.0.iter().map(length).sum())
        }
    }

    /// What leaves, and that nothing is lost of what is announced.
    fn leaves(steps: &[Step], join: Join) -> Vec<Step> {
        let mut body = Joined::new(Script(steps.iter().cloned().collect()), join);
        let (mut seen, mut left) = (Vec::new(), body.size_hint().exact().unwrap());
        while !body.is_end_stream() {
            seen.push(match body.poll_frame(&mut Context::from_waker(Waker::noop())) {
                Poll::Pending => Waits,
                Poll::Ready(None) => break,
                Poll::Ready(Some(Err(_))) => Fails,
                Poll::Ready(Some(Ok(frame))) => match frame.data_ref() {
                    Some(data) => {
                        left -= data.len() as u64;
                        assert_eq!(body.size_hint().exact(), Some(left));
                        Data(data.len())
                    }
                    None => Trailers,
                },
            });
        }
        assert_eq!(left, 0);
        seen
    }

    #[test]
    fn small_parts_that_are_there_leave_as_one_and_what_follows_them_follows() {
        for end in [vec![], vec![Trailers], vec![Fails]] {
            let steps = [vec![Data(10); 500], end.clone()].concat();
            assert_eq!(leaves(&steps, Join::WhatIsThere), [vec![Data(5000)], end].concat());
        }
    }

    #[test]
    fn a_small_part_that_is_alone_leaves_at_once() {
        let steps = [Data(10), Waits, Data(20), Data(5), Waits, Waits, Trailers];
        // The look behind it has met the wait, so that is not seen again.
        assert_eq!(leaves(&steps, Join::WhatIsThere), [Data(10), Data(25), Waits, Trailers]);
    }

    #[test]
    fn large_parts_are_left_alone_and_no_joined_one_is_too_large() {
        assert_eq!(leaves(&[Data(5000), Data(10), Data(5000)], Join::WhatIsThere), [Data(5000), Data(5010)]);
        assert_eq!(leaves(&[Data(10), Data(20_000), Data(10)], Join::WhatIsThere), [Data(10), Data(20_000), Data(10)]);
        let all = leaves(&vec![Data(1000); 100], Join::WhatIsThere);
        assert!(all.iter().all(|step| matches!(step, Data(length) if *length <= JOINED_MAX)), "{all:?}");
    }

    #[test]
    fn a_body_that_is_not_to_be_joined_is_as_it_was() {
        let steps = [Data(1), Data(2), Waits, Data(3), Trailers];
        assert_eq!(leaves(&steps, Join::Never), steps);
    }
}
