//! What a `RawOrigin` does on one connection, step by step.

use std::time::Duration;
use tokio::sync::watch;

#[derive(Clone, Debug)]
pub(super) enum Step {
    ReadRequest,
    ReadHead,
    Send(Vec<u8>),
    SendSlowly(Vec<u8>, Duration),
    Wait(watch::Receiver<bool>),
    Close,
    FinishWriting,
    Reset,
    Stall,
    Repeat,
}

/// What a `RawOrigin` does on one connection. After the last step it reads on until the peer ends.
#[derive(Clone, Debug, Default)]
pub struct Script {
    pub(super) steps: Vec<Step>,
}

impl Script {
    /// Does nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Reads one whole request, head and body.
    #[must_use]
    pub fn reads_request(self) -> Self {
        self.then(Step::ReadRequest)
    }

    /// Reads the head of a request only.
    #[must_use]
    pub fn reads_head(self) -> Self {
        self.then(Step::ReadHead)
    }

    /// Sends exactly these bytes.
    #[must_use]
    pub fn sends(self, bytes: impl AsRef<[u8]>) -> Self {
        self.then(Step::Send(bytes.as_ref().to_vec()))
    }

    /// Sends exactly these bytes, one at a time with a pause after each.
    #[must_use]
    pub fn drips(self, bytes: impl AsRef<[u8]>, pause: Duration) -> Self {
        self.then(Step::SendSlowly(bytes.as_ref().to_vec(), pause))
    }

    /// Waits until the test sends `true`, or drops the sender.
    #[must_use]
    pub fn waits_for(self, gate: &watch::Sender<bool>) -> Self {
        self.then(Step::Wait(gate.subscribe()))
    }

    /// Closes the connection.
    #[must_use]
    pub fn closes(self) -> Self {
        self.then(Step::Close)
    }

    /// Ends its side only (FIN) and goes on reading.
    #[must_use]
    pub fn finishes_writing(self) -> Self {
        self.then(Step::FinishWriting)
    }

    /// Ends the connection with a reset.
    #[must_use]
    pub fn resets(self) -> Self {
        self.then(Step::Reset)
    }

    /// Says nothing more, reads on until the peer ends.
    #[must_use]
    pub fn stalls(self) -> Self {
        self.then(Step::Stall)
    }

    /// Begins again with the first step, on the same connection.
    #[must_use]
    pub fn repeats(self) -> Self {
        self.then(Step::Repeat)
    }

    /// Answers every request on a connection with these bytes.
    #[must_use]
    pub fn answering(response: impl AsRef<[u8]>) -> Self {
        Self::new().reads_request().sends(response).repeats()
    }
}
