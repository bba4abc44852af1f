//! `samvad ledger`: checks the books, and credits a wallet from where the data is.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Subcommand;

use crate::billing::book::By;
use crate::billing::{audit, journal, money, wallets};
use crate::clock::now_us;
use crate::config::Config;
use crate::identity::accounts::uuid;
use crate::store::{Store, sql};

/// The subcommands of `samvad ledger`.
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Check every entry, balance, grant, hold and bill; exit code 1 when something is wrong
    Verify {
        /// Print the report as JSON
        #[arg(long)]
        json: bool,
    },
    /// Make credit for an organisation
    Grant {
        /// The organisation's slug; `installation` for agents of the configuration
        #[arg(long)]
        organisation: String,
        /// Amount in the configured currency, like 12.50
        #[arg(long)]
        amount: String,
        /// A remark for the ledger
        #[arg(long)]
        note: Option<String>,
    },
}

/// Runs the subcommand on the configured database; the server may be running.
///
/// # Errors
/// When the values are wrong or the database cannot be used.
pub fn run(command: LedgerCommand, config: &Config) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        if config.database.url.is_none() && !config.data_dir.exists() {
            bail!("{}: there is no data", config.data_dir.display());
        }
        let store = Store::of(config).await?;
        match command {
            LedgerCommand::Verify { json } => verify(&store, json).await,
            LedgerCommand::Grant {
                organisation,
                amount,
                note,
            } => grant(&store, config, &organisation, &amount, note).await,
        }
    })
}

#[expect(clippy::print_stdout, reason = "the command line talks to its user")]
async fn verify(store: &Store, json: bool) -> anyhow::Result<ExitCode> {
    let report = audit::verify(store, now_us()).await?;
    let (wallets, entries, postings) = report.counts;
    if json {
        let findings: Vec<_> = report
            .findings
            .iter()
            .map(|f| serde_json::json!({ "invariant": f.invariant.to_string(), "what": f.what }))
            .collect();
        let body = serde_json::json!({
            "wallets": wallets,
            "entries": entries,
            "postings": postings,
            "anchor": report.anchor,
            "findings": findings,
        });
        println!("{body}");
    } else {
        println!("{wallets} wallets, {entries} entries, {postings} postings");
        println!("anchor {}", report.anchor);
        for finding in &report.findings {
            println!("{finding}");
        }
        match report.findings.len() {
            0 => println!("all twelve invariants hold"),
            count => println!("{count} findings"),
        }
    }
    Ok(if report.findings.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[expect(clippy::print_stdout, reason = "the command line talks to its user")]
async fn grant(
    store: &Store,
    config: &Config,
    organisation: &str,
    amount: &str,
    note: Option<String>,
) -> anyhow::Result<ExitCode> {
    let micros = money::parse(amount)
        .with_context(|| format!("{amount}: an amount is a decimal like 12.50"))?;
    let row = sql("SELECT id FROM organisations WHERE slug = $1").bind(organisation);
    let row = store.fetch_optional(row).await?;
    let row = row.with_context(|| format!("there is no organisation `{organisation}`"))?;
    let org = uuid(&row, "id")?;
    let section = config.billing.clone();
    let granted = store.write(move |conn| {
        Box::pin(async move {
            let now = now_us();
            let wallet = wallets::of_organisation(conn, org, &section, now).await?;
            let Some(mut book) = journal::open_book(conn, wallet, None).await? else {
                return Err(crate::store::StoreError::Malformed("wallet"));
            };
            let terms = wallets::terms(None, note.clone());
            let by = By {
                actor: "command line".to_owned(),
                reason: note,
                ..By::engine(format!("grant:{}", terms.id))
            };
            if let Err(refusal) = book.grant(now, micros, terms, by) {
                return Ok(Err(refusal));
            }
            journal::keep(conn, &book).await?;
            Ok(Ok(book.wallet))
        })
    });
    let wallet = granted.await?.with_context(|| amount.to_owned())?;
    println!(
        "{organisation} has {} {} (wallet {})",
        money::decimal(wallet.available()),
        wallet.currency,
        wallet.id
    );
    Ok(ExitCode::SUCCESS)
}
