//! Where a request for a URI goes (RFC 3263 §4), without the network: asks for records, takes
//! them, and gives hops in the order in which they are to be tried.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use super::{Hop, Transport};
use crate::message::{Host, Uri};

/// A DNS question.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Query {
    /// NAPTR records of a domain.
    Naptr(String),
    /// SRV records of a service name.
    Srv(String),
    /// A and AAAA records of a host.
    Address(String),
}

/// A NAPTR record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Naptr {
    /// Lower comes first.
    pub order: u16,
    /// Lower comes first among the same order.
    pub preference: u16,
    /// `SIP+D2U`, `SIP+D2T`, `SIPS+D2T`.
    pub service: String,
    /// Name of SRV records.
    pub replacement: String,
}

/// An SRV record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Srv {
    /// Lower comes first.
    pub priority: u16,
    /// Share among the same priority.
    pub weight: u16,
    /// Port.
    pub port: u16,
    /// Host.
    pub target: String,
}

/// An answer; empty when there are no such records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// To [`Query::Naptr`].
    Naptr(Vec<Naptr>),
    /// To [`Query::Srv`].
    Srv(Vec<Srv>),
    /// To [`Query::Address`].
    Address(Vec<IpAddr>),
}

/// A hop with the name its certificate must show.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// Where to.
    pub hop: Hop,
    /// Name of the domain asked for; `None` for address literals.
    pub name: Option<String>,
}

/// Hosts whose addresses are still to be asked for.
#[derive(Debug)]
struct Candidate {
    transport: Transport,
    host: String,
    port: u16,
}

/// The search for one URI.
#[derive(Debug)]
pub struct Selection {
    domain: String,
    supported: Vec<Transport>,
    /// By what the host is called if no records say otherwise.
    fallback: Transport,
    /// Services to be asked for, in order.
    services: VecDeque<(Transport, String)>,
    candidates: VecDeque<Candidate>,
    asking: Option<Query>,
    targets: Vec<Target>,
}

impl Selection {
    /// A search among the `supported` transports, the preferred ones first.
    #[must_use]
    pub fn new(uri: &Uri, supported: &[Transport]) -> Self {
        let mut selection = Self {
            domain: String::new(),
            supported: supported.to_vec(),
            fallback: Transport::of_uri(uri).unwrap_or_default(),
            services: VecDeque::new(),
            candidates: VecDeque::new(),
            asking: None,
            targets: Vec::new(),
        };
        let Some(sip) = uri.as_sip() else {
            return selection;
        };
        let wanted = Transport::of_uri(uri);
        let plain = wanted.unwrap_or_default();
        if !supported.contains(&plain) {
            return selection;
        }
        let port = sip.port.unwrap_or(plain.default_port());
        match &sip.host {
            Host::Ip(ip) => selection.targets.push(Target {
                hop: Hop::new(plain, SocketAddr::new(*ip, port)),
                name: None,
            }),
            Host::Name(name) => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                selection.domain.clone_from(&name);
                // §4.2: a port means that no SRV is asked for.
                if sip.port.is_some() {
                    selection.candidates.push_back(Candidate {
                        transport: plain,
                        host: name,
                        port,
                    });
                } else if let Some(transport) = wanted {
                    selection
                        .services
                        .push_back((transport, service(transport, &name)));
                    selection.asking = Some(Query::Srv(service(transport, &name)));
                } else {
                    selection.asking = Some(Query::Naptr(name));
                }
            }
        }
        selection
    }

    /// What to ask next; `None` when the search is over.
    pub fn next_query(&mut self) -> Option<Query> {
        if self.asking.is_none() {
            let candidate = self.candidates.front()?;
            // Hosts of SRV records may be literals in careless zones.
            if let Ok(ip) = candidate.host.parse::<IpAddr>() {
                self.take_addresses(vec![ip]);
                return self.next_query();
            }
            self.asking = Some(Query::Address(candidate.host.clone()));
        }
        self.asking.clone()
    }

    /// Takes the answer to the last query. `random` decides among SRV records of one priority.
    pub fn take(&mut self, answer: Answer, random: &mut impl FnMut(u32) -> u32) {
        self.asking = None;
        match answer {
            Answer::Naptr(records) => self.take_naptr(records),
            Answer::Srv(records) => self.take_srv(records, random),
            Answer::Address(addresses) => self.take_addresses(addresses),
        }
    }

    /// Hops in the order in which they are to be tried.
    #[must_use]
    pub fn into_targets(self) -> Vec<Target> {
        self.targets
    }

    fn take_naptr(&mut self, mut records: Vec<Naptr>) {
        records.sort_by_key(|record| (record.order, record.preference));
        for record in records {
            let transport = match record.service.to_ascii_uppercase().as_str() {
                "SIP+D2U" => Transport::Udp,
                "SIP+D2T" => Transport::Tcp,
                "SIPS+D2T" => Transport::Tls,
                _ => continue,
            };
            if self.supported.contains(&transport) {
                let name = record.replacement.trim_end_matches('.').to_owned();
                self.services.push_back((transport, name));
            }
        }
        if self.services.is_empty() {
            // §4.1: without NAPTR each transport's SRV is asked for.
            for transport in self.supported.clone() {
                if !matches!(transport, Transport::Ws | Transport::Wss) {
                    let name = service(transport, &self.domain);
                    self.services.push_back((transport, name));
                }
            }
        }
        self.ask_service();
    }

    fn ask_service(&mut self) {
        self.asking = self
            .services
            .front()
            .map(|(_, name)| Query::Srv(name.clone()));
    }

    fn take_srv(&mut self, records: Vec<Srv>, random: &mut impl FnMut(u32) -> u32) {
        let Some((transport, _)) = self.services.pop_front() else {
            return;
        };
        for record in by_weight(records, random) {
            let host = record.target.trim_end_matches('.').to_ascii_lowercase();
            // A target of "." means that there is no such service.
            if !host.is_empty() {
                self.candidates.push_back(Candidate {
                    transport,
                    host,
                    port: record.port,
                });
            }
        }
        if !self.services.is_empty() {
            return self.ask_service();
        }
        if self.candidates.is_empty() {
            // §4.2: the host itself, by what was asked for, else UDP.
            let transport = self.fallback;
            self.candidates.push_back(Candidate {
                transport,
                host: self.domain.clone(),
                port: transport.default_port(),
            });
        }
    }

    fn take_addresses(&mut self, addresses: Vec<IpAddr>) {
        let Some(candidate) = self.candidates.pop_front() else {
            return;
        };
        for address in addresses {
            let target = Target {
                hop: Hop::new(
                    candidate.transport,
                    SocketAddr::new(address, candidate.port),
                ),
                name: Some(self.domain.clone()),
            };
            if !self.targets.contains(&target) {
                self.targets.push(target);
            }
        }
    }
}

fn service(transport: Transport, domain: &str) -> String {
    let prefix = match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tcp => "_sip._tcp",
        Transport::Tls => "_sips._tcp",
        Transport::Ws => "_sip._ws",
        Transport::Wss => "_sips._wss",
    };
    format!("{prefix}.{domain}")
}

/// RFC 2782: by priority, and at random by weight within one.
fn by_weight(mut records: Vec<Srv>, random: &mut impl FnMut(u32) -> u32) -> Vec<Srv> {
    records.sort_by_key(|record| (record.priority, record.weight));
    let mut ordered = Vec::with_capacity(records.len());
    while let Some(first) = records.first() {
        let priority = first.priority;
        let same = records.iter().take_while(|r| r.priority == priority);
        let total: u32 = same.map(|r| u32::from(r.weight)).sum();
        let mut pick = random(total + 1);
        let at = records
            .iter()
            .take_while(|r| r.priority == priority)
            .position(|r| {
                let reached = u32::from(r.weight) >= pick;
                pick = pick.saturating_sub(r.weight.into());
                reached
            })
            .unwrap_or(0);
        ordered.push(records.remove(at));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn srv(priority: u16, weight: u16, port: u16, target: &str) -> Srv {
        Srv {
            priority,
            weight,
            port,
            target: target.to_owned(),
        }
    }

    fn naptr(order: u16, service: &str, replacement: &str) -> Naptr {
        Naptr {
            order,
            preference: 10,
            service: service.to_owned(),
            replacement: replacement.to_owned(),
        }
    }

    fn targets(uri: &str, zone: &HashMap<Query, Answer>) -> Vec<String> {
        let supported = [Transport::Udp, Transport::Tcp, Transport::Tls];
        let mut selection = Selection::new(&Uri::parse(uri).unwrap(), &supported);
        let mut asked = 0;
        while let Some(query) = selection.next_query() {
            asked += 1;
            assert!(asked < 50);
            let answer = zone.get(&query).cloned().unwrap_or(match query {
                Query::Naptr(_) => Answer::Naptr(Vec::new()),
                Query::Srv(_) => Answer::Srv(Vec::new()),
                Query::Address(_) => Answer::Address(Vec::new()),
            });
            selection.take(answer, &mut |_| 0);
        }
        selection
            .into_targets()
            .iter()
            .map(|target| target.hop.to_string())
            .collect()
    }

    fn zone() -> HashMap<Query, Answer> {
        let address = |name: &str, ip: &str| {
            (
                Query::Address(name.to_owned()),
                Answer::Address(vec![ip.parse().unwrap()]),
            )
        };
        HashMap::from([
            (
                Query::Naptr("carrier.example".to_owned()),
                Answer::Naptr(vec![
                    naptr(50, "SIP+D2U", "_sip._udp.carrier.example."),
                    naptr(40, "SIPS+D2T", "_sips._tcp.carrier.example."),
                    naptr(30, "E2U+sip", "x."),
                ]),
            ),
            (
                Query::Srv("_sips._tcp.carrier.example".to_owned()),
                Answer::Srv(vec![srv(1, 0, 5061, "tls.carrier.example.")]),
            ),
            (
                Query::Srv("_sip._udp.carrier.example".to_owned()),
                Answer::Srv(vec![
                    srv(20, 0, 5070, "backup.carrier.example."),
                    srv(10, 0, 5060, "main.carrier.example."),
                ]),
            ),
            address("tls.carrier.example", "192.0.2.1"),
            address("main.carrier.example", "192.0.2.2"),
            address("backup.carrier.example", "192.0.2.3"),
            address("carrier.example", "192.0.2.9"),
        ])
    }

    #[test]
    fn records_decide_transport_order_and_port() {
        assert_eq!(
            targets("sip:carrier.example", &zone()),
            [
                "tls:192.0.2.1:5061",
                "udp:192.0.2.2:5060",
                "udp:192.0.2.3:5070"
            ]
        );
        assert_eq!(
            targets("sip:carrier.example;transport=udp", &zone()),
            ["udp:192.0.2.2:5060", "udp:192.0.2.3:5070"]
        );
        assert_eq!(
            targets("sips:carrier.example", &zone()),
            ["tls:192.0.2.1:5061"]
        );
    }

    #[test]
    fn a_port_or_an_address_asks_for_no_services() {
        assert_eq!(
            targets("sip:carrier.example:5080", &zone()),
            ["udp:192.0.2.9:5080"]
        );
        assert_eq!(
            targets("sip:192.0.2.7;transport=tcp", &HashMap::new()),
            ["tcp:192.0.2.7:5060"]
        );
        assert_eq!(
            targets("sip:[2001:db8::1]:5070", &HashMap::new()),
            ["udp:[2001:db8::1]:5070"]
        );
    }

    #[test]
    fn without_services_the_host_itself_is_called() {
        let mut zone = HashMap::new();
        zone.insert(
            Query::Address("pbx.example".to_owned()),
            Answer::Address(vec!["192.0.2.4".parse().unwrap()]),
        );
        assert_eq!(
            targets("sip:pbx.example;transport=tcp", &zone),
            ["tcp:192.0.2.4:5060"]
        );
        assert_eq!(targets("sip:pbx.example", &zone), ["udp:192.0.2.4:5060"]);
        assert!(targets("sip:nobody.example", &zone).is_empty());
        assert!(targets("tel:+15550100", &zone).is_empty());
    }

    #[test]
    fn weights_share_the_calls() {
        let records = || vec![srv(1, 10, 1, "a"), srv(1, 90, 2, "b")];
        let first = |pick: u32| by_weight(records(), &mut |_| pick)[0].target.clone();
        assert_eq!(first(10), "a");
        assert_eq!(first(11), "b");
        assert_eq!(first(100), "b");
    }
}
