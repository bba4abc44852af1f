//! Who a call that we place is charged to.

use uuid::Uuid;

/// Who a call is for, as far as paying goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Payer {
    /// The organisation.
    pub organisation: Uuid,
    /// The user who placed it, or whose batch it is of.
    pub user: Option<Uuid>,
}
