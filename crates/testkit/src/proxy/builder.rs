//! How a proxy is described before it starts: a whole file, or the smallest one with something added.

use super::{
    command::binary,
    file::ConfigFile,
    process::{Exit, Process},
    running::Proxy,
};
use std::{
    ffi::{OsStr, OsString},
    fmt::Display,
    path::Path,
    process::Command,
};
use tempfile::TempDir;

/// A proxy about to start.
///
/// The file is the one given, or: the listener `web` on a free port, one route to the upstream `site`, and its endpoints.
/// Before it stand, unless the file names them itself: two workers, an admin listener on a free port, and a drain without
/// grace.
#[derive(Debug)]
#[must_use = "nothing runs until it starts"]
pub struct Builder {
    folder: TempDir,
    workers: usize,
    kubernetes: bool,
    descriptors: Option<u32>,
    environment: Vec<(String, OsString)>,
    text: Text,
}

#[derive(Debug)]
enum Text {
    /// Nothing is put before it.
    Exact(String),
    Whole(String),
    Parts {
        top: String,
        listener: String,
        route: String,
        upstream: String,
        more: String,
    },
}

impl Builder {
    pub(super) fn whole(text: &str) -> Self {
        Self::new(Text::Whole(text.to_owned()))
    }

    pub(super) fn exact(text: &str) -> Self {
        Self::new(Text::Exact(text.to_owned()))
    }

    pub(super) fn with_endpoints(endpoints: impl IntoIterator<Item = impl Display>) -> Self {
        let endpoints: Vec<_> = endpoints.into_iter().map(|endpoint| format!("\"{endpoint}\"")).collect();
        let upstream = format!("endpoints = [{}]\n", endpoints.join(", "));
        let none = String::new;
        Self::new(Text::Parts { top: none(), listener: none(), route: none(), upstream, more: none() })
    }

    fn new(text: Text) -> Self {
        let folder = tempfile::Builder::new().prefix("evenkeel-test-").tempdir().expect("a temporary folder");
        Self { folder, workers: 2, kubernetes: false, descriptors: None, environment: Vec::new(), text }
    }

    /// With so many workers instead of two.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// With the file behind the links that Kubernetes makes.
    pub fn as_in_kubernetes(mut self) -> Self {
        self.kubernetes = true;
        self
    }

    /// Its folder, for files that it names: relative paths in the file begin there.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// With no more than so many file descriptors.
    pub fn descriptors(mut self, at_most: u32) -> Self {
        self.descriptors = Some(at_most);
        self
    }

    /// With this in its environment.
    pub fn environment(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    fn part(mut self, lines: &str, choose: impl FnOnce(&mut Text) -> Option<&mut String>) -> Self {
        let part = choose(&mut self.text).expect("a proxy with a whole file of its own takes no further lines");
        part.push_str(lines);
        part.push('\n');
        self
    }

    /// With these lines before the first table.
    pub fn top(self, lines: &str) -> Self {
        self.part(lines, |text| if let Text::Parts { top, .. } = text { Some(top) } else { None })
    }

    /// With these lines in `[listeners.web]`.
    pub fn listener(self, lines: &str) -> Self {
        self.part(lines, |text| if let Text::Parts { listener, .. } = text { Some(listener) } else { None })
    }

    /// With these lines in the route.
    pub fn route(self, lines: &str) -> Self {
        self.part(lines, |text| if let Text::Parts { route, .. } = text { Some(route) } else { None })
    }

    /// With these lines in `[upstreams.site]`.
    pub fn upstream(self, lines: &str) -> Self {
        self.part(lines, |text| if let Text::Parts { upstream, .. } = text { Some(upstream) } else { None })
    }

    /// With these lines at the end.
    pub fn more(self, lines: &str) -> Self {
        self.part(lines, |text| if let Text::Parts { more, .. } = text { Some(more) } else { None })
    }

    /// With an access log in the proxy's folder; see `Proxy::access_log`.
    pub fn access_log(self) -> Self {
        let path = self.folder.path().join("access.log");
        let lines = format!("[access_log]\noutput = \"{}\"\n", path.display());
        self.more(&lines)
    }

    /// The whole file.
    #[must_use]
    pub fn text(&self) -> String {
        let body = match &self.text {
            Text::Exact(text) => return text.clone(),
            Text::Whole(text) => text.clone(),
            Text::Parts { top, listener, route, upstream, more } => format!(
                "{top}\n[listeners.web]\nlisten = \"127.0.0.1:0\"\n{listener}\n\
                 [[routes]]\nupstream = \"site\"\n{route}\n[upstreams.site]\n{upstream}\n{more}"
            ),
        };
        with_preamble(&body, self.workers)
    }

    fn program(&self) -> Command {
        let Some(limit) = self.descriptors else { return Command::new(binary()) };
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("ulimit -n {limit}; exec \"$@\"")).arg("sh").arg(binary());
        command
    }

    fn spawn(self) -> (Process, ConfigFile, TempDir, usize) {
        let text = self.text();
        let file = if self.kubernetes {
            ConfigFile::as_in_kubernetes(self.folder.path(), &text)
        } else {
            ConfigFile::plain(self.folder.path(), &text)
        };
        let mut command = self.program();
        command.arg("run").arg("--config").arg(file.path()).current_dir(self.folder.path());
        // What the person running the tests has set must not change what a test sees.
        command.env_remove("RUST_LOG").env_remove("NOTIFY_SOCKET");
        command.envs(self.environment);
        (Process::start(&mut command), file, self.folder, self.workers)
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready; shows what it said.
    pub async fn start(self) -> Proxy {
        let (mut process, file, folder, workers) = self.spawn();
        match process.first_line().await {
            Ok(line) => Proxy::new(process, file, folder, workers, &line),
            Err(exit) => panic!("the proxy ended with {:?} instead of starting:\n{}", exit.code, exit.stderr),
        }
    }

    /// Starts it and waits until it has refused to run.
    ///
    /// # Panics
    /// When it runs.
    pub async fn refuses(self) -> Exit {
        let (mut process, _file, _folder, _) = self.spawn();
        match process.first_line().await {
            Ok(line) => panic!("it should have refused to start, but: {line}"),
            Err(exit) => exit,
        }
    }
}

/// The file with the lines that every test wants, unless it names them itself.
pub(super) fn with_preamble(text: &str, workers: usize) -> String {
    let names = |key: &str| {
        text.lines().map(str::trim_start).any(|line| {
            let line = line.trim_start_matches('[');
            line.strip_prefix(key).is_some_and(|rest| rest.starts_with([' ', '=', '.', ']']))
        })
    };
    let mut preamble = String::new();
    for (key, line) in [
        ("workers", format!("workers = {workers}\n")),
        ("admin", "admin.listen = \"127.0.0.1:0\"\n".to_owned()),
        ("drain", "drain.grace = \"0s\"\n".to_owned()),
    ] {
        // `drain = true` of an endpoint stands inside an array, never at the beginning of a line.
        if !names(key) {
            preamble.push_str(&line);
        }
    }
    preamble + text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_file_has_a_listener_a_route_and_an_upstream() {
        let builder = Builder::with_endpoints(["127.0.0.1:1", "127.0.0.1:2"]).upstream("balance = \"random\"");
        assert_eq!(
            builder.text(),
            "workers = 2\nadmin.listen = \"127.0.0.1:0\"\ndrain.grace = \"0s\"\n\n\
             [listeners.web]\nlisten = \"127.0.0.1:0\"\n\n[[routes]]\nupstream = \"site\"\n\n\
             [upstreams.site]\nendpoints = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\nbalance = \"random\"\n\n"
        );
    }

    #[test]
    fn what_the_file_names_itself_is_left_to_it() {
        let text = with_preamble("workers = 1\n[admin]\nlisten = \"x\"\n[drain]\ngrace = \"1s\"\n", 2);
        assert!(text.starts_with("workers = 1\n[admin]"), "{text}");
    }
}
