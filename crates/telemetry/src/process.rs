//! Metrics of the process as a whole, and those that change rarely: through `metrics` and its exporter.
//!
//! The exporter cannot forget a series, so nothing that comes and goes with the configuration is kept there: that is
//! counted in cells. The binary makes one [`Process`], may install it for crates that speak `metrics`, and appends its
//! page to that of the cells.

use crate::{
    Exposition,
    names::{self, Family, Kind},
    panics,
};
use metrics::{Recorder, SetRecorderError};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

/// The metrics of the process.
pub struct Process {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
    system: metrics_process::Collector,
    /// The hash of the running configuration. Not in the recorder, which would show the old ones for ever.
    config_hash: Mutex<Option<String>>,
}

/// How a load of the configuration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload<'a> {
    /// It runs now.
    Applied {
        /// The hash of its file, as people see it.
        hash: &'a str,
        /// When.
        at: SystemTime,
    },
    /// It was refused, and what ran before runs on.
    Refused,
}

impl Process {
    /// With nothing installed yet; `version` and `revision` are those of the program.
    #[must_use]
    pub fn new(version: &str, revision: &str) -> Self {
        let recorder = Arc::new(PrometheusBuilder::new().build_recorder());
        let handle = recorder.handle();
        let process =
            Self { recorder, handle, system: metrics_process::Collector::default(), config_hash: Mutex::new(None) };
        process.record(|| {
            process.system.describe();
            for family in [
                names::BUILD_INFO,
                names::PANICS,
                names::CONFIG_LAST_RELOAD_SUCCESSFUL,
                names::CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP,
                names::CONFIG_RELOADS,
                names::TLS_CERTIFICATE_RELOADS,
                names::TLS_CERTIFICATE_LAST_RELOAD_SUCCESSFUL,
            ] {
                describe(&family);
            }
            let labels = [("version", version.to_owned()), ("revision", revision.to_owned())];
            metrics::gauge!(names::BUILD_INFO.name, &labels).set(1.0);
            metrics::gauge!(names::CONFIG_LAST_RELOAD_SUCCESSFUL.name).set(0.0);
            metrics::gauge!(names::TLS_CERTIFICATE_LAST_RELOAD_SUCCESSFUL.name).set(1.0);
            metrics::gauge!(names::CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP.name).set(0.0);
            for result in [SUCCESS, FAILURE] {
                metrics::counter!(names::CONFIG_RELOADS.name, "result" => result).absolute(0);
                metrics::counter!(names::TLS_CERTIFICATE_RELOADS.name, "result" => result).absolute(0);
            }
        });
        process
    }

    /// Makes this the recorder of the whole process, so that other crates may use the macros of `metrics`. For the binary
    /// only.
    ///
    /// # Errors
    /// When the process has a recorder already.
    pub fn install(&self) -> Result<(), SetRecorderError<Arc<PrometheusRecorder>>> {
        metrics::set_global_recorder(Arc::clone(&self.recorder))
    }

    /// The configuration that we start with runs now. It counts as loaded, not as a reload.
    pub fn config_started(&self, hash: &str, at: SystemTime) {
        self.applied(hash, at);
    }

    /// A reload has ended.
    pub fn config_reloaded(&self, reload: Reload<'_>) {
        let result = match reload {
            Reload::Applied { hash, at } => {
                self.applied(hash, at);
                SUCCESS
            }
            Reload::Refused => {
                self.record(|| metrics::gauge!(names::CONFIG_LAST_RELOAD_SUCCESSFUL.name).set(0.0));
                FAILURE
            }
        };
        self.record(|| metrics::counter!(names::CONFIG_RELOADS.name, "result" => result).increment(1));
    }

    /// All files of certificates were good: as they were read with a configuration (`again` is false), or again after one changed.
    pub fn certificates_read(&self, good: bool, again: bool) {
        self.record(|| {
            let gauge = metrics::gauge!(names::TLS_CERTIFICATE_LAST_RELOAD_SUCCESSFUL.name);
            gauge.set(f64::from(u8::from(good)));
            if again {
                let result = if good { SUCCESS } else { FAILURE };
                metrics::counter!(names::TLS_CERTIFICATE_RELOADS.name, "result" => result).increment(1);
            }
        });
    }

    /// The page, in the text format of [`Exposition`]. Reads `/proc` where there is one: not for a worker.
    #[must_use]
    pub fn render(&self) -> String {
        self.record(|| {
            self.system.collect();
            metrics::counter!(names::PANICS.name).absolute(panics::count());
        });
        let mut page = Exposition::new();
        if let Some(hash) = &*self.hash() {
            page.family(&names::CONFIG_INFO).sample(&[("hash", hash)], 1_u64);
        }
        page.finish() + &self.handle.render()
    }

    fn applied(&self, hash: &str, at: SystemTime) {
        *self.hash() = Some(hash.to_owned());
        let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        self.record(|| {
            metrics::gauge!(names::CONFIG_LAST_RELOAD_SUCCESSFUL.name).set(1.0);
            metrics::gauge!(names::CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP.name).set(seconds);
        });
    }

    fn hash(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.config_hash.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is recorded in here goes to our recorder, installed or not.
    fn record(&self, story: impl FnOnce()) {
        metrics::with_local_recorder(&*self.recorder, story);
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("config_hash", &self.config_hash).finish_non_exhaustive()
    }
}

/// The values of the label `result`.
const SUCCESS: &str = "success";
const FAILURE: &str = "failure";

/// Tells the current recorder the help of a family.
fn describe(family: &Family) {
    metrics::with_recorder(|recorder: &dyn Recorder| match family.kind {
        Kind::Counter => recorder.describe_counter(family.name.into(), None, family.help.into()),
        Kind::Gauge => recorder.describe_gauge(family.name.into(), None, family.help.into()),
        Kind::Histogram => recorder.describe_histogram(family.name.into(), None, family.help.into()),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check;
    use std::time::Duration;

    #[test]
    fn a_page_is_right_and_says_who_we_are_from_the_start() {
        let scrape = check::text_format(&Process::new("0.1.0", "abc\"\\").render()).unwrap();

        let labels = [("version", "0.1.0"), ("revision", "abc\"\\")];
        assert_eq!(scrape.sum(names::BUILD_INFO.name, &labels), 1.0);
        for (family, labels) in [
            (names::CONFIG_RELOADS, &[("result", "success")][..]),
            (names::CONFIG_RELOADS, &[("result", "failure")]),
            (names::PANICS, &[]),
            (names::CONFIG_LAST_RELOAD_SUCCESSFUL, &[]),
        ] {
            assert!(scrape.find(family.name, labels).is_some(), "{} {labels:?} is there from the start", family.name);
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_process_tells_what_it_uses() {
        let scrape = check::text_format(&Process::new("", "").render()).unwrap();
        for name in ["process_resident_memory_bytes", "process_open_fds", "process_max_fds", "process_threads"] {
            assert!(scrape.sum(name, &[]) > 0.0, "{name}");
        }
        assert!(scrape.find("process_cpu_seconds_total", &[]).is_some());
    }

    #[test]
    fn a_refused_reload_is_counted_and_the_running_configuration_stays_visible() {
        let process = Process::new("0.1.0", "");
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);

        process.config_started("aaaa", at(1_700_000_000));
        process.config_reloaded(Reload::Refused);
        let refused = check::text_format(&process.render()).unwrap();
        process.config_reloaded(Reload::Applied { hash: "bbbb", at: at(1_700_000_100) });
        let applied = check::text_format(&process.render()).unwrap();

        assert_eq!(refused.sum(names::CONFIG_LAST_RELOAD_SUCCESSFUL.name, &[]), 0.0);
        assert_eq!(refused.sum(names::CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP.name, &[]), 1_700_000_000.0);
        assert_eq!(refused.sum(names::CONFIG_INFO.name, &[("hash", "aaaa")]), 1.0);
        assert_eq!(applied.sum(names::CONFIG_LAST_RELOAD_SUCCESSFUL.name, &[]), 1.0);
        assert_eq!(applied.sum(names::CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP.name, &[]), 1_700_000_100.0);
        assert_eq!(applied.sum(names::CONFIG_INFO.name, &[]), 1.0, "the old hash is gone");
        assert_eq!(applied.sum(names::CONFIG_RELOADS.name, &[("result", "success")]), 1.0);
        assert_eq!(applied.sum(names::CONFIG_RELOADS.name, &[("result", "failure")]), 1.0);
    }
}
