//! Who changed what: written in the transaction of the change.

use uuid::Uuid;

use super::principal::Principal;
use crate::clock::now_us;
use crate::store::{Connection, StoreError, sql};

/// What is noted of the one who acts, taken before a job leaves the request.
#[derive(Clone, Debug)]
pub struct Actor {
    organisation: Option<Uuid>,
    user: Option<Uuid>,
    credential: String,
    request_id: String,
}

impl Actor {
    /// The one who calls.
    #[must_use]
    pub fn of(principal: &Principal, request_id: &str) -> Self {
        Self {
            organisation: Some(principal.tenant.organisation()),
            user: Some(principal.user),
            credential: principal.credential.describe(),
            request_id: request_id.to_owned(),
        }
    }

    /// A user who has just proved who they are.
    #[must_use]
    pub fn user(user: Uuid, request_id: &str) -> Self {
        Self {
            organisation: None,
            user: Some(user),
            credential: "none".to_owned(),
            request_id: request_id.to_owned(),
        }
    }

    /// Notes that the actor did `action` to an object.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn did(
        &self,
        conn: &mut Connection,
        action: &str,
        object: (&str, impl ToString + Send),
    ) -> Result<(), StoreError> {
        sql(
            "INSERT INTO audit_log (id, at, org_id, user_id, credential, action, object_kind, \
               object_id, request_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(Uuid::now_v7())
        .bind(now_us())
        .bind(self.organisation.map(|id| id.to_string()))
        .bind(self.user.map(|id| id.to_string()))
        .bind(&self.credential)
        .bind(action)
        .bind(object.0)
        .bind(object.1.to_string())
        .bind(&self.request_id)
        .execute(conn)
        .await
        .map(drop)
    }
}
