//! Telephone numbers, who answers them, the trunks they come in by, and where calls are sent on to.

pub mod endpoints;
pub mod lines;
pub mod routing;
pub mod trunks;
pub mod webhook;
