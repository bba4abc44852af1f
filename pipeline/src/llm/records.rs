//! Durable records that tools keep: small JSON objects in named collections with unique keys.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The fields of a record.
pub type Fields = Map<String, Value>;

/// A named set of records and the field combinations that may occur only once in it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Collection {
    /// Name, unique within the tenant.
    pub name: String,
    /// Each entry is a list of fields whose values together are unique. A record that lacks one
    /// of the fields (or holds null there) is not bound by that key.
    #[serde(default)]
    pub unique: Vec<Vec<String>>,
}

impl Collection {
    /// The values `fields` has for the unique key `key`, if the key binds it.
    #[must_use]
    pub fn key_values(key: &[String], fields: &Fields) -> Option<Vec<Value>> {
        key.iter()
            .map(|name| fields.get(name).filter(|value| !value.is_null()).cloned())
            .collect()
    }
}

/// A stored record.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Given by the store; opaque.
    pub id: String,
    /// Contents.
    pub fields: Fields,
}

/// How a record operation fails.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Another record already holds the same values of a unique key.
    #[error("another record has the same {}", key.join(", "))]
    Conflict {
        /// The fields of the key.
        key: Vec<String>,
    },
    /// No record has this id.
    #[error("no such record")]
    NotFound,
    /// The record is larger or stranger than the store accepts.
    #[error("record refused: {0}")]
    Invalid(String),
    /// The store itself failed; nothing was changed.
    #[error("record store failed: {0}")]
    Storage(String),
}

/// Where records live. Each operation is atomic: it happens wholly or not at all, and two calls
/// racing for one unique key see exactly one success.
#[async_trait]
pub trait RecordStore: Send + Sync {
    /// Adds a record.
    ///
    /// # Errors
    /// [`RecordError::Conflict`] when a unique key is taken.
    async fn create(&self, collection: &Collection, fields: Fields) -> Result<Record, RecordError>;

    /// The records whose fields equal all those of `filter`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`RecordError::Storage`].
    async fn find(
        &self,
        collection: &Collection,
        filter: &Fields,
        limit: usize,
    ) -> Result<Vec<Record>, RecordError>;

    /// Sets the fields of `changes` (null removes one) and returns the whole record.
    ///
    /// # Errors
    /// [`RecordError::NotFound`], or [`RecordError::Conflict`] and the record is as before.
    async fn update(
        &self,
        collection: &Collection,
        id: &str,
        changes: Fields,
    ) -> Result<Record, RecordError>;

    /// Removes a record.
    ///
    /// # Errors
    /// [`RecordError::NotFound`].
    async fn delete(&self, collection: &Collection, id: &str) -> Result<(), RecordError>;
}

/// Records in memory, for tests and trials; gone with the process.
#[derive(Debug, Default)]
pub struct MemoryRecordStore {
    state: Mutex<MemoryState>,
}

#[derive(Debug, Default)]
struct MemoryState {
    next_id: u64,
    collections: BTreeMap<String, BTreeMap<u64, Fields>>,
}

impl MemoryState {
    fn conflict(
        &self,
        collection: &Collection,
        fields: &Fields,
        own: Option<u64>,
    ) -> Option<RecordError> {
        let records = self.collections.get(&collection.name)?;
        collection.unique.iter().find_map(|key| {
            let wanted = Collection::key_values(key, fields)?;
            records
                .iter()
                .any(|(id, other)| {
                    Some(*id) != own && Collection::key_values(key, other).as_ref() == Some(&wanted)
                })
                .then(|| RecordError::Conflict { key: key.clone() })
        })
    }
}

#[async_trait]
impl RecordStore for MemoryRecordStore {
    async fn create(&self, collection: &Collection, fields: Fields) -> Result<Record, RecordError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(conflict) = state.conflict(collection, &fields, None) {
            return Err(conflict);
        }
        state.next_id += 1;
        let id = state.next_id;
        state
            .collections
            .entry(collection.name.clone())
            .or_default()
            .insert(id, fields.clone());
        Ok(Record {
            id: id.to_string(),
            fields,
        })
    }

    async fn find(
        &self,
        collection: &Collection,
        filter: &Fields,
        limit: usize,
    ) -> Result<Vec<Record>, RecordError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(records) = state.collections.get(&collection.name) else {
            return Ok(Vec::new());
        };
        Ok(records
            .iter()
            .filter(|(_, fields)| {
                filter
                    .iter()
                    .all(|(name, value)| fields.get(name) == Some(value))
            })
            .take(limit)
            .map(|(id, fields)| Record {
                id: id.to_string(),
                fields: fields.clone(),
            })
            .collect())
    }

    async fn update(
        &self,
        collection: &Collection,
        id: &str,
        changes: Fields,
    ) -> Result<Record, RecordError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let number: u64 = id.parse().map_err(|_| RecordError::NotFound)?;
        let mut fields = state
            .collections
            .get(&collection.name)
            .and_then(|records| records.get(&number))
            .cloned()
            .ok_or(RecordError::NotFound)?;
        for (name, value) in changes {
            if value.is_null() {
                fields.remove(&name);
            } else {
                fields.insert(name, value);
            }
        }
        if let Some(conflict) = state.conflict(collection, &fields, Some(number)) {
            return Err(conflict);
        }
        if let Some(records) = state.collections.get_mut(&collection.name) {
            records.insert(number, fields.clone());
        }
        Ok(Record {
            id: id.to_owned(),
            fields,
        })
    }

    async fn delete(&self, collection: &Collection, id: &str) -> Result<(), RecordError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let number: u64 = id.parse().map_err(|_| RecordError::NotFound)?;
        state
            .collections
            .get_mut(&collection.name)
            .and_then(|records| records.remove(&number))
            .map(drop)
            .ok_or(RecordError::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn appointments() -> Collection {
        Collection {
            name: "appointments".into(),
            unique: vec![vec!["doctor".into(), "date".into()]],
        }
    }

    fn fields(value: Value) -> Fields {
        value.as_object().cloned().unwrap_or_default()
    }

    #[tokio::test]
    async fn a_unique_key_is_taken_once_and_freed_by_delete() {
        let store = MemoryRecordStore::default();
        let all = appointments();
        let first = store
            .create(&all, fields(json!({"doctor": "a", "date": "2026-01-05"})))
            .await
            .unwrap();
        let taken = store
            .create(
                &all,
                fields(json!({"doctor": "a", "date": "2026-01-05", "x": 1})),
            )
            .await;
        assert_eq!(
            taken,
            Err(RecordError::Conflict {
                key: vec!["doctor".into(), "date".into()]
            })
        );
        store.delete(&all, &first.id).await.unwrap();
        assert_eq!(
            store.delete(&all, &first.id).await,
            Err(RecordError::NotFound)
        );
        store
            .create(&all, fields(json!({"doctor": "a", "date": "2026-01-05"})))
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_refused_update_leaves_the_record_as_it_was() {
        let store = MemoryRecordStore::default();
        let all = appointments();
        for date in ["2026-01-05", "2026-01-06"] {
            store
                .create(&all, fields(json!({"doctor": "a", "date": date})))
                .await
                .unwrap();
        }
        let second = store
            .find(&all, &fields(json!({"date": "2026-01-06"})), 5)
            .await
            .unwrap()
            .remove(0);
        let refused = store
            .update(&all, &second.id, fields(json!({"date": "2026-01-05"})))
            .await;
        assert!(matches!(refused, Err(RecordError::Conflict { .. })));
        let again = store
            .update(&all, &second.id, fields(json!({"note": "x"})))
            .await
            .unwrap();
        assert_eq!(again.fields.get("date"), Some(&json!("2026-01-06")));
    }

    #[tokio::test]
    async fn records_without_a_key_field_do_not_conflict() {
        let store = MemoryRecordStore::default();
        for _ in 0..2 {
            store
                .create(&appointments(), fields(json!({"doctor": "a"})))
                .await
                .unwrap();
        }
    }
}
