//! Session timers (RFC 4028).

use std::time::{Duration, Instant};

use crate::message::{HeaderName, Headers, Params};

/// Smallest session interval we accept, in seconds (RFC 4028 §4).
pub const MIN_SESSION_EXPIRES_S: u32 = 90;
/// Session interval used when the peer names none, in seconds.
pub const SESSION_EXPIRES_S: u32 = 1_800;
/// Longest time before the end of the interval at which a session without refresh is ended.
const EXPIRY_MARGIN_MAX: Duration = Duration::from_secs(32);

/// Who refreshes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refresher {
    /// We do.
    Us,
    /// The peer does.
    Peer,
}

/// The running timer of one session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SessionTimer {
    pub(crate) interval_s: u32,
    pub(crate) refresher: Refresher,
    started: Instant,
    /// Whether the refresh of this interval has been sent.
    refresh_sent: bool,
}

/// What the timer calls for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TimerDue {
    /// Nothing yet.
    Nothing,
    /// Send a refresh.
    Refresh,
    /// Nobody refreshed the session: end it.
    Expired,
}

/// Session-Expires as written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SessionExpires {
    pub(crate) seconds: u32,
    /// Whether `refresher=uac` is written; `None` without that parameter.
    pub(crate) refresher_is_uac: Option<bool>,
}

impl SessionExpires {
    /// Reads the header field; a malformed one counts as none.
    pub(crate) fn read(headers: &Headers) -> Option<Self> {
        let value = headers.first(&HeaderName::SessionExpires)?;
        let (seconds, params) = match value.split_once(';') {
            Some((seconds, params)) => (seconds, Params::parse(params).ok()?),
            None => (value, Params::new()),
        };
        let refresher_is_uac = match params.value("refresher") {
            Some(who) if who.eq_ignore_ascii_case("uac") => Some(true),
            Some(who) if who.eq_ignore_ascii_case("uas") => Some(false),
            _ => None,
        };
        Some(Self {
            seconds: seconds.trim().parse().ok()?,
            refresher_is_uac,
        })
    }
}

impl SessionTimer {
    pub(crate) const fn new(now: Instant, interval_s: u32, refresher: Refresher) -> Self {
        Self {
            interval_s,
            refresher,
            started: now,
            refresh_sent: false,
        }
    }

    /// The timer that our 2xx to this request starts. `None` if the caller asked for none.
    pub(crate) fn for_request(now: Instant, headers: &Headers) -> Option<Self> {
        let asked = SessionExpires::read(headers)?;
        let peer_supports = headers.lists(&HeaderName::Supported, "timer");
        // Without support of its own the peer cannot refresh (§9, table 2); else it is easier
        // for us that the peer does.
        let refresher = match asked.refresher_is_uac {
            Some(false) => Refresher::Us,
            _ if !peer_supports => Refresher::Us,
            Some(true) | None => Refresher::Peer,
        };
        Some(Self::new(
            now,
            asked.seconds.max(MIN_SESSION_EXPIRES_S),
            refresher,
        ))
    }

    /// The timer that a 2xx to our request starts.
    pub(crate) fn for_response(now: Instant, headers: &Headers) -> Option<Self> {
        let granted = SessionExpires::read(headers)?;
        let refresher = match granted.refresher_is_uac {
            Some(true) => Refresher::Us,
            Some(false) | None => Refresher::Peer,
        };
        Some(Self::new(
            now,
            granted.seconds.max(MIN_SESSION_EXPIRES_S),
            refresher,
        ))
    }

    /// Header fields of our 2xx.
    pub(crate) fn answer(&self, headers: &mut Headers) {
        // The peer sent the request, so it is the user agent client of this exchange.
        let who = match self.refresher {
            Refresher::Us => "uas",
            Refresher::Peer => "uac",
        };
        headers.push(
            HeaderName::SessionExpires,
            format!("{};refresher={who}", self.interval_s),
        );
        if self.refresher == Refresher::Peer {
            headers.push(HeaderName::Require, "timer");
        }
    }

    /// Header fields of a request of ours that refreshes the session: we are its client.
    pub(crate) fn ask(&self, headers: &mut Headers) {
        let who = match self.refresher {
            Refresher::Us => "uac",
            Refresher::Peer => "uas",
        };
        headers.push(
            HeaderName::SessionExpires,
            format!("{};refresher={who}", self.interval_s),
        );
    }

    pub(crate) fn deadline(&self) -> Instant {
        let interval = Duration::from_secs(self.interval_s.into());
        match self.refresher {
            Refresher::Us if !self.refresh_sent => self.started + interval / 2,
            _ => self.started + interval - EXPIRY_MARGIN_MAX.min(interval / 3),
        }
    }

    pub(crate) fn on_timeout(&mut self, now: Instant) -> TimerDue {
        if self.deadline() > now {
            return TimerDue::Nothing;
        }
        if self.refresher == Refresher::Us && !self.refresh_sent {
            self.refresh_sent = true;
            return TimerDue::Refresh;
        }
        TimerDue::Expired
    }
}

/// Whether the request asks for a shorter interval than we accept. Peers without support for
/// timers could not act on a 422 (§9).
pub(crate) fn is_too_small(headers: &Headers) -> bool {
    headers.lists(&HeaderName::Supported, "timer")
        && SessionExpires::read(headers).is_some_and(|asked| asked.seconds < MIN_SESSION_EXPIRES_S)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Header;

    fn timer(now: Instant, expires: &str, supported: bool) -> Option<SessionTimer> {
        let mut headers: Headers = [Header::new(HeaderName::SessionExpires, expires)]
            .into_iter()
            .collect();
        if supported {
            headers.push(HeaderName::Supported, "timer");
        }
        SessionTimer::for_request(now, &headers)
    }

    #[expect(clippy::disallowed_methods, reason = "only an origin for virtual time")]
    fn origin() -> Instant {
        Instant::now()
    }

    #[test]
    fn peer_refreshes_if_it_can() {
        let now = origin();
        let refresher = |expires, supported| timer(now, expires, supported).unwrap().refresher;
        assert_eq!(refresher("1800", true), Refresher::Peer);
        assert_eq!(refresher("1800;refresher=uas", true), Refresher::Us);
        assert_eq!(refresher("1800", false), Refresher::Us);
        assert_eq!(timer(now, "soon", true), None);
    }

    #[test]
    fn our_refresh_is_due_at_half_and_expiry_before_the_end() {
        let now = origin();
        let mut timer = timer(now, "90;refresher=uas", true).unwrap();
        let at = |s| now + Duration::from_secs(s);
        assert_eq!(timer.on_timeout(at(44)), TimerDue::Nothing);
        assert_eq!(timer.on_timeout(at(45)), TimerDue::Refresh);
        assert_eq!(timer.on_timeout(at(59)), TimerDue::Nothing);
        assert_eq!(timer.on_timeout(at(60)), TimerDue::Expired);
    }
}
