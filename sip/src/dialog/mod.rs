//! Dialogs and the INVITE sessions that live in them (RFC 3261 §12–§15).

mod body;
mod refer;
mod reliable;
mod session;
mod session_timer;
mod state;

pub(crate) use body::{info_digit, refer_status, session_description};
pub(crate) use refer::Transfer;
pub(crate) use reliable::{Pending, Queued};
pub(crate) use session::{Attempt, OwnOffer, PeerOffer, Phase, Resend, Session};
pub(crate) use session_timer::{
    SessionTimer, TimerDue, is_too_small as session_interval_too_small,
};
pub(crate) use state::Dialog;

pub use session_timer::{MIN_SESSION_EXPIRES_S, SESSION_EXPIRES_S};
