//! Files of certificates: what is wrong with them is shown at its place in the configuration, and what changes is read again.

use crate::control::Control;
use evenkeel_config::{Misfit, Problems, misfits};
use evenkeel_model::{Config, ListenerName};
use evenkeel_net::tls::{ServerTls, TlsProblem};
use std::{path::Path, sync::Arc, time::SystemTime};

/// Reads and checks every file that the configuration names, as a start would.
pub(crate) fn check(config: &Config) -> Vec<(ListenerName, TlsProblem)> {
    let now = SystemTime::now();
    let listeners = config.listeners.iter().filter_map(|listener| Some((&listener.name, listener.tls.as_ref()?)));
    let problems = listeners.filter_map(|(name, settings)| {
        let problems = ServerTls::prepare(settings, None, now).err()?;
        Some(problems.into_iter().map(|problem| (name.clone(), problem)))
    });
    problems.flatten().collect()
}

/// The problems, each at the value of its key. `source` is what was read from `path`.
pub(crate) fn placed(path: &Path, source: &str, problems: &[(ListenerName, TlsProblem)]) -> Problems {
    let misfit = |(listener, problem): &(ListenerName, TlsProblem)| Misfit {
        key: format!("listeners.{listener}.tls.{}", problem.key),
        message: problem.message.clone(),
        hint: problem.hint.to_owned(),
    };
    misfits(source, &path.display().to_string(), problems.iter().map(misfit))
}

/// A file of certificates has changed: reads them again. What is good takes effect; what is not stays as it was, and is said.
pub(crate) async fn reload(control: &Control) {
    let state = Arc::clone(&control.state);
    let Ok(reloaded) = tokio::task::spawn_blocking(move || state.proxy.reload_certificates()).await else { return };
    for (listener, changed) in &reloaded.changed {
        tracing::info!(%listener, changed, "certificates read again");
    }
    for (listener, problem) in &reloaded.problems {
        let TlsProblem { key, message, hint } = problem;
        tracing::error!(%listener, key, "{message} ({hint})");
    }
    if !reloaded.problems.is_empty() {
        tracing::error!("the certificates from before stay in use");
    }
    control.state.process.certificates_read(reloaded.problems.is_empty(), true);
}
