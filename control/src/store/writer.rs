//! The one task that writes: it takes what waits, gives each job a savepoint, and commits once.

use std::panic::AssertUnwindSafe;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use super::StoreError;
use super::connection::Connection;
use super::query::sql;

/// Most jobs in one commit.
pub(crate) const GROUP_MAX: usize = 256;

/// A write that waits.
#[async_trait]
pub(crate) trait Job: Send {
    /// Does the work; `false` when it failed and must be undone.
    async fn run(&mut self, connection: &mut Connection) -> bool;
    /// Tells the sender: its own result, or why the group failed.
    fn answer(self: Box<Self>, commit: Result<(), String>);
}

pub(crate) struct TypedJob<T, F> {
    work: Option<F>,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> TypedJob<T, F> {
    pub(crate) fn new(work: F, reply: oneshot::Sender<Result<T, StoreError>>) -> Self {
        Self {
            work: Some(work),
            result: None,
            reply,
        }
    }
}

#[async_trait]
impl<T, F> Job for TypedJob<T, F>
where
    T: Send,
    F: for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, StoreError>> + Send,
{
    async fn run(&mut self, connection: &mut Connection) -> bool {
        let Some(work) = self.work.take() else {
            return false;
        };
        // A panic in one job must not end the writer for all calls.
        let result = AssertUnwindSafe(work(connection)).catch_unwind().await;
        let result = result.unwrap_or(Err(StoreError::Commit("the write panicked".to_owned())));
        let fine = result.is_ok();
        self.result = Some(result);
        fine
    }

    fn answer(self: Box<Self>, commit: Result<(), String>) {
        let result = match (self.result, commit) {
            (Some(Err(error)), _) => Err(error),
            (_, Err(message)) => Err(StoreError::Commit(message)),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(StoreError::Closed),
        };
        // The sender may have gone away; the write stands nevertheless.
        let _ = self.reply.send(result);
    }
}

pub(crate) async fn run(mut connection: Connection, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
    let mut group = Vec::with_capacity(GROUP_MAX);
    while jobs.recv_many(&mut group, GROUP_MAX).await > 0 {
        let commit = commit_group(&mut connection, &mut group)
            .await
            .map_err(|error| error.to_string());
        if let Err(error) = &commit {
            tracing::error!(%error, jobs = group.len(), "group was not committed");
            let _ = execute(&mut connection, "ROLLBACK").await;
        }
        metrics::histogram!("samvad_store_group_size").record(group.len() as f64);
        for job in group.drain(..) {
            job.answer(commit.clone());
        }
    }
}

async fn commit_group(
    connection: &mut Connection,
    group: &mut [Box<dyn Job>],
) -> Result<(), StoreError> {
    // Taking the write lock at once avoids the failure of a late upgrade.
    execute(connection, "BEGIN IMMEDIATE").await?;
    for job in group.iter_mut() {
        execute(connection, "SAVEPOINT job").await?;
        if !job.run(connection).await {
            execute(connection, "ROLLBACK TO job").await?;
        }
        execute(connection, "RELEASE job").await?;
    }
    execute(connection, "COMMIT").await
}

async fn execute(connection: &mut Connection, statement: &'static str) -> Result<(), StoreError> {
    sql(statement).execute(connection).await.map(drop)
}

/// One job in a transaction of its own: PostgreSQL groups the commits of its connections itself.
pub(crate) async fn run_alone<T>(
    mut connection: Connection,
    job: impl for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, StoreError>>,
) -> Result<T, StoreError> {
    execute(&mut connection, "BEGIN").await?;
    let done = AssertUnwindSafe(job(&mut connection)).catch_unwind().await;
    match done.unwrap_or(Err(StoreError::Commit("the write panicked".to_owned()))) {
        Ok(value) => {
            let committed = execute(&mut connection, "COMMIT").await;
            committed.map_err(|error| StoreError::Commit(error.to_string()))?;
            Ok(value)
        }
        Err(error) => {
            execute(&mut connection, "ROLLBACK").await?;
            Err(error)
        }
    }
}
