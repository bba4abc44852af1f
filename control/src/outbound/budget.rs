//! Whether there is money for a call: asked before anything leaves, told when it is over.

use async_trait::async_trait;
use uuid::Uuid;

use crate::calls::id::CallId;

/// Who a call is for, as far as paying goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Payer {
    /// The organisation.
    pub organisation: Uuid,
    /// The user who placed it, or whose batch it is of.
    pub user: Option<Uuid>,
}

/// There is no credit for a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("there is no credit for this call; add credit and try again")]
pub struct NoCredit;

/// Reserves what a call may cost. A hold is taken before the call leaves and given back or
/// captured once it is over; both calls with the same id twice do nothing the second time.
#[async_trait]
pub trait CallBudget: Send + Sync + std::fmt::Debug {
    /// Holds the first minutes of a call.
    ///
    /// # Errors
    /// [`NoCredit`]; the call must not leave then.
    async fn hold(&self, call: CallId, payer: Payer) -> Result<(), NoCredit>;

    /// Gives back what is held for a call that was never answered.
    async fn release(&self, call: CallId);
}

/// The budget of an installation that does not bill.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unbilled;

#[async_trait]
impl CallBudget for Unbilled {
    async fn hold(&self, _call: CallId, _payer: Payer) -> Result<(), NoCredit> {
        Ok(())
    }

    async fn release(&self, _call: CallId) {}
}
