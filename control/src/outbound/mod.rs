//! Calls we place: which line, whom it reaches, how it was taken.
//!
//! [`place::place`] opens the record, has the carrier dial ([`crate::sip_line::outbound`] for SIP
//! trunks) and joins what is answered to the conversation, as for any call.

pub mod budget;
pub mod line;
pub mod outcome;
pub mod place;
