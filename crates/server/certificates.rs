//! Files of certificates: what is wrong with them is shown at its place in the configuration, and what changes is read again.

use crate::control::Control;
use evenkeel_config::{Misfit, Problems, misfits};
use evenkeel_model::Config;
use evenkeel_net::tls::{ClientTls, ServerTls, TlsProblem};
use evenkeel_proxy::TlsOwner;
use std::{path::Path, sync::Arc, time::SystemTime};

/// Reads and checks every file that the configuration names, as a start would.
pub(crate) fn check(config: &Config) -> Vec<(TlsOwner, TlsProblem)> {
    let now = SystemTime::now();
    let listeners = config.listeners.iter().filter_map(|listener| {
        let problems = ServerTls::prepare(listener.tls.as_ref()?, None, now).err()?;
        Some((TlsOwner::Listener(listener.name.clone()), problems))
    });
    let upstreams = config.upstreams.iter().filter_map(|upstream| {
        let addresses = upstream.endpoints.iter().map(|endpoint| &endpoint.address);
        let problems = ClientTls::prepare(upstream.tls.as_ref()?, addresses, None, now).err()?;
        Some((TlsOwner::Upstream(upstream.name.clone()), problems))
    });
    let each = |(owner, problems): (TlsOwner, Vec<TlsProblem>)| {
        problems.into_iter().map(move |problem| (owner.clone(), problem))
    };
    listeners.chain(upstreams).flat_map(each).collect()
}

/// The problems, each at the value of its key. `source` is what was read from `path`.
pub(crate) fn placed(path: &Path, source: &str, problems: &[(TlsOwner, TlsProblem)]) -> Problems {
    let misfit = |(owner, problem): &(TlsOwner, TlsProblem)| Misfit {
        // Without a key it is about the section as a whole.
        key: [owner.section(), problem.key.clone()].join(if problem.key.is_empty() { "" } else { "." }),
        message: problem.message.clone(),
        hint: problem.hint.to_owned(),
    };
    misfits(source, &path.display().to_string(), problems.iter().map(misfit))
}

/// A file of certificates has changed: reads them again. What is good takes effect; what is not stays as it was, and is said.
pub(crate) async fn reload(control: &Control) {
    let state = Arc::clone(&control.state);
    let Ok(reloaded) = tokio::task::spawn_blocking(move || state.proxy.reload_certificates()).await else { return };
    for (owner, changed) in &reloaded.changed {
        tracing::info!(of = %owner, changed, "certificates read again");
    }
    for (owner, problem) in &reloaded.problems {
        let TlsProblem { key, message, hint } = problem;
        tracing::error!(of = %owner, key, "{message} ({hint})");
    }
    if !reloaded.problems.is_empty() {
        tracing::error!("the certificates from before stay in use");
    }
    control.state.process.certificates_read(reloaded.problems.is_empty(), true);
}
