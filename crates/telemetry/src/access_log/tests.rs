//! The access log as a whole: real files, a real thread.

use super::*;
use crate::Reason;
use evenkeel_model as model;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const PATIENCE: Duration = Duration::from_secs(10);

fn to(path: &Path) -> model::AccessLog {
    model::AccessLog { output: model::LogOutput::File(path.to_owned()) }
}

fn writing_to(path: &Path) -> AccessLog {
    let log = AccessLog::start().unwrap();
    log.apply(log.prepare(Some(&to(path))).unwrap());
    log
}

fn record(path: &str) -> Record<'_> {
    Record {
        time: UNIX_EPOCH + Duration::from_millis(1_735_689_600_042),
        listener: "web",
        client: Some([10, 0, 0, 9].into()),
        request: Request { method: "GET", path: path.as_bytes(), ..Request::default() },
        answer: Answer { status: Some(200), ..Answer::default() },
        target: Target::default(),
        phases: Phases::default(),
    }
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

fn paths(file: &Path) -> Vec<String> {
    lines(file).iter().map(|line| line["path"].as_str().unwrap().to_owned()).collect()
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    (folder, file)
}

/// The one line that a record becomes.
fn line(record: &Record<'_>) -> String {
    let mut out = Vec::new();
    record.write(&mut out, &mut stamp::Stamp::new());
    String::from_utf8(out).unwrap()
}

#[test]
fn a_record_is_one_flat_object_with_every_field_in_a_fixed_order() {
    let record = Record {
        request: Request {
            id: "4f2a",
            trace_id: "4bf92f3577b34da6a3ce929d0e0e4736",
            method: "POST",
            host: b"api.example.com",
            path: b"/v1/x?y=\"z\"",
            bytes: 12,
        },
        answer: Answer {
            status: Some(504),
            grpc_status: Some(4),
            reason: Reason::UpstreamTimeout.as_str(),
            fault: "upstream",
            bytes: 34,
        },
        target: Target { route: "api", upstream: "site", endpoint: "10.0.0.1:80", attempts: 2 },
        phases: Phases {
            queue: None,
            connect: Some(Duration::from_micros(150)),
            response_head: Some(Duration::from_nanos(1_000_999)),
            total: Duration::from_millis(61_020),
        },
        client: Some("::ffff:10.0.0.9".parse().unwrap()),
        ..record("")
    };

    assert_eq!(
        line(&record),
        concat!(
            r#"{"time":"2025-01-01T00:00:00.042Z","listener":"web","client":"10.0.0.9","method":"POST","#,
            r#""host":"api.example.com","path":"/v1/x?y=\"z\"","status":504,"grpc_status":4,"reason":"upstream_timeout","#,
            r#""fault":"upstream","bytes_in":12,"bytes_out":34,"route":"api","upstream":"site","endpoint":"10.0.0.1:80","attempts":2,"#,
            r#""queue":null,"connect":0.000150,"response_head":0.001000,"total":61.020000,"#,
            r#""trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","request_id":"4f2a"}"#,
            "\n"
        )
    );
}

#[test]
fn a_request_that_never_parsed_has_empty_texts_and_no_numbers() {
    let nothing = Record {
        request: Request::default(),
        answer: Answer { reason: Reason::MalformedRequest.as_str(), ..Answer::default() },
        client: None,
        ..record("")
    };

    let parsed: Value = serde_json::from_str(&line(&nothing)).unwrap();

    assert_eq!(parsed["method"], "");
    assert_eq!(parsed["route"], "");
    assert_eq!(parsed["client"], "");
    assert_eq!((&parsed["status"], &parsed["grpc_status"]), (&Value::Null, &Value::Null));
}

proptest! {
    #[test]
    fn nothing_a_client_sends_can_forge_a_line(
        method in "[!#$%&'*+.^_`|~0-9A-Za-z-]{0,20}",
        host in prop::collection::vec(any::<u8>(), 0..60),
        path in prop::collection::vec(any::<u8>(), 0..200),
        id in any::<String>(),
        millis in 0_u64..4_000_000_000_000,
        nanos in 0_u64..1_000_000_000_000_000,
        bytes in any::<u64>(),
    ) {
        let request = Request { id: &id, trace_id: &id, method: &method, host: &host, path: &path, bytes };
        let phases = Phases { queue: Some(Duration::from_nanos(nanos)), ..Phases::default() };
        let time = UNIX_EPOCH + Duration::from_millis(millis);

        let line = line(&Record { time, request, phases, ..record("") });

        let body = line.strip_suffix('\n').unwrap();
        prop_assert!(body.bytes().all(|b| matches!(b, b' '..=b'~')), "a line is printable ASCII: {}", body);
        let parsed: Value = serde_json::from_str(body).unwrap();
        prop_assert_eq!(parsed.as_object().unwrap().len(), 22, "no field is added or overwritten: {}", body);
        prop_assert_eq!(&parsed["method"], &json!(method));
        prop_assert_eq!(&parsed["request_id"], &json!(id));
        prop_assert_eq!(&parsed["bytes_in"], &json!(bytes));
        let seconds = Duration::from_secs_f64(parsed["queue"].as_f64().unwrap());
        prop_assert!(seconds.abs_diff(Duration::from_nanos(nanos)) < Duration::from_micros(2));
        if let Ok(text) = std::str::from_utf8(&path) {
            prop_assert_eq!(&parsed["path"], &json!(text));
        }
    }
}

#[test]
fn every_line_of_every_worker_is_in_the_file_after_stop() {
    let (_folder, file) = folder();
    let log = writing_to(&file);

    std::thread::scope(|scope| {
        for worker in 0..4 {
            let mut sender = log.sender();
            scope.spawn(move || {
                for n in 0..500 {
                    sender.write(&record(&format!("/{worker}/{n}")));
                }
            });
        }
    });

    assert!(log.stop(PATIENCE));
    let mut seen = paths(&file);
    seen.sort();
    seen.dedup();
    assert_eq!((seen.len(), log.dropped()), (2000, 0));
    assert!(log.stop(PATIENCE), "stopping twice does not hang");
}

#[test]
fn a_rotated_file_is_opened_again_when_asked() {
    let (folder, file) = folder();
    let rotated = folder.path().join("access.log.1");
    let log = writing_to(&file);
    let mut sender = log.sender();

    sender.write(&record("/before"));
    fs::rename(&file, &rotated).unwrap();
    sender.flush();
    log.reopen();
    sender.write(&record("/after"));
    sender.flush();

    assert!(log.stop(PATIENCE));
    assert_eq!((paths(&rotated), paths(&file)), (vec!["/before".to_owned()], vec!["/after".to_owned()]));
}

#[test]
fn a_file_that_cannot_be_opened_again_goes_on_being_written() {
    let (folder, file) = folder();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let log = writing_to(&inner.join("access.log"));
    let mut sender = log.sender();

    fs::rename(&inner, folder.path().join("moved")).unwrap();
    log.reopen();
    sender.write(&record("/still"));
    sender.flush();

    assert!(log.stop(PATIENCE));
    assert_eq!(paths(&folder.path().join("moved/access.log")), ["/still"]);
    assert!(!file.exists());
}

#[test]
fn the_log_is_turned_on_and_off_and_to_another_file_while_it_runs() {
    let (folder, first) = folder();
    let second = folder.path().join("second.log");
    let log = AccessLog::start().unwrap();
    let mut sender = log.sender();
    let say = |sender: &mut LogSender, path: &str| {
        sender.write(&record(path));
        sender.flush();
    };

    assert!(!sender.enabled());
    say(&mut sender, "/off");
    log.apply(log.prepare(Some(&to(&first))).unwrap());
    assert!(sender.enabled());
    say(&mut sender, "/first");
    log.apply(log.prepare(Some(&to(&second))).unwrap());
    say(&mut sender, "/second");
    log.apply(log.prepare(None).unwrap());
    say(&mut sender, "/off-again");
    log.apply(log.prepare(Some(&to(&first))).unwrap());
    say(&mut sender, "/first-again");

    assert!(log.stop(PATIENCE));
    assert_eq!(paths(&first), ["/first", "/first-again"]);
    assert_eq!(paths(&second), ["/second"]);
    assert_eq!(log.dropped(), 0);
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error_and_the_old_one_stays() {
    let (folder, file) = folder();
    let log = writing_to(&file);
    let mut sender = log.sender();

    assert!(log.prepare(Some(&to(&folder.path().join("missing/access.log")))).is_err());
    sender.write(&record("/kept"));
    drop(sender);

    assert!(log.stop(PATIENCE));
    assert_eq!(paths(&file), ["/kept"]);
}

#[test]
fn the_file_in_use_is_not_opened_again_by_a_reload_that_does_not_change_it() {
    let (folder, file) = folder();
    let log = writing_to(&file);
    let mut sender = log.sender();
    fs::rename(&file, folder.path().join("rotated")).unwrap();

    log.apply(log.prepare(Some(&to(&file))).unwrap());
    sender.write(&record("/same"));
    drop(sender);

    assert!(log.stop(PATIENCE));
    assert!(!file.exists());
    assert_eq!(paths(&folder.path().join("rotated")), ["/same"]);
}

#[test]
fn lines_beyond_the_bound_are_dropped_and_counted_and_no_worker_waits() {
    let (producer, consumer) = queue::queue();
    producer.shared.enabled.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut sender = LogSender::new(producer.clone());
    let path = "/".repeat(1000);
    let each = line(&record(&path)).len();
    let total = 2 * QUEUE_BYTES_MAX / each;

    // Nobody takes anything out: this returns only because sending never waits.
    (0..total).for_each(|_| sender.write(&record(&path)));
    sender.flush();

    let dropped = producer.shared.dropped.load(std::sync::atomic::Ordering::Relaxed);
    let mut queued = (0, 0);
    while let Some(queue::Message::Lines(batch)) = consumer.next() {
        queued = (queued.0 + batch.bytes.len(), queued.1 + batch.lines);
        consumer.done(batch.bytes.len());
    }
    assert!(queued.0 <= QUEUE_BYTES_MAX && queued.0 > QUEUE_BYTES_MAX - 2 * BATCH);
    assert_eq!(queued.1 + dropped, total as u64, "every line is either queued or counted");
    sender.write(&record(&path));
    sender.flush();
    assert_eq!(producer.shared.dropped.load(std::sync::atomic::Ordering::Relaxed), dropped, "there is room again");
}

#[test]
fn stop_does_not_wait_longer_than_it_is_told_for_a_reader_that_hangs() {
    let (_folder, pipe) = folder();
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    // Opened for both, so that it is never at its end; nobody reads, so that 64 KiB later writing hangs (pipe(7)).
    let _reader = fs::File::options().read(true).write(true).open(&pipe).unwrap();
    let log = writing_to(&pipe);
    let mut sender = log.sender();
    (0..1000).for_each(|_| sender.write(&record(&"/x".repeat(200))));
    drop(sender);

    let begin = std::time::Instant::now();
    assert!(!log.stop(Duration::from_millis(50)), "not everything could be written");

    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[test]
fn lines_after_stop_are_counted_as_dropped() {
    let (_folder, file) = folder();
    let log = writing_to(&file);
    let mut sender = log.sender();
    sender.write(&record("/late"));

    assert!(log.stop(PATIENCE));
    sender.flush();

    assert_eq!((paths(&file).len(), log.dropped()), (0, 1));
}

#[test]
fn the_time_is_that_of_the_record() {
    let now = SystemTime::now();
    let parsed: Value = serde_json::from_str(&line(&Record { time: now, ..record("/") })).unwrap();
    assert_eq!(parsed["time"], humantime::format_rfc3339_millis(now).to_string());
}
