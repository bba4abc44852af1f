//! The line a call goes out by: a number of the organisation and the carrier behind it.

use uuid::Uuid;

use super::outcome::DialDetail;
use crate::numbers::lines::{self, Line, Target};
use crate::services::Services;
use crate::sip_line::trunks::{API_PREFIX, Trunk};
use crate::store::{Store, StoreError, Tenant};

/// Who carries a call.
#[derive(Clone, Debug)]
pub enum Carrier {
    /// A SIP trunk.
    Sip(Trunk),
}

impl Carrier {
    /// Name in records and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Sip(_) => "sip",
        }
    }

    /// What limits of calls are counted by.
    #[must_use]
    pub fn trunk_name(&self) -> &str {
        match self {
            Self::Sip(trunk) => trunk.name(),
        }
    }
}

/// Which line is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    /// This one.
    pub line: Option<Uuid>,
    /// The one mapped to this agent or workflow.
    pub target: Option<Target>,
}

/// A line of the tenant: the one asked for; else one mapped to the agent or workflow; else the
/// first active one, oldest first. `None` when there is none.
///
/// # Errors
/// When the store fails.
pub async fn choose(
    store: &Store,
    tenant: Tenant,
    wanted: Wanted,
) -> Result<Option<Line>, StoreError> {
    if let Some(id) = wanted.line {
        let line = lines::find(&mut store.read().await?, tenant, id).await?;
        return Ok(line.filter(|line| line.active));
    }
    let lines = lines::list(store, tenant).await?;
    let mut active = lines.into_iter().filter(|line| line.active);
    let mapped = wanted
        .target
        .and_then(|target| active.clone().find(|line| line.target == Some(target)));
    Ok(mapped.or_else(|| active.next()))
}

/// Who carries the calls of a line: its own trunk; else the configured trunk that has the name of
/// its provider (so does `elison`); else the one of `outbound.trunk`.
///
/// # Errors
/// What the record says when there is no such trunk.
pub fn carrier(services: &Services, line: &Line) -> Result<Carrier, (DialDetail, String)> {
    let trunks = &services.sip_trunks;
    let trunk = match line.trunk {
        Some(id) => trunks.find(&format!("{API_PREFIX}{id}")),
        None => trunks.find(&line.provider).or_else(|| {
            let name = services.config.outbound.trunk.as_deref();
            name.and_then(|name| trunks.find(name))
        }),
    };
    trunk.map(Carrier::Sip).ok_or_else(|| {
        let message = "the line has no trunk that takes calls out; register a SIP trunk for it, \
                       or name one in `outbound.trunk`";
        (DialDetail::LineUnavailable, message.to_owned())
    })
}
