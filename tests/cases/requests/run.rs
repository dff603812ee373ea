//! Runs cases about requests: many on one proxy, one after the other, each on a connection of its own.

use super::case::{Case, Outcome};
use crate::cases::{
    NEXT,
    caller::{Caller, Heard},
    good_answer, none_of,
    scribe::{Arrived, Scribe},
    shown,
};
use evenkeel_testkit::Proxy;

/// Runs them all and shows all that is wrong.
pub(super) async fn all(cases: &[Case]) {
    let scribe = Scribe::start(good_answer).await;
    let proxy = Proxy::with_upstream(&scribe).start().await;
    let mut faults = Vec::new();
    let begun = scribe.mark();
    let mut expected = 0;
    for case in cases {
        let mark = scribe.mark();
        let heard = converse(case, &proxy).await;
        let wanted = arrivals(case);
        expected += wanted.len() + 1;
        scribe.nothing_is_half_said().await;
        let found = judge(case, &wanted, &heard, &scribe.since(&mark));
        // Another client shares the endpoint's connections: it gets its own answer.
        let mut honest = Caller::of(proxy.web(), vec!["GET"]).await;
        honest.send(b"GET /honest HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let honest = honest.hears(1).await.answers.first().map(|answer| answer.summary());
        let honest = (honest.as_deref() != Some("200 [2] ok")).then(|| format!("another client got {honest:?}"));
        faults.extend(found.into_iter().chain(honest).map(|fault| tell(case, &fault, &heard, &scribe.since(&mark))));
    }
    // Nothing came late.
    let all = scribe.since(&begun);
    if all.requests.len() != expected {
        faults.push(format!("{} requests came over all, not {expected}", all.requests.len()));
    }
    none_of(&faults);
}

async fn converse(case: &Case, proxy: &Proxy) -> Heard {
    let finals = match &case.outcome {
        Outcome::Served(requests) | Outcome::Last(requests) => requests.len(),
        Outcome::Refused(_) | Outcome::Declined(_) | Outcome::BrokenOff(_) | Outcome::Silence => 1,
    };
    let mut caller = Caller::of(proxy.web(), vec![case.method; finals]).await;
    let next = if case.finishes { "" } else { NEXT };
    if case.later.is_empty() {
        // In one piece: what follows is in the proxy's buffer when the case is judged.
        caller.send(&[&case.sends, next.as_bytes()].concat()).await;
    } else {
        caller.send(&case.sends).await;
        caller.hears_interim(case.interim).await;
        caller.send(&[&case.later, next.as_bytes()].concat()).await;
    }
    if case.finishes {
        caller.finish().await;
    }
    match case.outcome {
        Outcome::Declined(_) | Outcome::Served(_) => drop(caller.hears(finals + 1).await),
        Outcome::Refused(_) | Outcome::Last(_) | Outcome::BrokenOff(_) | Outcome::Silence => {
            caller.hears_the_end().await;
        }
    }
    caller.heard()
}

/// The requests that reach the endpoint.
fn arrivals(case: &Case) -> Vec<&'static str> {
    match &case.outcome {
        Outcome::Refused(_) | Outcome::BrokenOff(_) | Outcome::Silence => Vec::new(),
        Outcome::Declined(_) => vec!["GET /next"],
        Outcome::Served(requests) => requests.iter().copied().chain(["GET /next"]).collect(),
        Outcome::Last(requests) => requests.clone(),
    }
}

/// What the client gets, and whether its connection goes on.
fn answers(case: &Case) -> (Vec<u16>, bool) {
    match &case.outcome {
        Outcome::Refused(status) | Outcome::BrokenOff(status) => (vec![*status], false),
        Outcome::Declined(status) => (vec![*status, 200], true),
        Outcome::Served(requests) => (vec![200; requests.len() + 1], true),
        Outcome::Last(requests) => (vec![200; requests.len()], false),
        Outcome::Silence => (Vec::new(), false),
    }
}

fn judge(case: &Case, wanted: &[&str], heard: &Heard, arrived: &Arrived) -> Vec<String> {
    let mut faults = Vec::new();
    let (statuses, goes_on) = answers(case);
    if heard.statuses() != statuses {
        faults.push(format!("the client got {:?}, not {statuses:?}", heard.statuses()));
    }
    if heard.ended == goes_on {
        faults.push(format!("the connection {}", if goes_on { "ended" } else { "went on" }));
    }
    if heard.interim.len() != case.interim {
        faults.push(format!("the client got {:?} before its answer", heard.interim));
    }
    if let Some(fault) = &heard.fault {
        faults.push(format!("the client got what is no answer: {fault}"));
    }
    faults.extend(arrived.faults.iter().map(|fault| format!("the endpoint got what is no request: {fault}")));
    let got: Vec<_> = arrived.requests.iter().map(|(_, request)| request.summary()).collect();
    if got != wanted {
        faults.push(format!("the endpoint got {}, not {wanted:?}", shown(format!("{got:?}").as_bytes())));
    }
    if let Some((_, first)) = arrived.requests.first() {
        faults.extend(case.with.iter().filter(|f| !first.has(f)).map(|f| format!("it left without '{f}'")));
        let kept = case.without.iter().filter(|name| first.all(name).next().is_some());
        faults.extend(kept.map(|name| format!("it left with a field '{name}'")));
    }
    faults
}

fn tell(case: &Case, fault: &str, heard: &Heard, arrived: &Arrived) -> String {
    let because = if case.because.is_empty() { String::new() } else { format!(" ({})", case.because) };
    let answers: Vec<_> = heard.answers.iter().map(|answer| shown(answer.summary().as_bytes())).collect();
    let arrived: Vec<_> = arrived.requests.iter().map(|(_, request)| shown(request.summary().as_bytes())).collect();
    format!(
        "{}{because}: {fault}\n  sent {}\n  heard {answers:?} and {}\n  arrived {arrived:?}",
        case.name,
        shown(&case.sends),
        shown(&heard.left),
    )
}
