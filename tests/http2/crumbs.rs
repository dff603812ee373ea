//! A head is measured as it will leave: one cookie, whatever the number of its crumbs, and the Host that `:authority` becomes.

use super::talk::{Talk, h2c, request};
use evenkeel_testkit::Origin;
use http::request::Builder;

/// With so many crumbs of a cookie, and other fields.
fn crumbs(cookies: usize, others: usize) -> Builder {
    let asked = (0..cookies).fold(request("GET", "/"), |asked, n| asked.header("cookie", format!("c{n:02}=12")));
    (0..others).fold(asked, |asked, n| asked.header(format!("x-{n}"), "y"))
}

#[tokio::test]
async fn crumbs_are_counted_as_the_one_cookie_that_they_are() {
    let origin = Origin::http1().start().await;
    let proxy = h2c(&origin).start().await;
    let talk = Talk::to(proxy.web()).await;

    for (cookies, others) in [(101, 0), (90, 12), (500, 40)] {
        assert_eq!(talk.ask(crumbs(cookies, others)).await.unwrap().status, 200, "{cookies} {others}");
        let seen = origin.last_seen().header_all("cookie").join("|");
        assert_eq!((seen.matches("; ").count(), seen.contains('|')), (cookies - 1, false));
    }
}

#[tokio::test]
async fn a_route_sees_the_one_cookie_that_its_endpoint_sees() {
    let origin = Origin::http1().start().await;
    let conditions = "headers = { cookie = \"a=1; b=2\" }\nfilters = [{ fixed_response = { body = \"both\" } }]";
    let proxy = h2c(&origin).more(&format!("[[routes]]\n{conditions}")).start().await;
    let talk = Talk::to(proxy.web()).await;

    let both = talk.ask(request("GET", "/").header("cookie", "a=1").header("cookie", "b=2")).await.unwrap();
    let one = talk.ask(request("GET", "/").header("cookie", "a=1")).await.unwrap();

    assert_eq!((both.text(), one.status, origin.requests()), ("both", 200, 1));
}

#[tokio::test]
async fn as_many_crumbs_as_a_browser_keeps_for_a_site_fit_in_the_smallest_head() {
    let origin = Origin::http1().start().await;
    let proxy = h2c(&origin).more("[limits]\nrequest_head_max = \"8KiB\"").start().await;
    // Chromium keeps 180 (`kDomainMaxCookies`). HPACK counts each as 38 bytes and its text.
    let asked = (0..180).fold(request("GET", "/"), |asked, n| asked.header("cookie", format!("c{n:03}={:032}", n)));

    assert_eq!(Talk::to(proxy.web()).await.ask(asked).await.unwrap().status, 200);
}

#[tokio::test]
async fn crumbs_that_make_too_long_a_head_are_a_431() {
    let origin = Origin::http1().start().await;
    let proxy = h2c(&origin).more("[limits]\nrequest_head_max = \"8KiB\"").start().await;
    let talk = Talk::to(proxy.web()).await;

    assert_eq!(talk.ask(crumbs(30, 0).header("cookie", "x".repeat(8_000))).await.unwrap().status, 431);
    assert_eq!(origin.requests(), 0);
}

#[tokio::test]
async fn as_many_fields_as_over_http_1_are_too_many() {
    let origin = Origin::http1().start().await;
    let proxy = h2c(&origin).more("[limits]\nheaders_max = 10").start().await;
    let talk = Talk::to(proxy.web()).await;

    // With the Host that endpoints see.
    for (others, status) in [(9, 200), (10, 431)] {
        assert_eq!(talk.ask(crumbs(0, others)).await.unwrap().status, status, "{others}");
    }
}
