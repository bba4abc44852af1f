//! Tools over durable records: `record_create`, `record_find`, `record_update`, `record_delete`
//! and `record_next_free`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{Datelike, NaiveDate};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::llm::records::{Collection, Fields, Record, RecordError, RecordStore};
use crate::llm::{ToolCall, ToolDefinition, ToolRunner};
use crate::provider_error::ProviderError;
use crate::workflow::hours::{OpeningHours, TimeOfDay};

/// The names of the record tools.
pub const RECORD_TOOLS: [&str; 5] = [
    "record_create",
    "record_find",
    "record_update",
    "record_delete",
    "record_next_free",
];

/// Most records one `record_find` gives back.
const FIND_LIMIT: usize = 20;
/// Most records looked at for one day by `record_next_free`.
const DAY_RECORDS_MAX: usize = 500;
/// Farthest `record_next_free` looks ahead, in days.
const DAYS_AHEAD_MAX: u64 = 60;
/// Largest record, as JSON.
const RECORD_BYTES_MAX: usize = 16 * 1024;

/// Runs the record tools. Results carry a `status` (`created`, `conflict`, `found`, `none`,
/// `updated`, `deleted`, `not_found`), so that a workflow can branch on it; only a failing store or
/// wrong arguments are errors.
pub struct RecordTools {
    store: Arc<dyn RecordStore>,
    collections: BTreeMap<String, Collection>,
}

impl std::fmt::Debug for RecordTools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordTools")
            .field("collections", &self.collections)
            .finish_non_exhaustive()
    }
}

impl RecordTools {
    /// Tools over `collections` of `store`; other collections are refused.
    #[must_use]
    pub fn new(store: Arc<dyn RecordStore>, collections: Vec<Collection>) -> Self {
        Self {
            store,
            collections: collections
                .into_iter()
                .map(|collection| (collection.name.clone(), collection))
                .collect(),
        }
    }

    /// The definitions for a language model.
    #[must_use]
    pub fn definitions(&self) -> Vec<ToolDefinition> {
        let names: Vec<&String> = self.collections.keys().collect();
        let collection = json!({"type": "string", "enum": names});
        let object = json!({"type": "object"});
        let id = json!({"type": "string"});
        let definition = |name: &str, description: &str, properties: Value| {
            let required: Vec<&String> = properties
                .as_object()
                .map(|all| all.keys().collect())
                .unwrap_or_default();
            ToolDefinition {
                name: name.to_owned(),
                description: description.to_owned(),
                parameters: json!({
                    "type": "object", "properties": properties, "required": required
                }),
            }
        };
        vec![
            definition(
                "record_create",
                "Store a record. The status is `created`, or `conflict` when it is taken.",
                json!({"collection": collection, "fields": object}),
            ),
            definition(
                "record_find",
                "Find records whose fields equal those of the filter.",
                json!({"collection": collection, "filter": object}),
            ),
            definition(
                "record_update",
                "Change fields of a record. The status is `updated`, `conflict` or `not_found`.",
                json!({"collection": collection, "id": id, "changes": object}),
            ),
            definition(
                "record_delete",
                "Remove a record. The status is `deleted` or `not_found`.",
                json!({"collection": collection, "id": id}),
            ),
        ]
    }

    fn collection(&self, name: &str) -> Result<&Collection, ProviderError> {
        self.collections
            .get(name)
            .ok_or_else(|| ProviderError::Rejected(format!("unknown collection `{name}`")))
    }

    async fn create(&self, arguments: CreateArguments) -> Result<Value, ProviderError> {
        let collection = self.collection(&arguments.collection)?;
        check_size(&arguments.fields)?;
        match self.store.create(collection, arguments.fields).await {
            Ok(record) => Ok(json!({"status": "created", "record": flat(record)})),
            Err(error) => refusal(error),
        }
    }

    async fn find(&self, arguments: FindArguments) -> Result<Value, ProviderError> {
        let collection = self.collection(&arguments.collection)?;
        let limit = arguments.limit.unwrap_or(FIND_LIMIT).clamp(1, FIND_LIMIT);
        let found = match self.store.find(collection, &arguments.filter, limit).await {
            Ok(found) => found,
            Err(error) => return refusal(error),
        };
        let records: Vec<Value> = found.into_iter().map(flat).collect();
        Ok(json!({
            "status": if records.is_empty() { "none" } else { "found" },
            "count": records.len(),
            "record": records.first(),
            "records": records,
        }))
    }

    async fn update(&self, arguments: UpdateArguments) -> Result<Value, ProviderError> {
        let collection = self.collection(&arguments.collection)?;
        check_size(&arguments.changes)?;
        let outcome = self
            .store
            .update(collection, &arguments.id, arguments.changes)
            .await;
        match outcome {
            Ok(record) => Ok(json!({"status": "updated", "record": flat(record)})),
            Err(error) => refusal(error),
        }
    }

    async fn delete(&self, arguments: DeleteArguments) -> Result<Value, ProviderError> {
        let collection = self.collection(&arguments.collection)?;
        match self.store.delete(collection, &arguments.id).await {
            Ok(()) => Ok(json!({"status": "deleted"})),
            Err(error) => refusal(error),
        }
    }

    /// The first time on the grid, at or after the one asked for, that no record holds.
    async fn next_free(&self, arguments: NextFreeArguments) -> Result<Value, ProviderError> {
        let collection = self.collection(&arguments.collection)?;
        let mut earliest = Some(arguments.time);
        let step = arguments.step_minutes.clamp(5, 24 * 60);
        let days = arguments.days_max.unwrap_or(14).min(DAYS_AHEAD_MAX);
        for date in arguments.date.iter_days().take(days as usize + 1) {
            let mut filter = arguments.filter.clone();
            filter.insert("date".into(), json!(date));
            let found = self.store.find(collection, &filter, DAY_RECORDS_MAX).await;
            let records = match found {
                Ok(records) => records,
                Err(error) => return refusal(error),
            };
            let taken: BTreeSet<&str> = records
                .iter()
                .filter_map(|record| record.fields.get("time")?.as_str())
                .collect();
            let after = earliest.take();
            let free = arguments
                .hours
                .slots(date.weekday(), step)
                .find(|slot| Some(*slot) >= after && !taken.contains(slot.to_string().as_str()));
            if let Some(time) = free {
                return Ok(json!({"status": "found", "date": date, "time": time.to_string()}));
            }
        }
        Ok(json!({"status": "none"}))
    }
}

#[async_trait]
impl ToolRunner for RecordTools {
    async fn run(
        &self,
        call: &ToolCall,
        _variables: &BTreeMap<String, String>,
    ) -> Result<Value, ProviderError> {
        match call.name.as_str() {
            "record_create" => self.create(arguments(call)?).await,
            "record_find" => self.find(arguments(call)?).await,
            "record_update" => self.update(arguments(call)?).await,
            "record_delete" => self.delete(arguments(call)?).await,
            "record_next_free" => self.next_free(arguments(call)?).await,
            other => Err(ProviderError::Rejected(format!("unknown tool `{other}`"))),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateArguments {
    collection: String,
    fields: Fields,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FindArguments {
    collection: String,
    filter: Fields,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UpdateArguments {
    collection: String,
    id: String,
    changes: Fields,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeleteArguments {
    collection: String,
    id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NextFreeArguments {
    collection: String,
    /// Fields that make a record count, besides `date` and `time`.
    #[serde(default)]
    filter: Fields,
    date: NaiveDate,
    time: TimeOfDay,
    hours: OpeningHours,
    step_minutes: u16,
    days_max: Option<u64>,
}

fn arguments<T: for<'de> Deserialize<'de>>(call: &ToolCall) -> Result<T, ProviderError> {
    T::deserialize(&call.arguments)
        .map_err(|error| ProviderError::Rejected(format!("arguments of {}: {error}", call.name)))
}

fn check_size(fields: &Fields) -> Result<(), ProviderError> {
    let size = serde_json::to_string(fields).map_or(usize::MAX, |text| text.len());
    if size > RECORD_BYTES_MAX {
        return Err(ProviderError::Rejected(format!(
            "record of {size} bytes is over {RECORD_BYTES_MAX}"
        )));
    }
    Ok(())
}

fn flat(record: Record) -> Value {
    let mut fields = record.fields;
    fields.insert("id".into(), Value::String(record.id));
    Value::Object(fields)
}

fn refusal(error: RecordError) -> Result<Value, ProviderError> {
    match error {
        RecordError::Conflict { key } => Ok(json!({"status": "conflict", "key": key})),
        RecordError::NotFound => Ok(json!({"status": "not_found"})),
        RecordError::Invalid(why) => Err(ProviderError::Rejected(why)),
        RecordError::Storage(why) => Err(ProviderError::Failed(why)),
    }
}
