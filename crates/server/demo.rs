//! `evenkeel demo`: runs as it would on any file, next to a fleet, a load and a picture that know it only from outside.

use crate::{
    check::REFUSED,
    options::Demo,
    start::{self, Ready},
};
use anyhow::Context;
use evenkeel_demo::{Fleet, Options, run as show};
use evenkeel_model::Address;
use std::{
    io::{IsTerminal, stderr, stdout},
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::ExitCode,
    sync::mpsc,
    thread,
};
use tokio::sync::oneshot;

/// Where the demo listens unless told otherwise, if nobody else does.
const LISTEN: u16 = 8080;
const ADMIN: u16 = 9901;

pub(crate) fn run(options: &Demo) -> ExitCode {
    match try_run(options) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(REFUSED)
        }
    }
}

fn try_run(options: &Demo) -> anyhow::Result<ExitCode> {
    let fleet = Fleet::start().context("the demo's endpoints")?;
    let listen = options.listen.clone().unwrap_or_else(|| free_or_any(LISTEN));
    let admin = options.admin.clone().unwrap_or_else(|| free_or_any(ADMIN));
    let folder = Folder::make()?;
    let path = folder.0.join("evenkeel.toml");
    std::fs::write(&path, fleet.config_toml(&listen, &admin)).with_context(|| path.display().to_string())?;

    let (show_ended, ended) = oneshot::channel::<()>();
    let (stop, stopped) = mpsc::channel::<()>();
    let length = options.time;
    let config = path.clone();
    let log = folder.0.join("evenkeel.log");
    let terminal = stdout().is_terminal();
    if terminal && stderr().is_terminal() {
        // The log would be written over the picture, which says itself what is wrong with the file.
        let file = std::fs::File::create(&log).with_context(|| log.display().to_string())?;
        rustix::stdio::dup2_stderr(file).context("standard error")?;
    }
    let ready = move |ready: &Ready| {
        let target = ready.listeners.iter().find_map(|(_, address)| ip(address));
        let admin = ready.admin.as_ref().and_then(ip);
        thread::spawn(move || {
            if let (Some(target), Some(admin)) = (target, admin) {
                let options = Options { fleet: &fleet, target, admin, config: &config, length, terminal };
                // Its only errors: no thread for the load, nobody who reads what we draw.
                let _ = show(&options, &mut stdout(), &stopped);
            }
            drop(show_ended);
            fleet
        })
    };
    let mut picture = None;
    let code = start::run_until(&path, |at| picture = Some(ready(at)), async {
        let _ = ended.await;
    });
    drop(stop);
    match picture {
        // It has printed its summary when it ends.
        Some(picture) => drop(picture.join()),
        // It did not start, and the reason may have gone into the log.
        None => print!("{}", std::fs::read_to_string(&log).unwrap_or_default()),
    }
    Ok(code)
}

fn ip(address: &Address) -> Option<SocketAddr> {
    match address {
        Address::Ip(address) => Some(*address),
        Address::Host(..) | Address::Unix(_) => None,
    }
}

/// This port on loopback, or any other if somebody listens there.
fn free_or_any(port: u16) -> Address {
    let port = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port)).map_or(0, |_| port);
    Address::Ip(SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, port)))
}

/// A folder of our own that goes with us.
struct Folder(PathBuf);

impl Folder {
    fn make() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("evenkeel-demo-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
