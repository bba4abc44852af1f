//! Recipients out of a CSV that arrives in pieces: read, judged and written while it arrives, so
//! that memory does not grow with the list.

use std::collections::{BTreeMap, HashSet};

use axum::body::Bytes;
use futures_util::{Stream, StreamExt as _};
use serde::Serialize;
use uuid::Uuid;

use super::campaign::{self, Campaign};
use super::csv::{CsvReader, CsvRow};
use super::recipients::{NewRecipient, insert_many, phone_of};
use crate::api::failure::Failure;
use crate::clock::now_us;
use crate::store::{Store, StoreError, Tenant, sql};

/// Recipients written in one transaction.
const CHUNK: usize = 2000;
/// Errors told one by one; the rest is only counted.
const ERRORS_MAX: usize = 1000;
/// Rows shown by a preview.
const PREVIEW_ROWS: usize = 20;
/// Largest list.
pub const UPLOAD_BYTES_MAX: usize = 256 * 1024 * 1024;
/// An import that has not moved for so long died with its server.
pub const STALE_US: i64 = 60_000_000;
/// Columns that name the zone of a recipient instead of a variable.
const ZONE_COLUMNS: [&str; 2] = ["time_zone", "timezone"];

/// How a list is read.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// Name of the column with the number.
    pub phone_column: &'static str,
    /// Calling code of numbers without one, like `91`.
    pub default_code: Option<String>,
    /// Only say what would come of it.
    pub preview: bool,
    /// One bad row and nothing is kept.
    pub strict: bool,
}

/// A row that was not taken.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RowError {
    /// Row of the file, the header being 1.
    pub row: u64,
    /// Why.
    pub error: String,
}

/// What came of an import.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct ImportReport {
    /// Id of the import; none of a preview.
    pub id: Option<Uuid>,
    /// Recipients added.
    pub inserted: u64,
    /// Rows not taken.
    pub failed: u64,
    /// Rows not taken, the first thousand.
    pub errors: Vec<RowError>,
    /// Declared variables that the list has no column for.
    pub missing_variables: Vec<String>,
    /// The first rows as they were understood, of a preview.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub preview: Vec<BTreeMap<String, String>>,
}

/// What the header line says.
struct Columns {
    phone: usize,
    zone: Option<usize>,
    /// Place and name of every variable.
    variables: Vec<(usize, String)>,
    count: usize,
}

impl Columns {
    fn of(header: &CsvRow, options: &ImportOptions, declared: &[String]) -> Result<Self, Failure> {
        let names: Vec<String> = header
            .cells
            .iter()
            .map(|cell| cell.trim().to_owned())
            .collect();
        let mut seen = HashSet::new();
        for name in names.iter().filter(|name| !name.is_empty()) {
            if !seen.insert(name.to_lowercase()) {
                let message = format!("the column `{name}` is there twice");
                return Err(Failure::bad_request("duplicate_column", message));
            }
        }
        let place = |wanted: &str| {
            names
                .iter()
                .position(|name| name.eq_ignore_ascii_case(wanted))
        };
        let phone = place(options.phone_column).ok_or_else(|| {
            let message = format!(
                "there is no column `{}`; the first line must name the columns",
                options.phone_column
            );
            Failure::bad_request("missing_column", message)
        })?;
        let zone = ZONE_COLUMNS.iter().find_map(|name| place(name));
        let variables = if declared.is_empty() {
            let others = names.iter().enumerate();
            others
                .filter(|(at, name)| *at != phone && Some(*at) != zone && !name.is_empty())
                .map(|(at, name)| (at, name.clone()))
                .collect()
        } else {
            let found = declared.iter();
            found
                .filter_map(|name| Some((place(name)?, name.clone())))
                .collect()
        };
        Ok(Self {
            phone,
            zone,
            variables,
            count: names.len(),
        })
    }

    fn read(&self, row: &CsvRow, options: &ImportOptions) -> Result<NewRecipient, String> {
        if row.cells[self.count.min(row.cells.len())..]
            .iter()
            .any(|cell| !cell.trim().is_empty())
        {
            return Err(format!(
                "the row has {} cells, the first line {}",
                row.cells.len(),
                self.count
            ));
        }
        let cell = |at: usize| row.cells.get(at).map_or("", |cell| cell.trim());
        let phone = phone_of(cell(self.phone), options.default_code.as_deref())?;
        let zone = self.zone.map(cell).filter(|zone| !zone.is_empty());
        if let Some(zone) = zone
            && zone.parse::<chrono_tz::Tz>().is_err()
        {
            return Err(format!(
                "`{zone}` is no time zone; write one like Asia/Kolkata"
            ));
        }
        let variables = self.variables.iter();
        Ok(NewRecipient {
            phone,
            zone: zone.map(str::to_owned),
            variables: variables
                .map(|(at, name)| (name.clone(), cell(*at).to_owned()))
                .collect(),
        })
    }
}

/// Reads a list out of `body` (bytes as they arrive) into a campaign of the tenant.
///
/// # Errors
/// 404; 409 while the campaign runs or another list is read into it; 400 for what is no list; 413.
pub async fn import<E: Send>(
    store: &Store,
    tenant: Tenant,
    campaign: &Campaign,
    body: impl Stream<Item = Result<Bytes, E>> + Send + Unpin,
    options: ImportOptions,
) -> Result<ImportReport, Failure> {
    let id = (!options.preview).then(Uuid::now_v7);
    if let Some(id) = id {
        begin(store, tenant, campaign.id, id).await?;
    }
    let mut importer = Importer {
        store,
        campaign,
        options,
        columns: None,
        waiting: Vec::new(),
        seen: HashSet::new(),
        report: ImportReport {
            id,
            ..ImportReport::default()
        },
        range: None,
    };
    let read = importer.read(body).await;
    let refused = match read {
        Ok(()) if importer.options.strict && importer.report.failed > 0 => true,
        Ok(()) => false,
        Err(failure) => {
            // A list that broke off is not half a list.
            importer.undo().await?;
            importer.end("failed").await?;
            return Err(failure);
        }
    };
    if refused {
        importer.undo().await?;
        importer.report.inserted = 0;
    }
    importer
        .end(if refused { "failed" } else { "done" })
        .await?;
    Ok(importer.report)
}

async fn begin(store: &Store, tenant: Tenant, campaign: Uuid, id: Uuid) -> Result<(), StoreError> {
    let begun = store.write(move |conn| {
        Box::pin(async move {
            let found = campaign::lock(conn, tenant, campaign).await?;
            campaign::check_editable(&found)?;
            let now = now_us();
            let other = sql(
                "SELECT id FROM recipient_imports WHERE campaign_id = $1 AND status = 'running' \
                 AND updated_at > $2 LIMIT 1",
            )
            .bind(campaign)
            .bind(now - STALE_US)
            .fetch_optional(conn)
            .await?;
            if other.is_some() {
                let message = "another list is being read into this batch; wait for its end";
                return Err(StoreError::Declined(Box::new(Failure::conflict(message))));
            }
            sql(
                "INSERT INTO recipient_imports (id, campaign_id, status, created_at, updated_at) \
                 VALUES ($1, $2, 'running', $3, $3)",
            )
            .bind(id)
            .bind(campaign)
            .bind(now)
            .execute(conn)
            .await
            .map(drop)
        })
    });
    begun.await
}

struct Importer<'a> {
    store: &'a Store,
    campaign: &'a Campaign,
    options: ImportOptions,
    columns: Option<Columns>,
    /// Rows that wait to be written, with their numbers.
    waiting: Vec<(u64, NewRecipient)>,
    /// Numbers of a preview.
    seen: HashSet<String>,
    report: ImportReport,
    /// First and last id written: ids of one process only grow.
    range: Option<(Uuid, Uuid)>,
}

impl Importer<'_> {
    async fn read<E: Send>(
        &mut self,
        mut chunks: impl Stream<Item = Result<Bytes, E>> + Send + Unpin,
    ) -> Result<(), Failure> {
        let mut reader = CsvReader::default();
        let mut rows = Vec::new();
        let mut length = 0;
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| Failure::bad_request("body", "the body broke off"))?;
            length += chunk.len();
            if length > UPLOAD_BYTES_MAX {
                let message = format!("the list must have at most {UPLOAD_BYTES_MAX} bytes");
                return Err(Failure::new(
                    axum::http::StatusCode::PAYLOAD_TOO_LARGE,
                    "too_large",
                    message,
                ));
            }
            let read = reader.push(&chunk, &mut rows);
            read.map_err(|error| Failure::bad_request("csv", error.to_string()))?;
            self.take(&mut rows).await?;
        }
        let read = reader.finish(&mut rows);
        read.map_err(|error| Failure::bad_request("csv", error.to_string()))?;
        self.take(&mut rows).await?;
        self.flush().await?;
        if self.columns.is_none() {
            return Err(Failure::bad_request("empty", "the list is empty"));
        }
        Ok(())
    }

    async fn take(&mut self, rows: &mut Vec<CsvRow>) -> Result<(), Failure> {
        for row in rows.drain(..) {
            let Some(columns) = &self.columns else {
                let declared = &self.campaign.variable_names;
                let columns = Columns::of(&row, &self.options, declared)?;
                let missing = declared.iter();
                self.report.missing_variables = missing
                    .filter(|name| !columns.variables.iter().any(|(_, known)| known == *name))
                    .cloned()
                    .collect();
                self.columns = Some(columns);
                continue;
            };
            match columns.read(&row, &self.options) {
                Ok(recipient) => self.waiting.push((row.number, recipient)),
                Err(error) => self.refuse(row.number, error),
            }
            if self.waiting.len() >= CHUNK {
                self.flush().await?;
            }
        }
        Ok(())
    }

    fn refuse(&mut self, row: u64, error: impl Into<String>) {
        self.report.failed += 1;
        if self.report.errors.len() < ERRORS_MAX {
            let error = error.into();
            self.report.errors.push(RowError { row, error });
        }
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        const DUPLICATE: &str = "this number is in the batch already";
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() {
            return Ok(());
        }
        let Some(import) = self.report.id else {
            for (row, recipient) in waiting {
                if !self.seen.insert(recipient.phone.clone()) {
                    self.refuse(row, DUPLICATE);
                    continue;
                }
                self.report.inserted += 1;
                if self.report.preview.len() < PREVIEW_ROWS {
                    let mut shown: BTreeMap<String, String> = recipient.variables;
                    shown.insert(self.options.phone_column.to_owned(), recipient.phone);
                    self.report.preview.push(shown);
                }
            }
            return Ok(());
        };
        let (numbers, recipients): (Vec<u64>, Vec<NewRecipient>) = waiting.into_iter().unzip();
        let campaign = self.campaign.id;
        let written = self.store.write(move |conn| {
            Box::pin(async move {
                sql("UPDATE recipient_imports SET updated_at = $2 WHERE id = $1")
                    .bind(import)
                    .bind(now_us())
                    .execute(conn)
                    .await?;
                insert_many(conn, campaign, recipients).await
            })
        });
        let written = written.await?;
        if let (Some((first, _)), Some((last, _))) = (written.first(), written.last()) {
            let (from, _) = self.range.unwrap_or((*first, *last));
            self.range = Some((from, *last));
        }
        for (row, (_, inserted)) in numbers.into_iter().zip(written) {
            if inserted {
                self.report.inserted += 1;
            } else {
                self.refuse(row, DUPLICATE);
            }
        }
        Ok(())
    }

    /// Takes out again what was written.
    async fn undo(&self) -> Result<(), Failure> {
        let Some((first, last)) = self.range else {
            return Ok(());
        };
        let query = sql(
            "DELETE FROM recipients WHERE campaign_id = $1 AND id >= $2 AND id <= $3 \
             AND state = 'pending'",
        );
        let query = query.bind(self.campaign.id).bind(first).bind(last);
        self.store.execute(query).await?;
        Ok(())
    }

    async fn end(&self, status: &'static str) -> Result<(), Failure> {
        let Some(id) = self.report.id else {
            return Ok(());
        };
        let errors = serde_json::to_string(&self.report.errors).unwrap_or_else(|_| "[]".to_owned());
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let query = sql(
            "UPDATE recipient_imports SET status = $2, accepted = $3, rejected = $4, errors = $5, \
               updated_at = $6 WHERE id = $1",
        );
        let query = query
            .bind(id)
            .bind(status)
            .bind(number(self.report.inserted))
            .bind(number(self.report.failed))
            .bind(errors)
            .bind(now_us());
        self.store.execute(query).await?;
        Ok(())
    }
}
