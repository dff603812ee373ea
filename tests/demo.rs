//! `evenkeel demo`: a first look on a bare machine.

use evenkeel_testkit::run_command;

#[tokio::test]
async fn the_demo_works_without_a_terminal_and_ends_when_asked() {
    let end = run_command(&["demo", "--for", "2s"]).await;

    assert_eq!(end.code, Some(0), "{end:?}");
    let said = format!("{}{}", end.stdout, end.stderr);
    for part in ["127.0.0.1:", "curl", "/metrics"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(!said.contains("\x1b["), "no colours where there is no terminal: {said:?}");
}
