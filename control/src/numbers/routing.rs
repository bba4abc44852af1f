//! Calls for numbers that an endpoint outside answers.

use super::endpoints;
use super::lines::{self, Target};
use crate::api::schema::e164;
use crate::store::{Store, StoreError, Tenant, sql};

/// The SIP URI that calls for `called` are sent on to: that of the active endpoint its line is
/// mapped to. `None` when none is, or the endpoint is a webhook.
///
/// # Errors
/// When the store fails.
pub async fn sent_on_to(store: &Store, called: &str) -> Result<Option<String>, StoreError> {
    let Some(number) = e164(called) else {
        return Ok(None);
    };
    let mut conn = store.read().await?;
    let line = lines::find_for_call(&mut conn, &number).await?;
    let Some((Some(Target::Endpoint(id)), org)) = line.map(|line| (line.target, line.org)) else {
        return Ok(None);
    };
    let row = sql("SELECT url FROM endpoints WHERE id = $1 AND org_id = $2 \
                     AND status = 'active' AND kind <> 'webhook'")
    .bind(id)
    .bind(Tenant::of(org).organisation())
    .fetch_optional(&mut conn)
    .await?;
    let url: Option<String> = row.map(|row| row.get("url")).transpose()?;
    Ok(url.map(|url| url.replace(endpoints::NUMBER, &number)))
}
