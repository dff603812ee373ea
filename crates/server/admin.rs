//! The admin listener: bound before anything changes, moved when the file moves it.

use crate::state::State;
use anyhow::Context;
use evenkeel_admin::{Operations, Serving, Socket};
use evenkeel_model::{self as model, Address};
use evenkeel_net::Listening;
use std::sync::Arc;

/// A bound socket, and where: as written, and in the end.
pub(crate) struct Bound {
    socket: Socket,
    written: Address,
    address: Address,
}

/// The admin listener, if there is one.
pub(crate) struct Admin {
    serving: Option<(Serving, Address, Address)>,
}

/// Binds what the file says; `None` if it says nothing.
pub(crate) fn bind(settings: Option<&model::Admin>) -> anyhow::Result<Option<Bound>> {
    let Some(settings) = settings else { return Ok(None) };
    let (sockets, address) = evenkeel_net::bind(&settings.listen, 1).context("[admin]")?;
    let socket = match sockets.into_iter().next().context("one socket was asked for")? {
        Listening::Tcp(socket) => Socket::from(socket),
        Listening::Unix(socket) => Socket::from(socket),
    };
    Ok(Some(Bound { socket, written: settings.listen.clone(), address }))
}

impl Admin {
    /// Serves on a bound socket.
    pub(crate) fn serve(bound: Option<Bound>, state: &Arc<State>) -> anyhow::Result<Self> {
        let Some(Bound { socket, written, address }) = bound else { return Ok(Self { serving: None }) };
        let operations: Arc<dyn Operations> = Arc::clone(state) as _;
        let serving = evenkeel_admin::serve(socket, operations)?;
        Ok(Self { serving: Some((serving, written, address)) })
    }

    /// Where it listens, in the end.
    pub(crate) fn address(&self) -> Option<&Address> {
        self.serving.as_ref().map(|(_, _, address)| address)
    }

    /// Whether the file wants it elsewhere.
    pub(crate) fn moves(&self, settings: Option<&model::Admin>) -> bool {
        self.serving.as_ref().map(|(_, written, _)| written) != settings.map(|settings| &settings.listen)
    }

    fn unlink(&self) {
        if let Some((_, _, Address::Unix(path))) = &self.serving {
            let _ = std::fs::remove_file(path);
        }
    }

    /// Ends, and serves on another socket.
    pub(crate) async fn move_to(&mut self, bound: Option<Bound>, state: &Arc<State>) -> anyhow::Result<()> {
        let next = Self::serve(bound, state)?;
        let mut before = std::mem::replace(self, next);
        before.unlink();
        if let Some((serving, ..)) = before.serving.take() {
            // Not waited for: a reload that was asked for through it is answered through it.
            tokio::spawn(serving.stop());
        }
        Ok(())
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.unlink();
    }
}
