//! Prices of the configuration become versions in the database.

use uuid::Uuid;

use super::rating::{Price, Tariff};
use crate::config::BillingSection;
use crate::identity::accounts::uuid;
use crate::store::{Connection, Store, StoreError, sql};

/// Stores the configured prices that are new or differ from the latest version, and gives the
/// tariff of the versions in force.
///
/// # Errors
/// When the store fails.
pub async fn bring_into_force(
    store: &Store,
    section: &BillingSection,
    now: i64,
) -> Result<Tariff, StoreError> {
    let wanted: Vec<Price> = section
        .prices
        .iter()
        .map(|price| Price {
            id: Uuid::now_v7(),
            component: price.component,
            provider: price.provider.clone(),
            price: price.price.0,
            cost: price.cost.0,
            per_units: price.per_units(),
            increment_s: i64::from(price.increment),
            minimum_s: i64::from(price.minimum),
        })
        .collect();
    let currency = section.currency.clone();
    let in_force = store.write(move |conn| {
        Box::pin(async move {
            let mut in_force = Vec::with_capacity(wanted.len());
            for price in wanted {
                let latest = latest(conn, &price, &currency).await?;
                // All but the id of the version must be the same.
                let same = |known: &Price| {
                    Price {
                        id: price.id,
                        ..known.clone()
                    } == price
                };
                match latest {
                    Some(known) if same(&known) => in_force.push(known),
                    _ => {
                        insert(conn, &price, &currency, now).await?;
                        in_force.push(price);
                    }
                }
            }
            Ok(in_force)
        })
    });
    Ok(Tariff::new(in_force.await?))
}

async fn latest(
    conn: &mut Connection,
    like: &Price,
    currency: &str,
) -> Result<Option<Price>, StoreError> {
    let row = sql(
        "SELECT id, price, cost, per_units, increment_s, minimum_s FROM prices \
         WHERE component = $1 AND provider = $2 AND currency = $3 \
         ORDER BY valid_from DESC LIMIT 1",
    )
    .bind(like.component.name())
    .bind(&like.provider)
    .bind(currency)
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Price {
        id: uuid(&row, "id")?,
        component: like.component,
        provider: like.provider.clone(),
        price: row.get("price")?,
        cost: row.get("cost")?,
        per_units: row.get("per_units")?,
        increment_s: row.get("increment_s")?,
        minimum_s: row.get("minimum_s")?,
    }))
}

async fn insert(
    conn: &mut Connection,
    price: &Price,
    currency: &str,
    now: i64,
) -> Result<(), StoreError> {
    sql(
        "INSERT INTO prices (id, component, provider, price, cost, per_units, increment_s, \
           minimum_s, currency, valid_from) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(price.id)
    .bind(price.component.name())
    .bind(&price.provider)
    .bind(price.price)
    .bind(price.cost)
    .bind(price.per_units)
    .bind(price.increment_s)
    .bind(price.minimum_s)
    .bind(currency)
    .bind(now)
    .execute(conn)
    .await
    .map(drop)
}
