//! A child process whose output is captured line by line: start, signal, wait, kill.

use crate::eventually::{BOUND, until, until_within};
use rustix::process::{Pid, kill_process};
use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};

/// A signal that an operator sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Drain and stop; a second one stops at once.
    Term,
    /// The same.
    Int,
    /// Reload.
    Hup,
    /// Open the access log again.
    Usr1,
}

/// How a process ended.
#[derive(Clone, Debug)]
pub struct Exit {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Everything it wrote to standard output.
    pub stdout: Vec<String>,
    /// Everything it wrote to standard error.
    pub stderr: String,
}

type Lines = Arc<Mutex<Vec<String>>>;

#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    stdout: Lines,
    stderr: Lines,
    readers: Vec<JoinHandle<()>>,
    ended: Option<ExitStatus>,
}

fn collect(from: impl Read + Send + 'static, into: &Lines) -> JoinHandle<()> {
    let into = Arc::clone(into);
    std::thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            into.lock().expect("nobody panics while holding the lines").push(line);
        }
    })
}

impl Process {
    pub(super) fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        let (stdout, stderr) = (Lines::default(), Lines::default());
        let readers = vec![
            collect(child.stdout.take().expect("a pipe was asked for"), &stdout),
            collect(child.stderr.take().expect("a pipe was asked for"), &stderr),
        ];
        Self { child, stdout, stderr, readers, ended: None }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn stdout(&self) -> Vec<String> {
        self.stdout.lock().expect("nobody panics while holding the lines").clone()
    }

    pub(super) fn stderr(&self) -> String {
        self.stderr.lock().expect("nobody panics while holding the lines").join("\n")
    }

    pub(super) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a child has a process id");
        let signal = match signal {
            Signal::Term => rustix::process::Signal::TERM,
            Signal::Int => rustix::process::Signal::INT,
            Signal::Hup => rustix::process::Signal::HUP,
            Signal::Usr1 => rustix::process::Signal::USR1,
        };
        kill_process(pid, signal).expect("our own child can be signalled");
    }

    /// The first line of standard output; `Err` if the process ends without one.
    pub(super) async fn first_line(&mut self) -> Result<String, Exit> {
        let first = until("the ready line on standard output", async || {
            let ended = self.has_ended();
            match self.stdout().into_iter().next() {
                Some(line) => Some(Ok(line)),
                None => ended.then_some(Err(())),
            }
        });
        match first.await {
            Ok(line) => Ok(line),
            Err(()) => Err(self.exit().await),
        }
    }

    pub(super) fn has_ended(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("our own child can be waited for");
            if self.ended.is_some() {
                // Its last lines are in the pipes; the readers end when they have them.
                self.readers.drain(..).for_each(|reader| reader.join().expect("a reader does not panic"));
            }
        }
        self.ended.is_some()
    }

    /// Waits for the end of the process.
    pub(super) async fn exit(&mut self) -> Exit {
        self.exit_within(BOUND).await
    }

    pub(super) async fn exit_within(&mut self, bound: Duration) -> Exit {
        until_within(bound, "the process ends", async || self.has_ended().then_some(())).await;
        Exit { code: self.ended.and_then(|status| status.code()), stdout: self.stdout(), stderr: self.stderr() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended.is_none() {
            // It may have ended meanwhile: then there is nothing to kill, and nothing to say about it.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- standard error of process {} ---\n{}", self.id(), self.stderr());
        }
    }
}
