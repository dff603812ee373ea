//! A configuration change, from the file to the workers. Whatever can fail is done before anything is touched: a bad change never
//! takes effect.

use crate::{
    admin::{self, Bound},
    certificates,
    control::Control,
    start,
    state::ReloadRequest,
};
use evenkeel_admin::{LastReload, ReloadView};
use evenkeel_config::{Loaded, Problems, load};
use evenkeel_proxy::{BuildError, Prepared, PublishError};
use evenkeel_telemetry::{access_log, process::Reload};
use std::{sync::Arc, time::SystemTime};

/// Who asks.
pub(crate) enum Trigger {
    /// The file has other content.
    File,
    /// HUP.
    Signal,
    /// The admin listener; it waits for the outcome.
    Api(ReloadRequest),
}

/// A change that can no longer fail.
struct Change {
    prepared: Prepared,
    access_log: access_log::Prepared,
    /// Where the admin listener moves to, if it moves.
    admin: Option<Option<Bound>>,
}

/// Reads the file and, if all of it is good, makes it the one in force.
pub(crate) async fn reload(control: &mut Control, trigger: Trigger) {
    let outcome = try_reload(control).await;
    match &outcome {
        Ok(view) if view.changed => {
            tracing::info!(hash = %view.hash, generation = view.generation, "configuration reloaded");
        }
        Ok(_) => tracing::info!("the configuration file has not changed"),
        Err(problems) => {
            for problem in problems {
                tracing::error!("{problem}");
            }
            tracing::error!("the change was refused; the configuration before it runs on");
            control.state.process.config_reloaded(Reload::Refused);
            let last = LastReload { successful: false, at: SystemTime::now(), problems: problems.clone() };
            control.state.reloaded(last);
        }
    }
    if let Trigger::Api(answer) = trigger {
        // Whoever asked may be gone.
        let _ = answer.send(outcome.map_err(|problems| problems.join("\n")));
    }
}

async fn try_reload(control: &mut Control) -> Result<ReloadView, Vec<String>> {
    let path = control.path.clone();
    // Off this thread: probes keep their time while ten thousand endpoints are parsed.
    let loaded = tokio::task::spawn_blocking(move || load(&path)).await.map_err(|error| vec![error.to_string()])?;
    let loaded = loaded.map_err(|problems| lines(&problems))?;
    control.watch.seen(loaded.hash);
    let hash = loaded.hash.to_string();
    let running = control.state.view().hash.clone();
    if hash == running {
        if loaded.config.files().next().is_some() {
            certificates::reload(control).await;
        }
        let generation = control.state.proxy.generation();
        return Ok(ReloadView { changed: false, hash, generation });
    }
    let before = control.state.proxy.snapshot().config().files().cloned().collect::<Vec<_>>();
    let after = loaded.config.files().cloned().collect::<Vec<_>>();
    control.watch.named([before.as_slice(), after.as_slice()].concat());
    let prepared = prepare(control, &loaded).await;
    control.watch.named(if prepared.is_ok() { after } else { before });
    let change = prepared.map_err(|error| explain(control, &loaded, &error))?;
    Ok(commit(control, loaded, change).await)
}

fn lines(problems: &Problems) -> Vec<String> {
    problems.to_string().lines().map(str::to_owned).collect()
}

/// One sentence for each problem; those of certificates with their place.
fn explain(control: &Control, loaded: &Loaded, error: &anyhow::Error) -> Vec<String> {
    match error.downcast_ref::<PublishError>() {
        Some(PublishError::Build(BuildError::Tls(problems))) => {
            lines(&certificates::placed(&control.path, &loaded.source, problems))
        }
        _ => vec![format!("{error:#}")],
    }
}

async fn prepare(control: &Control, loaded: &Loaded) -> anyhow::Result<Change> {
    let settings = &loaded.config;
    let admin =
        control.admin.moves(settings.admin.as_ref()).then(|| admin::bind(settings.admin.as_ref())).transpose()?;
    let access_log = start::prepare_log(&control.state.access_log, settings.access_log.as_ref())?;
    let state = Arc::clone(&control.state);
    let config = settings.clone();
    let prepared = tokio::task::spawn_blocking(move || state.proxy.prepare(config)).await??;
    Ok(Change { prepared, access_log, admin })
}

async fn commit(control: &mut Control, loaded: Loaded, change: Change) -> ReloadView {
    let Change { prepared, access_log, admin } = change;
    let state = Arc::clone(&control.state);
    // The verdicts of new endpoints are set before a worker can see them.
    start::resolve(prepared.snapshot()).await;
    state.checker.reconcile(start::targets(prepared.snapshot()));
    let (generation, served) = state.proxy.commit(prepared);
    served.wait().await;
    state.access_log.apply(access_log);
    state.process.certificates_read(true, false);
    control.logging.set(loaded.config.log);
    if let Some(bound) = admin
        && let Err(error) = control.admin.move_to(bound, &state).await
    {
        tracing::error!("the admin listener could not move: {error:#}");
    }
    for warning in &loaded.warnings {
        tracing::warn!("{}", warning.message);
    }
    if start::needs_restart(control.workers, &loaded.config) {
        tracing::warn!("'workers' takes effect at restart only; everything else of the file is in force");
    }
    let (hash, now) = (loaded.hash.to_string(), SystemTime::now());
    state.process.config_reloaded(Reload::Applied { hash: &hash, at: now });
    let mut view = state.view();
    view.hash.clone_from(&hash);
    view.generation = generation;
    view.loaded_at = now;
    let problems = lines(&loaded.warnings);
    view.last_reload = Some(LastReload { successful: true, at: now, problems });
    ReloadView { changed: true, hash, generation }
}
