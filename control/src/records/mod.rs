//! What workflows store: small JSON objects in named collections with unique keys.

use async_trait::async_trait;
use pipeline::llm::records::{Collection, Fields, Record, RecordError, RecordStore};
use serde_json::Value;
use uuid::Uuid;

use crate::clock::now_us;
use crate::store::{Connection, Row, Store, StoreError, Tenant, sql};

/// Records looked through for one `find`; the collections of workflows are small.
const SCAN_MAX: i64 = 10_000;
/// Longest name of a collection.
const NAME_LEN_MAX: usize = 100;

/// Records in the database.
#[derive(Clone, Debug)]
pub struct StoredRecords {
    store: Store,
    /// Before the names of collections: those of one tenant are not another's.
    prefix: String,
}

impl StoredRecords {
    /// Those of agents in the configuration.
    #[must_use]
    pub const fn new(store: Store) -> Self {
        Self {
            store,
            prefix: String::new(),
        }
    }

    /// Those of a tenant's agents.
    #[must_use]
    pub fn of(store: Store, tenant: Tenant) -> Self {
        Self {
            store,
            prefix: format!("{}/", tenant.organisation()),
        }
    }

    /// The collection under the name it has in the store.
    fn own(&self, collection: &Collection) -> Result<Collection, RecordError> {
        check_name(collection)?;
        let mut own = collection.clone();
        own.name.insert_str(0, &self.prefix);
        Ok(own)
    }
}

/// How a write of a record goes wrong inside its savepoint.
enum Refused {
    Record(RecordError),
    Store(StoreError),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

#[async_trait]
impl RecordStore for StoredRecords {
    async fn create(&self, collection: &Collection, fields: Fields) -> Result<Record, RecordError> {
        let collection = self.own(collection)?;
        let id = Uuid::now_v7().to_string();
        let written = self.store.write(move |conn| {
            Box::pin(async move {
                let created = create(conn, &collection, &id, &fields).await;
                undo_on_refusal(created.map(|()| Record { id, fields }))
            })
        });
        flatten(written.await)
    }

    async fn find(
        &self,
        collection: &Collection,
        filter: &Fields,
        limit: usize,
    ) -> Result<Vec<Record>, RecordError> {
        let select = "SELECT id, fields FROM records WHERE collection = $1 ORDER BY id LIMIT $2";
        let query = sql(select).bind(&self.own(collection)?.name).bind(SCAN_MAX);
        let rows = self
            .store
            .fetch_all(query)
            .await
            .map_err(|error| RecordError::Storage(error.to_string()))?;
        let mut found = Vec::new();
        for row in &rows {
            let record = record(row).map_err(|error| RecordError::Storage(error.to_string()))?;
            if filter
                .iter()
                .all(|(name, value)| record.fields.get(name) == Some(value))
            {
                found.push(record);
                if found.len() >= limit {
                    break;
                }
            }
        }
        Ok(found)
    }

    async fn update(
        &self,
        collection: &Collection,
        id: &str,
        changes: Fields,
    ) -> Result<Record, RecordError> {
        let (collection, id) = (self.own(collection)?, id.to_owned());
        let written = self.store.write(move |conn| {
            Box::pin(async move { undo_on_refusal(update(conn, &collection, &id, changes).await) })
        });
        flatten(written.await)
    }

    async fn delete(&self, collection: &Collection, id: &str) -> Result<(), RecordError> {
        let (collection, id) = (self.own(collection)?.name, id.to_owned());
        let written = self.store.write(move |conn| {
            Box::pin(async move {
                sql("DELETE FROM record_keys WHERE record_id = $1 AND collection = $2")
                    .bind(&id)
                    .bind(&collection)
                    .execute(&mut *conn)
                    .await?;
                let deleted = sql("DELETE FROM records WHERE id = $1 AND collection = $2")
                    .bind(&id)
                    .bind(&collection)
                    .execute(conn)
                    .await?;
                Ok(if deleted == 0 {
                    Err(RecordError::NotFound)
                } else {
                    Ok(())
                })
            })
        });
        flatten(written.await)
    }
}

/// Records of a collection with an id above `after`, oldest first.
///
/// # Errors
/// When the store fails.
pub async fn list(
    store: &Store,
    collection: &str,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<Record>, StoreError> {
    let rows = sql(
        "SELECT id, fields FROM records WHERE collection = $1 AND id > $2 ORDER BY id LIMIT $3",
    )
    .bind(collection)
    .bind(after.unwrap_or_default())
    .bind(i64::from(limit))
    .fetch_all(&mut store.read().await?)
    .await?;
    rows.iter().map(record).collect()
}

async fn create(
    conn: &mut Connection,
    collection: &Collection,
    id: &str,
    fields: &Fields,
) -> Result<(), Refused> {
    sql("INSERT INTO records (id, collection, fields, created_at) VALUES ($1, $2, $3, $4)")
        .bind(id)
        .bind(&collection.name)
        .bind(Value::Object(fields.clone()).to_string())
        .bind(now_us())
        .execute(&mut *conn)
        .await?;
    insert_keys(conn, collection, id, fields).await
}

async fn update(
    conn: &mut Connection,
    collection: &Collection,
    id: &str,
    changes: Fields,
) -> Result<Record, Refused> {
    let row = sql("SELECT id, fields FROM records WHERE id = $1 AND collection = $2")
        .bind(id)
        .bind(&collection.name)
        .fetch_optional(&mut *conn)
        .await?;
    let row = row.ok_or(Refused::Record(RecordError::NotFound))?;
    let mut record = record(&row)?;
    for (name, value) in changes {
        if value.is_null() {
            record.fields.remove(&name);
        } else {
            record.fields.insert(name, value);
        }
    }
    sql("UPDATE records SET fields = $2 WHERE id = $1")
        .bind(id)
        .bind(Value::Object(record.fields.clone()).to_string())
        .execute(&mut *conn)
        .await?;
    sql("DELETE FROM record_keys WHERE record_id = $1")
        .bind(id)
        .execute(&mut *conn)
        .await?;
    insert_keys(conn, collection, id, &record.fields).await?;
    Ok(record)
}

async fn insert_keys(
    conn: &mut Connection,
    collection: &Collection,
    id: &str,
    fields: &Fields,
) -> Result<(), Refused> {
    for key in &collection.unique {
        let Some(values) = Collection::key_values(key, fields) else {
            continue;
        };
        let inserted = sql(
            "INSERT INTO record_keys (collection, key_fields, key_values, record_id) \
             VALUES ($1, $2, $3, $4)",
        )
        .bind(&collection.name)
        .bind(serde_json::json!(key).to_string())
        .bind(Value::Array(values).to_string())
        .bind(id)
        .execute(&mut *conn)
        .await;
        match inserted {
            Ok(_) => {}
            Err(error) if error.is_unique_violation() => {
                return Err(Refused::Record(RecordError::Conflict { key: key.clone() }));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// A refused record must undo its savepoint, and an error of the store's is what does that: the
/// refusal travels inside it.
fn undo_on_refusal<T>(outcome: Result<T, Refused>) -> Result<Result<T, RecordError>, StoreError> {
    match outcome {
        Ok(value) => Ok(Ok(value)),
        Err(Refused::Record(error)) => Err(StoreError::Refused(error)),
        Err(Refused::Store(error)) => Err(error),
    }
}

fn flatten<T>(written: Result<Result<T, RecordError>, StoreError>) -> Result<T, RecordError> {
    match written {
        Ok(outcome) => outcome,
        Err(StoreError::Refused(error)) => Err(error),
        Err(error) => Err(RecordError::Storage(error.to_string())),
    }
}

fn check_name(collection: &Collection) -> Result<(), RecordError> {
    if collection.name.is_empty() || collection.name.len() > NAME_LEN_MAX {
        let message = format!("a collection's name has 1 to {NAME_LEN_MAX} bytes");
        return Err(RecordError::Invalid(message));
    }
    Ok(())
}

fn record(row: &Row) -> Result<Record, StoreError> {
    let fields: String = row.get("fields")?;
    Ok(Record {
        id: row.get("id")?,
        fields: serde_json::from_str(&fields).map_err(|_| StoreError::Malformed("record"))?,
    })
}

#[cfg(test)]
mod tests {
    use crate::store::testing::on_both_databases;
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        value.as_object().unwrap().clone()
    }

    fn appointments() -> Collection {
        Collection {
            name: "appointments".to_owned(),
            unique: vec![vec!["date".to_owned(), "time".to_owned()]],
        }
    }

    on_both_databases! {
        async fn of_two_racing_for_one_slot_exactly_one_wins(store) {
            let records = StoredRecords::new(store);
            let collection = appointments();
            let slot = fields(json!({"date": "2030-01-01", "time": "10:00"}));
            let tries = (0..20).map(|_| records.create(&collection, slot.clone()));
            let outcomes = futures_util::future::join_all(tries).await;
            assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1);
            let conflict = RecordError::Conflict {
                key: vec!["date".to_owned(), "time".to_owned()],
            };
            assert_eq!(
                outcomes
                    .iter()
                    .filter(|o| **o == Err(conflict.clone()))
                    .count(),
                19
            );
            let all = list(&records.store, "appointments", None, 50)
                .await
                .unwrap();
            assert_eq!(all.len(), 1);
        }

        async fn a_refused_update_leaves_the_record_as_it_was(store) {
            let records = StoredRecords::new(store);
            let collection = appointments();
            let at = |time: &str| fields(json!({"date": "2030-01-01", "time": time, "name": "A"}));
            let first = records.create(&collection, at("10:00")).await.unwrap();
            let second = records.create(&collection, at("11:00")).await.unwrap();
            let to_ten = fields(json!({"time": "10:00"}));
            let refused = records
                .update(&collection, &second.id, to_ten.clone())
                .await;
            assert!(matches!(refused, Err(RecordError::Conflict { .. })));
            let found = records
                .find(&collection, &fields(json!({"time": "11:00"})), 5)
                .await
                .unwrap();
            assert_eq!(found, std::slice::from_ref(&second));
            records.delete(&collection, &first.id).await.unwrap();
            let moved = records
                .update(&collection, &second.id, to_ten)
                .await
                .unwrap();
            assert_eq!(moved.fields["time"], "10:00");
            let unnamed = fields(json!({"name": null}));
            let unnamed = records
                .update(&collection, &second.id, unnamed)
                .await
                .unwrap();
            assert!(!unnamed.fields.contains_key("name"));
            let gone = records.delete(&collection, &first.id).await;
            assert_eq!(gone, Err(RecordError::NotFound));
            let gone = records.update(&collection, "x", Fields::new()).await;
            assert_eq!(gone, Err(RecordError::NotFound));
        }

        async fn a_key_with_a_missing_field_binds_nothing(store) {
            let records = StoredRecords::new(store);
            let open = fields(json!({"date": "2030-01-01"}));
            for _ in 0..2 {
                records.create(&appointments(), open.clone()).await.unwrap();
            }
            let found = records.find(&appointments(), &open, 1).await.unwrap();
            assert_eq!(found.len(), 1);
            let other = Collection {
                name: "other".to_owned(),
                unique: Vec::new(),
            };
            assert!(
                records
                    .find(&other, &Fields::new(), 5)
                    .await
                    .unwrap()
                    .is_empty()
            );
        }
    }
}
