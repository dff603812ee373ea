//! What an intermediary owes to both sides: fields that concern one connection go no further, framing is made anew, and the
//! endpoint learns who asked.
//!
//! Before a route is looked for, so that routes and filters see what leaves and nothing that a stranger claims; the framing itself is
//! fixed by `upstream::attempt`.

use super::{
    Exchange, alike,
    chain::{self, Told},
    connection_auth, upgrade,
};
use crate::{
    body::Body,
    error::{MalformedRequest, MalformedResponse, ProxyError},
};
use evenkeel_model::{Config, Underscores, UpgradeToken};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version, header};

static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
static PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
static HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
static PROXY: HeaderName = HeaderName::from_static("proxy");

/// The only transfer coding that we read and write.
pub(crate) static CHUNKED: HeaderValue = HeaderValue::from_static("chunked");
static TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
static TE: HeaderValue = HeaderValue::from_static("te");

/// Fields that a `Connection` field cannot take away: without them the message would mean something else, or lie about its
/// sender (RFC 9110, section 7.6.1, lets a recipient ignore such options). With them go those of `chain::is_of_the_way`: what a trusted
/// proxy says of a client, that client could make it take back (CVE-2022-31813 of Apache).
const CANNOT_BE_NOMINATED: [HeaderName; 3] = [header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];

/// Our name in `Via`, for all of us: one for each process would tell strangers how many there are.
const PSEUDONYM: &[u8] = b"evenkeel";

/// A request that has passed so many of us goes round in a circle: nobody puts eight balancers of a kind behind each other.
const PASSES_MAX: u8 = 8;

/// Makes a client's fields ours, or refuses them; then nothing has been changed. `TE: trailers` and `Trailer` survive: trailers are
/// passed on. So does an upgrade that is asked for by the rules: whether it is allowed depends on the route (`upgrade::settle`).
pub(crate) fn prepare_request(
    request: &mut Request<Body>,
    config: &Config,
    exchange: &Exchange,
) -> Result<Asked, ProxyError> {
    let version = request.version();
    let survey = Survey::of(request.headers());
    if !survey.only_chunked {
        return Err(ProxyError::MalformedRequest(MalformedRequest::TransferEncoding));
    }
    if survey.underscore && config.limits.underscores == Underscores::Refuse {
        return Err(ProxyError::MalformedRequest(MalformedRequest::Underscore));
    }
    if survey.passes >= PASSES_MAX {
        return Err(ProxyError::Loop);
    }
    let upgrade = if survey.has(Known::Upgrade) && exchange.may_upgrade() {
        // An extended CONNECT has become what a client of HTTP/1.1 would send.
        let version = if exchange.extended().is_some() { Version::HTTP_11 } else { version };
        upgrade::asked(request.method(), version, request.headers())
    } else {
        None
    };
    let headers = request.headers_mut();
    survey.remove_hop_by_hop(headers);
    if survey.trailers {
        headers.insert(header::TE, TRAILERS.clone());
        headers.insert(header::CONNECTION, TE.clone());
    }
    if let Some(token) = &upgrade {
        upgrade::announce(headers, token, survey.trailers);
    }
    if survey.has(Known::Proxy) {
        // "httpoxy": CGI hands it to programs as HTTP_PROXY (CVE-2016-5385). No standard defines it.
        headers.remove(&PROXY);
    }
    let told = Told { forwarded: survey.has(Known::Forwarded), others: survey.others, underscore: survey.underscore };
    chain::tell(headers, config.forwarded, told, exchange);
    // Behind that, which takes what strangers say of the way they came by: this is ours.
    identify(headers, survey.underscore, exchange);
    let via = match version {
        Version::HTTP_10 => "1.0 evenkeel",
        // RFC 9110, section 2.5: a minor version that is not named is 0.
        Version::HTTP_2 => "2.0 evenkeel",
        _ => "1.1 evenkeel",
    };
    // RFC 9110, section 7.6.3: a gateway must add itself to each request.
    headers.append(header::VIA, HeaderValue::from_static(via));
    Ok(Asked { upgrade, connection_auth: survey.has(Known::ConnectionAuth) })
}

/// What a request says about the connection that it leaves by.
#[derive(Debug)]
pub(super) struct Asked {
    /// It is to be switched to this.
    pub(super) upgrade: Option<UpgradeToken>,
    /// It authenticates all of it.
    pub(super) connection_auth: bool,
}

/// Tells the endpoint who the client is by its certificate, and removes what anybody else says about that. On every listener: an
/// endpoint cannot see by which one a request came. `underscore`: the head has a name with one.
fn identify(headers: &mut HeaderMap, underscore: bool, exchange: &Exchange) {
    for field in &exchange.snapshot().shared().identity_fields {
        headers.remove(field);
        if underscore || field.as_str().contains('_') {
            alike::remove(headers, field);
        }
    }
    let secured = exchange.connection().and_then(|connection| connection.tls());
    if let Some((field, client)) = secured.and_then(|secured| secured.identity()) {
        headers.insert(field, client.clone());
    }
}

/// What an answer says about the connection that it came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Manner {
    /// It must not be used again.
    pub(crate) last: bool,
    /// The endpoint keeps it for so many idle seconds.
    pub(crate) idle: Option<u64>,
    /// Who authenticates does so for all of it.
    pub(crate) connection_auth: bool,
}

/// Makes an endpoint's fields ours, and refuses an answer that two parsers could read differently. `exact` is the length of its body,
/// `asked` the protocol to which the client wants to switch.
pub(crate) fn prepare_response<B>(
    response: &mut Response<B>,
    exact: Option<u64>,
    asked: Option<&UpgradeToken>,
    client: Version,
) -> Result<Manner, MalformedResponse> {
    let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let no_content = response.status() == StatusCode::NO_CONTENT;
    let switched = switches.then(|| upgrade::check(response, asked)).transpose()?;
    let survey = Survey::of(response.headers());
    if !survey.only_chunked {
        return Err(MalformedResponse::TransferEncoding);
    }
    let (chunked, length) = (survey.has(Known::TransferEncoding), survey.has(Known::ContentLength));
    // RFC 9112, section 9.3: HTTP/1.0 keeps no connection by itself; two kinds of framing are one too many.
    let last = response.version() != Version::HTTP_11 || (chunked && length);
    let idle = if survey.has(Known::KeepAlive) { announced_idle(response.headers()) } else { None };
    let wanted = upgrade::required(response, client);
    let headers = response.headers_mut();
    survey.remove_hop_by_hop(headers);
    upgrade::require(headers, wanted);
    if let Some(token) = &switched {
        // RFC 9110, section 8.6: no length in a 1xx.
        headers.remove(header::CONTENT_LENGTH);
        upgrade::announce(headers, token, false);
    } else if length && no_content {
        // Nor in a 204: a client that believes it would take the next answer for the body.
        headers.remove(header::CONTENT_LENGTH);
    } else if chunked && length {
        // RFC 9112, section 6.3, rule 3: Transfer-Encoding overrides Content-Length.
        headers.remove(header::CONTENT_LENGTH);
    } else if let Some(exact) = exact.filter(|_| !survey.one_length) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(exact));
    }
    // A reason phrase of the endpoint's own is nobody's business (RFC 9112, section 4: clients should ignore it).
    response.extensions_mut().clear();
    // What we write ourselves is HTTP/1.1, whatever the endpoint spoke; to a 1.0 client it is written in its own version.
    *response.version_mut() = Version::HTTP_11;
    Ok(Manner { last, idle, connection_auth: survey.has(Known::ConnectionAuth) })
}

/// Leaves of the fields before an answer (1xx) what is meant for the client.
pub(crate) fn prepare_interim(fields: &mut HeaderMap) {
    Survey::of(fields).remove_hop_by_hop(fields);
    // RFC 9110, section 8.6: no length in a 1xx.
    fields.remove(header::CONTENT_LENGTH);
}

/// `Keep-Alive: timeout=N`: for how many seconds the endpoint keeps an idle connection (RFC 2068, section 19.7.1.1).
fn announced_idle(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(&KEEP_ALIVE)?.to_str().ok()?;
    value.split(',').find_map(|part| part.trim().strip_prefix("timeout=")?.trim().parse().ok())
}

/// The fields that a proxy has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Connection,
    KeepAlive,
    ProxyConnection,
    Te,
    TransferEncoding,
    Upgrade,
    Http2Settings,
    Proxy,
    ContentLength,
    Forwarded,
    /// NTLM, Negotiate, or that such a thing lasts.
    ConnectionAuth,
}

/// What one walk over a head has found. A lookup hashes a name; a head has few fields and we look for many, so it is cheaper to
/// walk once and to look up only what is there.
#[derive(Debug)]
struct Survey {
    present: u16,
    /// No Transfer-Encoding, or `chunked` alone on one line: all other lists are read differently by different servers.
    only_chunked: bool,
    /// No Content-Length, or exactly one in its plainest form. Equal copies (`5, 5`) are accepted of an endpoint, and not passed on.
    one_length: bool,
    /// `TE` lists `trailers`.
    trailers: bool,
    /// `Connection` names a field that is not removed anyway.
    nominates: bool,
    /// A name has a `_`.
    underscore: bool,
    /// A proxy says more than `X-Forwarded-For`, `-Proto` and `-Host`.
    others: bool,
    /// How often `Via` names us.
    passes: u8,
}

impl Survey {
    fn of(headers: &HeaderMap) -> Self {
        let mut survey = Self {
            present: 0,
            only_chunked: true,
            one_length: true,
            trailers: false,
            nominates: false,
            underscore: false,
            others: false,
            passes: 0,
        };
        for (name, value) in headers {
            let known = match name.as_str() {
                "connection" => {
                    survey.nominates |= nominates(value);
                    Known::Connection
                }
                "keep-alive" => Known::KeepAlive,
                "proxy-connection" => Known::ProxyConnection,
                "te" => {
                    survey.trailers |= lists(value, "trailers");
                    Known::Te
                }
                "transfer-encoding" => {
                    survey.only_chunked =
                        !survey.has(Known::TransferEncoding) && value.as_bytes().eq_ignore_ascii_case(b"chunked");
                    Known::TransferEncoding
                }
                "upgrade" => Known::Upgrade,
                "http2-settings" => Known::Http2Settings,
                "proxy" => Known::Proxy,
                "content-length" => {
                    survey.one_length = !survey.has(Known::ContentLength) && is_plain_length(value);
                    Known::ContentLength
                }
                "forwarded" => Known::Forwarded,
                "authorization" | "proxy-authorization" | "www-authenticate" | "proxy-authenticate"
                    if connection_auth::is_named(value) =>
                {
                    Known::ConnectionAuth
                }
                "persistent-auth" => Known::ConnectionAuth,
                "via" => {
                    survey.passes = survey.passes.saturating_add(passes(value));
                    continue;
                }
                other => {
                    survey.others |= other.starts_with('x') && Told::is_other(other);
                    survey.underscore |= other.as_bytes().contains(&b'_');
                    continue;
                }
            };
            survey.present |= 1 << known as u16;
        }
        survey
    }

    fn has(&self, known: Known) -> bool {
        self.present & (1 << known as u16) != 0
    }

    /// RFC 9110, section 7.6.1: the fields that `Connection` names, then the ones that always concern one connection.
    fn remove_hop_by_hop(&self, headers: &mut HeaderMap) {
        if self.nominates {
            let options: Vec<HeaderValue> = headers.get_all(header::CONNECTION).iter().cloned().collect();
            for option in options.iter().flat_map(|line| line.as_bytes().split(|b| *b == b',')) {
                let Ok(name) = HeaderName::from_bytes(option.trim_ascii()) else { continue };
                if !CANNOT_BE_NOMINATED.contains(&name) && !chain::is_of_the_way(name.as_str()) {
                    headers.remove(name);
                }
            }
        }
        for (known, name) in [
            (Known::Connection, &header::CONNECTION),
            (Known::KeepAlive, &KEEP_ALIVE),
            (Known::ProxyConnection, &PROXY_CONNECTION),
            (Known::Te, &header::TE),
            (Known::TransferEncoding, &header::TRANSFER_ENCODING),
            (Known::Upgrade, &header::UPGRADE),
            (Known::Http2Settings, &HTTP2_SETTINGS),
        ] {
            if self.has(known) {
                headers.remove(name);
            }
        }
    }
}

/// Whether a `Connection` field names more than the usual.
fn nominates(value: &HeaderValue) -> bool {
    let usual = |option: &[u8]| {
        let option = option.trim_ascii();
        [&b"keep-alive"[..], b"close", b"upgrade", b"te"].iter().any(|usual| option.eq_ignore_ascii_case(usual))
    };
    !value.as_bytes().split(|b| *b == b',').all(usual)
}

/// How often a `Via` field names us: `1.1 evenkeel`, perhaps with a comment behind it (RFC 9110, section 7.6.3).
fn passes(value: &HeaderValue) -> u8 {
    let is_us = |entry: &&[u8]| {
        let mut words = entry.split(|b| matches!(b, b' ' | b'\t')).filter(|word| !word.is_empty());
        words.nth(1).is_some_and(|by| by.eq_ignore_ascii_case(PSEUDONYM))
    };
    let count = value.as_bytes().split(|b| *b == b',').filter(is_us).count();
    u8::try_from(count).unwrap_or(u8::MAX)
}

fn is_plain_length(value: &HeaderValue) -> bool {
    match value.as_bytes() {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// The length that a head states, if it does so once and plainly.
pub(crate) fn plain_length(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut lines = headers.get_all(header::CONTENT_LENGTH).iter();
    lines.next().filter(|length| is_plain_length(length)).filter(|_| lines.next().is_none())
}

pub(crate) fn lists(value: impl AsRef<[u8]>, wanted: &str) -> bool {
    let item = |item: &[u8]| {
        item.split(|b| *b == b';').next().is_some_and(|t| t.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()))
    };
    value.as_ref().split(|b| *b == b',').any(item)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn nominated_fields_go_and_those_that_cannot_be_nominated_stay() {
        let mut map = headers(&[
            ("connection", "close, X-A ,host"),
            ("connection", "content-length,, x-b;"),
            ("x-a", "1"),
            ("x-b", "1"),
            ("host", "h"),
            ("content-length", "5"),
            ("keep-alive", "timeout=5"),
            ("upgrade", "h2c"),
            ("http2-settings", "x"),
            ("te", "gzip"),
            ("x-c", "1"),
        ]);
        Survey::of(&map).remove_hop_by_hop(&mut map);
        let mut left: Vec<_> = map.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-length", "host", "x-b", "x-c"], "'x-b;' is no name and nominates nothing");
    }

    #[test]
    fn one_plain_length_and_one_plain_coding_pass() {
        let survey = |lines| Survey::of(&headers(lines));
        assert!(survey(&[]).one_length && survey(&[]).only_chunked);
        assert!(survey(&[("content-length", "5")]).one_length);
        for bad in ["5, 5", "", "+5", "05"] {
            let map: HeaderMap = [(header::CONTENT_LENGTH, HeaderValue::from_str(bad).unwrap())].into_iter().collect();
            assert!(!Survey::of(&map).one_length, "{bad}");
        }
        assert!(!survey(&[("content-length", "5"), ("content-length", "5")]).one_length);
        assert!(survey(&[("transfer-encoding", "Chunked")]).only_chunked);
        assert!(!survey(&[("transfer-encoding", "gzip, chunked")]).only_chunked);
        assert!(!survey(&[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")]).only_chunked);
        assert!(survey(&[("te", "gzip;q=1, Trailers")]).trailers);
    }

    #[test]
    fn only_our_own_entries_of_via_are_counted() {
        for (value, count) in [
            ("1.1 evenkeel", 1),
            ("1.1 evenkeel, 1.0 cdn, 1.1 EVENKEEL (x)", 2),
            ("1.1 evenkeel2, evenkeel, 1.1 a (evenkeel)", 0),
            ("", 0),
        ] {
            assert_eq!(passes(&HeaderValue::from_static(value)), count, "{value}");
        }
    }

    #[test]
    fn underscores_are_found_in_names() {
        assert!(Survey::of(&headers(&[("x_forwarded_for", "1")])).underscore);
        assert!(!Survey::of(&headers(&[("x-forwarded-for", "_")])).underscore);
    }

    #[test]
    fn an_answer_tells_how_long_its_connection_may_idle_and_whether_it_may_be_used_again() {
        let manner = |version, lines: &[(&'static str, &'static str)]| {
            let mut response = Response::new(Body::empty());
            *response.version_mut() = version;
            *response.headers_mut() = headers(lines);
            prepare_response(&mut response, None, None, Version::HTTP_11).unwrap()
        };
        assert_eq!(
            manner(Version::HTTP_11, &[("keep-alive", "max=3, timeout=5")]),
            Manner { last: false, idle: Some(5), connection_auth: false }
        );
        assert!(manner(Version::HTTP_10, &[("keep-alive", "timeout=x")]).last);
        assert!(manner(Version::HTTP_11, &[("transfer-encoding", "chunked"), ("content-length", "5")]).last);
    }
}
