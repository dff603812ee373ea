//! The picture as a stranger sees it.

use super::*;

fn moments(rates: &[f64], sick_from: usize) -> Vec<Moment> {
    let state = |at| if at < sick_from { State::Healthy } else { State::Unhealthy };
    rates.iter().enumerate().map(|(at, rate)| Moment { state: state(at), per_second: *rate }).collect()
}

fn row(name: &str, state: State, share: f64, in_flight: f64, past: Vec<Moment>) -> Row {
    let per_second = past.last().unwrap().per_second;
    Row { name: name.to_owned(), state, per_second, share, in_flight, past }
}

fn scene() -> Scene {
    let sick = moments(&[80.0, 80.0, 75.0, 1.0, 0.0, 0.0], 3);
    Scene {
        at: Duration::from_millis(12_004),
        rows: vec![
            row("steady", State::Healthy, 0.7, 0.0, moments(&[80.0, 80.0, 80.0, 120.0, 140.0, 140.0], 9)),
            row("slow", State::Healthy, 0.3, 2.0, moments(&[40.0, 40.0, 40.0, 55.0, 60.0, 60.0], 9)),
            row("moody", State::Unhealthy, 0.0, 0.0, sick),
        ],
        proxy: Some(Flow { total: 2_412.0, per_second: 201.2 }),
        load: Flow { total: 2_400.0, per_second: 200.4 },
        failures: 0,
        last_failure: None,
        p50: Some(Duration::from_micros(3_100)),
        p99: Some(Duration::from_millis(38)),
        trouble: None,
    }
}

fn places() -> Places {
    Places {
        target: "127.0.0.1:8080".parse().unwrap(),
        admin: "127.0.0.1:9901".parse().unwrap(),
        config: "/tmp/evenkeel-demo.toml".into(),
        victim: Some(("steady", "127.0.0.1:41233".parse().unwrap())),
    }
}

#[test]
fn the_picture_shows_who_gets_what_and_what_to_try() {
    let expected = "
  evenkeel demo   http://127.0.0.1:8080 over 3 endpoints                    12 s

                       requests         a sec share  busy  last 20 s
  steady   ● healthy   ████████████████   140  70 %     0  ▅▅▅▇██
  slow     ● healthy   ██████▉             60  30 %     2  ▂▂▂▃▃▃
  moody    ○ unhealthy                      0   0 %     0  ▅▅▄▁··

  proxy   2 412 requests answered, 201 a second
  load    2 400 requests, 0 failed, 200 a second: p50 3.1 ms, p99 38 ms

  curl http://127.0.0.1:8080/                    who answers?
  curl -X POST http://127.0.0.1:41233/kill       steady dies for 10 s
  $EDITOR /tmp/evenkeel-demo.toml                change anything: it is live
  curl http://127.0.0.1:9901/metrics             all this picture knows

";
    let drawn = draw(&scene(), &places(), Ink::Plain);
    assert_eq!(drawn, expected, "{drawn}");
}

#[test]
fn colours_add_nothing_but_colour() {
    let mut stripped = draw(&scene(), &places(), Ink::Coloured);
    for code in [0, 1, 2, 31, 32, 33] {
        stripped = stripped.replace(&format!("\x1b[{code}m"), "");
    }
    assert_eq!(stripped, draw(&scene(), &places(), Ink::Plain));
}

#[test]
fn without_a_terminal_a_second_is_a_line() {
    assert_eq!(
        line(&scene()),
        "  12 s   200/s  0 failed  p50 3.1 ms  p99 38 ms  |  steady healthy 140/s  slow healthy 60/s  moody unhealthy 0/s\n"
    );
    assert!(preface(&places()).contains("  curl http://127.0.0.1:8080/  # who answers?\n"));
}

#[test]
fn trouble_is_said_before_anything_else() {
    let trouble = |trouble| Scene { trouble: Some(trouble), last_failure: Some("503".to_owned()), ..scene() };
    let bad = trouble(Trouble::BadFile);
    let blind = Scene { rows: Vec::new(), proxy: None, ..trouble(Trouble::NoCounts("refused".to_owned())) };
    let failed = Scene { failures: 1, last_failure: Some("503 Service Unavailable".to_owned()), ..scene() };
    let shown = |scene: &Scene| draw(scene, &places(), Ink::Plain);

    assert!(shown(&bad).contains("evenkeel check --config /tmp/evenkeel-demo.toml"));
    assert!(line(&bad).contains("the file has a mistake"));
    assert!(shown(&blind).contains("no metrics from http://127.0.0.1:9901: refused"));
    assert!(!shown(&blind).contains("share") && !shown(&blind).contains("answered"));
    assert!(line(&blind).contains("no metrics: refused"));
    assert!(shown(&failed).contains("1 failed") && shown(&failed).contains("last failure: 503"));
}

#[test]
fn the_first_second_has_nothing_to_show_and_shows_it() {
    let drawn = draw(&Scene::default(), &places(), Ink::Plain);
    assert!(drawn.contains("p50 -, p99 -"), "{drawn}");
}

#[test]
fn no_line_is_wider_than_a_terminal() {
    let mut scene = scene();
    for row in &mut scene.rows {
        row.past = vec![Moment { state: State::Draining, per_second: 999_999.0 }; REMEMBERED];
    }
    for line in draw(&scene, &places(), Ink::Plain).lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn a_bar_grows_by_eighths_and_what_is_not_nothing_is_seen() {
    assert_eq!(bar(0.0), "");
    assert_eq!(bar(0.000_1), "▏");
    assert_eq!(bar(0.5), "████████");
    assert_eq!(bar(1.0), "████████████████");
    assert_eq!(bar(9.0), "████████████████");
}

#[test]
fn numbers_are_written_for_people() {
    for (number, text) in [(0.0, "0"), (999.0, "999"), (1_000.0, "1 000"), (1_234_567.4, "1 234 567")] {
        assert_eq!(grouped(number), text);
    }
    for (micros, text) in
        [(40, "0.0 ms"), (3_140, "3.1 ms"), (9_960, "10 ms"), (999_400, "999 ms"), (1_200_000, "1.2 s")]
    {
        assert_eq!(time(Some(Duration::from_micros(micros))), text);
    }
}
