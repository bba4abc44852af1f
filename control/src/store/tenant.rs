//! Whose rows a statement may touch.

use uuid::Uuid;

/// An organisation (a workspace) whose rows are meant. Every statement on rows that belong to
/// somebody takes one; only [`crate::identity`] makes them, from what a request has proved.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tenant {
    organisation: Uuid,
}

impl Tenant {
    /// The tenant that the rows of `organisation` belong to.
    #[must_use]
    pub(crate) const fn of(organisation: Uuid) -> Self {
        Self { organisation }
    }

    /// Id of the organisation.
    #[must_use]
    pub const fn organisation(&self) -> Uuid {
        self.organisation
    }
}
