//! Pairs of UDP ports for RTP and RTCP.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use socket2::{Domain, Protocol, Socket, Type};

/// DSCP EF (RFC 3246) in the position of the TOS octet.
const TOS_EXPEDITED: u32 = 46 << 2;
/// Receive buffer asked for, in bytes: about half a second of 20 ms packets as the kernel
/// accounts them, so that a late worker loses nothing and a flood costs little memory.
const RECEIVE_BUFFER_BYTES: usize = 64 * 1024;
/// Pairs tried before giving up when other programs hold ports of our range.
const BIND_TRIES_MAX: u32 = 32;

/// Why there are no ports for a leg.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PortError {
    /// Every pair of the range is in use or resting: the call must be refused (503).
    #[error("no RTP port pair is free")]
    Exhausted,
    /// The operating system refuses.
    #[error("RTP port pair cannot be bound: {0}")]
    Bind(#[from] io::Error),
}

/// Which pairs of the range are free; knows nothing of sockets.
#[derive(Debug)]
struct PairPool {
    /// First even port.
    first: u16,
    in_use: Vec<bool>,
    /// Freed pairs and when they may be used again, oldest first.
    resting: VecDeque<(Instant, usize)>,
    /// Pair to try next: pairs are used in turn, so that a freed one rests longest.
    cursor: usize,
    rest: Duration,
}

impl PairPool {
    fn new(range: &RangeInclusive<u16>, rest: Duration) -> Self {
        let first = range.start().saturating_add(range.start() & 1);
        let ports = usize::from(*range.end()) + 1;
        let pairs = ports.saturating_sub(usize::from(first)) / 2;
        Self {
            first,
            in_use: vec![false; pairs],
            resting: VecDeque::with_capacity(pairs),
            cursor: 0,
            rest,
        }
    }

    fn take(&mut self, now: Instant) -> Option<usize> {
        while let Some(&(until, pair)) = self.resting.front() {
            if until > now {
                break;
            }
            self.in_use[pair] = false;
            self.resting.pop_front();
        }
        let pairs = self.in_use.len();
        let pair = (0..pairs)
            .map(|i| (self.cursor + i) % pairs)
            .find(|&pair| !self.in_use[pair])?;
        self.in_use[pair] = true;
        self.cursor = (pair + 1) % pairs;
        Some(pair)
    }

    fn free(&mut self, pair: usize, now: Instant) {
        self.resting.push_back((now + self.rest, pair));
    }

    fn rtp_port(&self, pair: usize) -> u16 {
        self.first + 2 * pair as u16
    }

    fn leased(&self) -> usize {
        let taken = self.in_use.iter().filter(|&&taken| taken).count();
        taken - self.resting.len()
    }
}

/// The configured range of RTP ports.
#[derive(Clone, Debug)]
pub(crate) struct PortRange {
    pool: Arc<Mutex<PairPool>>,
}

impl PortRange {
    pub(crate) fn new(range: &RangeInclusive<u16>, rest: Duration) -> Self {
        Self {
            pool: Arc::new(Mutex::new(PairPool::new(range, rest))),
        }
    }

    /// Binds a free pair on `ip`.
    pub(crate) fn reserve(&self, ip: IpAddr) -> Result<RtpPorts, PortError> {
        let mut refused = None;
        for _ in 0..BIND_TRIES_MAX {
            let Some(lease) = self.lease() else {
                return Err(refused.map_or(PortError::Exhausted, PortError::Bind));
            };
            let port = lease.rtp_port;
            let pair = bind(ip, port).and_then(|rtp| Ok((rtp, bind(ip, port + 1)?)));
            match pair {
                Ok((rtp, rtcp)) => {
                    return Ok(RtpPorts {
                        rtp,
                        rtcp,
                        address: SocketAddr::new(ip, port),
                        _lease: lease,
                    });
                }
                // Held by another program: the pair rests, the next one is tried.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => refused = Some(error),
                Err(error) => return Err(error.into()),
            }
        }
        Err(refused.map_or(PortError::Exhausted, PortError::Bind))
    }

    /// Pairs bound now.
    pub(crate) fn leased(&self) -> usize {
        lock(&self.pool).leased()
    }

    /// Pairs in the range.
    pub(crate) fn capacity(&self) -> usize {
        lock(&self.pool).in_use.len()
    }

    fn lease(&self) -> Option<Lease> {
        let mut pool = lock(&self.pool);
        let pair = pool.take(now())?;
        Some(Lease {
            pair,
            rtp_port: pool.rtp_port(pair),
            pool: Arc::clone(&self.pool),
        })
    }
}

/// A bound pair: RTP on the even port, RTCP on the odd one above it. Dropping it frees the pair,
/// which then rests so that late packets of this call do not reach the next one.
#[derive(Debug)]
pub struct RtpPorts {
    pub(crate) rtp: UdpSocket,
    pub(crate) rtcp: UdpSocket,
    address: SocketAddr,
    // Dropped after the sockets are closed.
    _lease: Lease,
}

impl RtpPorts {
    /// Local address of RTP.
    #[must_use]
    pub const fn rtp_address(&self) -> SocketAddr {
        self.address
    }

    /// A second hold on the socket of RTP, for the task that keeps the peer's connection.
    pub(crate) fn duplicate_rtp(&self) -> io::Result<std::net::UdpSocket> {
        self.rtp.as_fd().try_clone_to_owned().map(Into::into)
    }

    /// Local address of RTCP.
    #[must_use]
    pub const fn rtcp_address(&self) -> SocketAddr {
        let mut address = self.address;
        address.set_port(self.address.port() + 1);
        address
    }
}

#[derive(Debug)]
struct Lease {
    pair: usize,
    rtp_port: u16,
    pool: Arc<Mutex<PairPool>>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        lock(&self.pool).free(self.pair, now());
    }
}

fn lock(pool: &Mutex<PairPool>) -> std::sync::MutexGuard<'_, PairPool> {
    // The pool is consistent between statements, so a panic elsewhere does not spoil it.
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bind(ip: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let address = SocketAddr::new(ip, port);
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    if address.is_ipv4() {
        socket.set_tos_v4(TOS_EXPEDITED)?;
    } else {
        socket.set_tclass_v6(TOS_EXPEDITED)?;
    }
    socket.bind(&address.into())?;
    Ok(UdpSocket::from_std(socket.into()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "driver: freed pairs rest in real time"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_freed_pair_rests_before_it_is_used_again() {
        let t0 = now();
        let rest = Duration::from_secs(3);
        let mut pool = PairPool::new(&(10_001..=10_006), rest);
        let mut ports = [0; 2];
        for port in &mut ports {
            let pair = pool.take(t0).expect("a free pair");
            *port = pool.rtp_port(pair);
        }
        assert_eq!(ports, [10_002, 10_004]);
        assert_eq!(pool.take(t0), None);
        pool.free(0, t0);
        assert_eq!(pool.leased(), 1);
        assert_eq!(pool.take(t0 + rest - Duration::from_millis(1)), None);
        assert_eq!(pool.take(t0 + rest), Some(0));
    }

    #[test]
    fn odd_and_tiny_ranges_yield_whole_pairs_only() {
        for (range, pairs) in [
            (10_000..=10_000, 0),
            (10_001..=10_002, 0),
            (10_000..=10_001, 1),
            (65_534..=65_535, 1),
            (65_535..=65_535, 0),
        ] {
            let pool = PairPool::new(&range, Duration::ZERO);
            assert_eq!(pool.in_use.len(), pairs, "{range:?}");
        }
    }

    #[test]
    fn a_pair_held_by_another_program_is_passed_over() {
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let range = PortRange::new(&(28_400..=28_403), Duration::from_secs(5));
        let other = std::net::UdpSocket::bind((ip, 28_401)).expect("port for the test");
        let ports = range.reserve(ip).expect("the second pair");
        assert_eq!(ports.rtp_address().port(), 28_402);
        assert_eq!(ports.rtcp_address().port(), 28_403);
        assert!(matches!(range.reserve(ip), Err(PortError::Exhausted)));
        assert_eq!(range.leased(), 1);
        drop(ports);
        assert_eq!(range.leased(), 0);
        drop(other);
    }
}
