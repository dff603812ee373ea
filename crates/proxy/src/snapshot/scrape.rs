//! Writes the series of a snapshot. Series follow the snapshot: what was removed has no line.

use super::parts::Snapshot;
use evenkeel_balance::Flag;
use evenkeel_telemetry::{
    Exposition,
    scrape::{self, EndpointSeries},
};

impl Snapshot {
    /// Writes what is counted for routes, upstreams, endpoints and listeners. Takes milliseconds when there are thousands; not for a
    /// worker's thread.
    pub fn scrape(&self, page: &mut Exposition) {
        let mut routes = vec![("", &*self.no_route)];
        routes.extend(self.routes.iter().map(|part| (part.name.as_str(), &*part.cells)));
        let listener =
            |number: u64| self.listeners.iter().find(|part| part.number.get() == number).map(|part| part.name.as_str());
        scrape::routes(page, &routes, listener);

        let upstreams: Vec<_> = self.upstreams.iter().map(|part| (part.settings.name.as_str(), &*part.cells)).collect();
        scrape::upstreams(page, &upstreams);

        let endpoints = self.upstreams.iter().flat_map(|upstream| {
            upstream.endpoints.iter().map(|part| EndpointSeries {
                upstream: upstream.settings.name.as_str(),
                endpoint: &part.label,
                cells: &part.cells,
                in_flight: part.endpoint.in_flight(),
                healthy: part.endpoint.healthy(),
                ejected: part.endpoint.has(Flag::Ejected),
                draining: part.endpoint.draining(),
            })
        });
        scrape::endpoints(page, &endpoints.collect::<Vec<_>>());

        let listeners: Vec<_> = self.listeners.iter().map(|part| (part.name.as_str(), &*part.cells)).collect();
        scrape::listeners(page, &listeners);
        let sessions = self.listeners.iter().zip(&self.tcp).flat_map(|(listener, tcp)| {
            let counted = tcp.iter().flat_map(|tcp| tcp.counted());
            counted.map(|(upstream, cells)| (listener.name.as_str(), upstream, cells))
        });
        scrape::sessions(page, &sessions.collect::<Vec<_>>());
        let listeners = || self.tls.iter().flatten().map(|ready| ready.server());
        let upstreams = || self.upstreams.iter().filter_map(|part| Some((&part.settings.name, part.tls.as_ref()?)));
        // Certificates of clients mostly have no names of hosts.
        let shown = upstreams().flat_map(|(upstream, tls)| {
            let named = |name: String| if name.is_empty() { upstream.as_str().to_owned() } else { name };
            tls.ends().into_iter().map(move |(name, end)| (named(name), end))
        });
        scrape::certificates(page, listeners().flat_map(|server| server.ends()).chain(shown));
        let lists = upstreams().flat_map(|(_, tls)| tls.next_updates());
        scrape::revocations(page, listeners().flat_map(|server| server.next_updates()).chain(lists));
    }
}
