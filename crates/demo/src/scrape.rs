//! Reads `/metrics` as any outsider would, and keeps the few numbers that the picture shows.

use evenkeel_telemetry::names;
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// How long a scrape may take: less than the second between two pictures.
const PATIENCE: Duration = Duration::from_millis(800);

/// Bytes of an answer that we read. The demo's metrics are 20 KiB.
const ANSWER_MAX: u64 = 4 * 1024 * 1024;

/// What was counted, at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Counts {
    /// Requests that Evenkeel has answered.
    pub(crate) requests: f64,
    /// False while the file on disk has a mistake and the one before it runs.
    pub(crate) reloaded: bool,
    /// Every endpoint of the configuration.
    pub(crate) endpoints: Vec<EndpointCounts>,
}

/// One endpoint's part.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct EndpointCounts {
    pub(crate) upstream: String,
    pub(crate) address: String,
    pub(crate) requests: f64,
    pub(crate) in_flight: f64,
    pub(crate) healthy: bool,
    pub(crate) draining: bool,
}

/// Asks the admin listener.
pub(crate) fn scrape(admin: SocketAddr) -> io::Result<Counts> {
    fetch(admin, "/metrics").map(|text| read(&text))
}

/// The body of a 200. Asked as HTTP/1.0, so that the answer ends with the connection and is never chunked (RFC 9112, section 6.1).
pub(crate) fn fetch(from: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&from, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {from}\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.take(ANSWER_MAX).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        status => Err(io::Error::other(format!("answered {}", status.unwrap_or("nonsense")))),
    }
}

/// Reads the text format of Prometheus, as far as we need it.
pub(crate) fn read(text: &str) -> Counts {
    let mut counts = Counts { reloaded: true, ..Counts::default() };
    for sample in text.lines().filter_map(Sample::parse) {
        if sample.name == names::REQUESTS.name {
            counts.requests += sample.value;
        } else if sample.name == names::CONFIG_LAST_RELOAD_SUCCESSFUL.name {
            counts.reloaded = sample.value > 0.0;
        } else if let (Some(upstream), Some(address)) = (sample.label("upstream"), sample.label("endpoint")) {
            counts.endpoint(upstream, address, &sample);
        }
    }
    counts
}

impl Counts {
    fn endpoint(&mut self, upstream: String, address: String, sample: &Sample<'_>) {
        let known = self.endpoints.iter().position(|e| e.upstream == upstream && e.address == address);
        let endpoint = match known {
            Some(index) => &mut self.endpoints[index],
            None => self.endpoints.push_mut(EndpointCounts { upstream, address, ..EndpointCounts::default() }),
        };
        if sample.name == names::ENDPOINT_REQUESTS.name {
            endpoint.requests += sample.value;
        } else if sample.name == names::ENDPOINT_REQUESTS_IN_FLIGHT.name {
            endpoint.in_flight = sample.value;
        } else if sample.name == names::ENDPOINT_HEALTHY.name {
            endpoint.healthy = sample.value > 0.0;
        } else if sample.name == names::ENDPOINT_DRAINING.name {
            endpoint.draining = sample.value > 0.0;
        }
    }
}

/// One line: `name{label="value",..} number`.
struct Sample<'a> {
    name: &'a str,
    labels: &'a str,
    value: f64,
}

impl<'a> Sample<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        if line.starts_with('#') {
            return None;
        }
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}')?),
            None => (series, ""),
        };
        Some(Self { name, labels, value: value.parse().ok()? })
    }

    /// The value of a label, unescaped.
    fn label(&self, wanted: &str) -> Option<String> {
        let mut rest = self.labels;
        while let Some((name, quoted)) = rest.split_once("=\"") {
            let (value, after) = unquote(quoted)?;
            if name.trim_start_matches(',').trim() == wanted {
                return Some(value);
            }
            rest = after;
        }
        None
    }
}

/// Up to the closing quote, and what follows it. `\\`, `\"` and `\n` are escaped.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match letters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_a_scrape_are_found_and_summed() {
        let counts = read(
            "# HELP evenkeel_requests_total Requests.\n\
             # TYPE evenkeel_requests_total counter\n\
             evenkeel_requests_total{listener=\"web\",route=\"fleet\",method=\"GET\",code=\"200\"} 40\n\
             evenkeel_requests_total{listener=\"web\",route=\"fleet\",method=\"GET\",code=\"502\"} 2\n\
             evenkeel_endpoint_requests_total{upstream=\"fleet\",endpoint=\"127.0.0.1:1\",code_class=\"2xx\"} 30\n\
             evenkeel_endpoint_requests_total{upstream=\"fleet\",endpoint=\"127.0.0.1:1\",code_class=\"5xx\"} 1\n\
             evenkeel_endpoint_requests_total{upstream=\"fleet\",endpoint=\"unix:/a\",code_class=\"2xx\"} 10\n\
             evenkeel_endpoint_requests_in_flight{upstream=\"fleet\",endpoint=\"127.0.0.1:1\"} 3\n\
             evenkeel_endpoint_healthy{upstream=\"fleet\",endpoint=\"127.0.0.1:1\"} 1\n\
             evenkeel_endpoint_draining{upstream=\"fleet\",endpoint=\"unix:/a\"} 1\n\
             evenkeel_config_last_reload_successful 0\n\
             process_cpu_seconds_total 1.5e-2\n",
        );
        let endpoint = |address: &str| EndpointCounts {
            upstream: "fleet".into(),
            address: address.into(),
            ..EndpointCounts::default()
        };
        assert_eq!(
            counts,
            Counts {
                requests: 42.0,
                reloaded: false,
                endpoints: vec![
                    EndpointCounts { requests: 31.0, in_flight: 3.0, healthy: true, ..endpoint("127.0.0.1:1") },
                    EndpointCounts { requests: 10.0, draining: true, ..endpoint("unix:/a") },
                ],
            }
        );
    }

    #[test]
    fn escaped_labels_are_read_and_torn_lines_are_not() {
        let sample = Sample::parse(r#"a{x="1\"2\\3\n",y="},{"} 7"#).unwrap();
        assert_eq!(sample.label("x").as_deref(), Some("1\"2\\3\n"));
        assert_eq!(sample.label("y").as_deref(), Some("},{"));
        assert_eq!(sample.label("z"), None);
        for torn in ["", "a", "a{x=\"1\" 7", "a seven"] {
            assert!(Sample::parse(torn).is_none(), "{torn}");
        }
        assert_eq!(Sample::parse(r#"a{x="1} 7"#).and_then(|s| s.label("x")), None);
    }
}
