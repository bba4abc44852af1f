//! Trunks: whose calls come in, where calls go out, and within which limits.

mod directory;
mod keeper;
mod limits;
mod matching;
mod outbound;
mod preset;
mod registry;
mod trunk;

pub(crate) use self::directory::PREFIX as API_PREFIX;
pub use self::directory::follow_directory;
pub(crate) use self::keeper::begin_registration;
pub use self::keeper::keep_trunks;
pub use self::limits::Place;
pub(in crate::sip_line) use self::matching::{Origin, Turned};
pub use self::outbound::{OutboundCall, OutboundRefusal};
pub use self::registry::{TrunkError, TrunkRegistry};
pub use self::trunk::{Health, Trunk};
