//! Programs that others wrote and many run, in place of our own clients and endpoints: openssl, curl, h2load, nginx, HAProxy.
//!
//! A test whose program is not installed says so on standard error and ends there; `.ci/run` installs them all.

mod curl;
mod h2load;
mod openssl;
mod servers;

use evenkeel_testkit::{Authority, Builder, Origin, Proxy};
use std::{
    env, fs,
    io::{Seek, Write, stderr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// How long a program may run, in seconds. Far above what it needs.
const SECONDS_MAX: &str = "60";

/// What a program has said when it ended.
#[derive(Debug)]
struct Said {
    /// Whether it ended with 0.
    good: bool,
    out: String,
    err: String,
}

/// Where a program is; `None`, said aloud, when it is not installed. Debian keeps servers where ordinary users do not look.
fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let found = env::split_paths(&path).chain(more).map(|folder| folder.join(name)).find(|path| path.is_file());
    if found.is_none() {
        left_out(&format!("{name} is not installed"));
    }
    found
}

/// Past the harness, which keeps to itself what a good test prints.
fn left_out(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(stderr(), "{test}: skipped, {why}");
}

/// Runs a program to its end, with this on its standard input.
async fn run(program: &Path, words: &[&str], input: &str) -> Said {
    let mut asked = tempfile::tempfile().expect("a temporary file");
    asked.write_all(input.as_bytes()).and_then(|()| asked.rewind()).expect("the file is ours");
    let mut command = Command::new("timeout");
    command.arg(SECONDS_MAX).arg(program).args(words).stdin(Stdio::from(asked));
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("waiting does not panic");
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { good: output.status.success(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// The listener's certificate is `site.pem`, for `a.test`.
const SITE: &str = "tls.certificates = [{ cert = \"site.pem\", key = \"site.key\" }]";

/// An authority that clients find in `authority.pem`, an endpoint that tells what it got, and a proxy that is about to start.
async fn site() -> (Authority, Origin, Builder) {
    let authority = Authority::new("Test Authority");
    let origin = Origin::http1().start().await;
    let builder = Proxy::with_upstream(&origin).listener(SITE);
    authority.server(&["a.test"]).make().write(builder.folder(), "site");
    write(builder.folder(), "authority.pem", authority.pem());
    (authority, origin, builder)
}

fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) {
    fs::write(folder.join(name), text).expect("a file in our folder");
}

/// A file of the proxy's folder, as a word of a command.
fn file(proxy: &Proxy, name: &str) -> String {
    proxy.folder().join(name).to_str().expect("temporary folders have plain names").to_owned()
}
