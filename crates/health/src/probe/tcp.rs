//! Asks whether a connection can be made, and TLS spoken where the upstream has it. Other probes begin with it.

use super::Failure;
use evenkeel_model::{Probe, ProbeKind, Protocol};
use evenkeel_net::{
    ConnectError, Stream, Target, connect_port,
    proxy_protocol::{Announced, write},
    tls::{ClientTls, Inside, Refusal},
};
use tokio::io::AsyncWriteExt;

/// A connection on which a question can be asked.
pub(super) struct Opened {
    pub(super) stream: Stream,
    /// What is spoken on it.
    pub(super) protocol: Protocol,
    /// Whether that is within TLS.
    pub(super) secured: bool,
}

/// A connection to where the probe asks; closing it ends the question. The caller's patience stands around it, and the limit
/// given here shares the time out between the addresses of a name. An endpoint that wants a PROXY header is told that nobody else is
/// asking. At another port is mostly another server, so the upstream's TLS does not hold for it, as with HAProxy (`check-ssl`).
pub(super) async fn connect(target: &Target, probe: &Probe, tls: Option<&ClientTls>) -> Result<Opened, Failure> {
    let connected = connect_port(target, probe.port, probe.timeout).await;
    let mut stream = connected.map_err(|error| match error {
        ConnectError::TimedOut { .. } => Failure::NoConnection { limit: probe.timeout },
        other => Failure::Connect(other),
    })?;
    if let Some(version) = probe.proxy_protocol {
        let header = write(version, Announced::Itself);
        stream.write_all(&header).await.map_err(|error| Failure::Connect(error.into()))?;
    }
    let Some(tls) = tls.filter(|_| probe.port.is_none()) else {
        return Ok(Opened { stream, protocol: probe.protocol, secured: false });
    };
    let inside = match (&probe.kind, probe.protocol) {
        // gRPC is HTTP/2, whatever requests speak.
        (ProbeKind::Grpc(_), _) => Inside::Only(Protocol::Http2),
        // It may be an endpoint of a tcp listener, and one that chooses nothing speaks HTTP/1.1.
        (ProbeKind::Tcp, Protocol::Http11) => Inside::Bytes,
        _ => Inside::Agreed,
    };
    match tls.probe(stream, target.address(), inside, probe.timeout).await {
        Ok(connected) => Ok(Opened { stream: connected.stream, protocol: connected.protocol, secured: true }),
        Err(Refusal::TimedOut { .. }) => Err(Failure::NoAnswer { limit: probe.timeout }),
        Err(refusal) => Err(Failure::Tls(refusal)),
    }
}
