//! Runs cases about answers: many on one proxy with one worker, so that it can be seen which connection is used again.

use super::case::{Case, Outcome};
use crate::cases::{
    NEXT,
    caller::{Caller, Heard},
    good_answer, none_of,
    scribe::{Arrived, Reply, Scribe},
    shown,
};
use evenkeel_testkit::Proxy;

/// Runs them all and shows all that is wrong.
pub(super) async fn all(cases: &[Case]) {
    let replies: Vec<_> = cases.iter().map(|case| Reply { bytes: case.sends.clone(), then: case.then }).collect();
    let scribe = Scribe::start(move |request| {
        let number = request.word(1).strip_prefix("/case/").and_then(|number| number.parse::<usize>().ok());
        number.map_or_else(|| good_answer(request), |number| replies[number].clone())
    })
    .await;
    let proxy = Proxy::with_upstream(&scribe).workers(1).start().await;
    let mut faults = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let mark = scribe.mark();
        let heard = converse(case, number, &proxy).await;
        // Another client, over whatever the pool has now.
        let mut honest = Caller::of(proxy.web(), vec!["GET"]).await;
        honest.send(NEXT.as_bytes()).await;
        let honest = honest.hears(1).await.answers.first().map(|answer| answer.summary());
        let arrived = scribe.since(&mark);
        let mut found = judge(case, &heard, &arrived);
        if honest.as_deref() != Some("200 [2] ok") {
            found.push(format!("another client got {honest:?}"));
        }
        faults.extend(found.iter().map(|fault| tell(case, fault, &heard)));
    }
    none_of(&faults);
}

async fn converse(case: &Case, number: usize, proxy: &Proxy) -> Heard {
    let (method, version) = case.asks;
    let mut caller = Caller::of(proxy.web(), vec![method]).await;
    caller.send(format!("{method} /case/{number} {version}\r\nHost: a\r\n{}\r\n{NEXT}", case.says).as_bytes()).await;
    match case.outcome {
        Outcome::Relayed(_) | Outcome::Refused(_) => drop(caller.hears(2).await),
        Outcome::Last(_) => caller.hears_the_end().await,
        Outcome::Cut => drop(caller.hears(2).await),
    }
    caller.heard()
}

fn judge(case: &Case, heard: &Heard, arrived: &Arrived) -> Vec<String> {
    let mut faults = arrived.faults.clone();
    let mut expect = |what: &str, got: String, wanted: String| {
        if got != wanted {
            faults.push(format!("{what}: {got}, not {wanted}"));
        }
    };
    let answers: Vec<_> = heard.answers.iter().map(|answer| answer.summary()).collect();
    let good = "200 [2] ok";
    let first = heard.answers.first();
    let refusal = first.filter(|answer| answer.status() == 502);
    match case.outcome {
        Outcome::Relayed(answer) => {
            expect("the client got", format!("{answers:?}"), format!("{:?}", [answer, good]));
            expect("the client's connection ended", heard.ended.to_string(), false.to_string());
        }
        Outcome::Last(answer) => {
            expect("the client got", format!("{answers:?}"), format!("{:?}", [answer]));
            expect("bytes behind it", String::from_utf8_lossy(&heard.left).into_owned(), String::new());
        }
        Outcome::Refused(reason) => {
            expect("the client got", format!("{:?}", heard.statuses()), "[502, 200]".to_owned());
            let said = refusal.is_some_and(|answer| String::from_utf8_lossy(&answer.body).contains(reason));
            expect(&format!("our answer says {reason}"), said.to_string(), true.to_string());
        }
        Outcome::Cut if refusal.is_some() => {}
        Outcome::Cut => {
            expect("the client got whole answers", format!("{answers:?}"), "[]".to_owned());
            expect("the client's connection ended", heard.ended.to_string(), true.to_string());
        }
    }
    expect("1xx for the client", format!("{:?}", heard.interim), format!("{:?}", case.interim));
    expect("what is no answer", format!("{:?}", heard.fault), "None".to_owned());
    let of_case = arrived.requests.iter().find(|(_, request)| request.word(1).starts_with("/case/"));
    let behind = arrived.requests.iter().rev().find(|(_, request)| request.word(1) == "/next");
    if let (Some((its, _)), Some((next, _))) = (of_case, behind) {
        expect("its connection was used again", (its == next).to_string(), case.reused.to_string());
    }
    let asked = arrived.requests.iter().filter(|(_, request)| request.word(1).starts_with("/case/")).count();
    expect("so often the endpoint was asked", asked.to_string(), "1".to_owned());
    if let Some(answer) = first {
        let missing = case.with.iter().filter(|field| !answer.has(field));
        faults.extend(missing.map(|field| format!("it arrived without '{field}'")));
        let kept = case.without.iter().filter(|name| answer.all(name).next().is_some());
        faults.extend(kept.map(|name| format!("it arrived with a field '{name}'")));
    }
    faults
}

fn tell(case: &Case, fault: &str, heard: &Heard) -> String {
    let because = if case.because.is_empty() { String::new() } else { format!(" ({})", case.because) };
    let answers: Vec<_> = heard.answers.iter().map(|answer| shown(answer.summary().as_bytes())).collect();
    format!(
        "{}{because}: {fault}\n  the endpoint sent {}\n  heard {answers:?} and {}",
        case.name,
        shown(&case.sends),
        shown(&heard.left),
    )
}
