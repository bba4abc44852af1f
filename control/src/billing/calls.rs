//! Calls and money: what a call is begun with, kept going with and ended with.
//!
//! The database is asked when a call begins, and while it runs by a task beside it. The call itself
//! only knows until when it is paid; when the database is away, it ends then.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use pipeline::call::CallOrder;
use pipeline::usage_meter::UsageMeter;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::book;
use super::funding::{Reckoner, SECONDS_MAX};
use super::journal;
use super::rating::Tariff;
use super::settlement::{self, CallTerms, CallUsage, Parties, Payer, Settlement, usage_lines};
use super::spool;
use super::wallet::Owner;
use crate::agents::Agent;
use crate::calls::admission::Refusal;
use crate::calls::id::CallId;
use crate::clock::now_us;
use crate::config::{BillingSection, Config};
use crate::identity::accounts::optional_uuid;
use crate::store::{Connection, Store, StoreError, sql};

/// Heartbeats that may be missed before a call counts as gone.
const LEASE_BEATS: u32 = 4;

/// Charges calls. Cloneable.
#[derive(Clone, Debug)]
pub struct CallBilling {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    section: BillingSection,
    tariff: Tariff,
    spool: PathBuf,
}

/// What the call is told of its money.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MoneyNotice {
    /// No more could be set aside: the call will end after so many seconds.
    Low {
        /// Funded seconds that are left.
        seconds_left: u64,
    },
}

impl CallBilling {
    /// Billing with these prices in force. Usage that cannot be stored waits in `data_dir`.
    #[must_use]
    pub fn new(config: &Config, store: Store, tariff: Tariff) -> Self {
        Self {
            shared: Arc::new(Shared {
                store,
                section: config.billing.clone(),
                tariff,
                spool: spool::dir(&config.data_dir),
            }),
        }
    }

    /// Begins the account of a call: chooses who pays and sets money aside for the first minutes.
    /// `user` is who placed it, where somebody did; else the agent's owner counts.
    ///
    /// # Errors
    /// [`Refusal::NoCredit`] when the payer cannot pay the first increment,
    /// [`Refusal::BillingUnavailable`] when the database cannot be asked.
    pub async fn begin(
        &self,
        call: CallId,
        agent: &Agent,
        carrier: &str,
        user: Option<Uuid>,
    ) -> Result<CallAccount, Refusal> {
        let begun = self.try_begin(call, agent, carrier, user).await;
        let begun = begun.map_err(|error| {
            tracing::error!(%error, "call cannot be charged");
            Refusal::BillingUnavailable
        })?;
        begun.map_err(|refusal| {
            tracing::info!(call_id = %call, agent = %agent.id, reason = %refusal, "no credit for a call");
            Refusal::NoCredit
        })
    }

    async fn try_begin(
        &self,
        call: CallId,
        agent: &Agent,
        carrier: &str,
        user: Option<Uuid>,
    ) -> Result<Result<CallAccount, book::Refusal>, StoreError> {
        let section = &self.shared.section;
        let reckoner = Reckoner {
            terms: CallTerms {
                call: call.uuid(),
                org: agent.organisation,
                owner: user,
                agent: agent.id.clone(),
                call_type: if carrier.starts_with("web") {
                    "web"
                } else {
                    "phone"
                }
                .to_owned(),
                tariff: self.shared.tariff.clone(),
                currency: section.currency.clone(),
                markup_bps: 0,
                commission_bps: 0,
                payer: None,
            },
            parties: Parties {
                carrier: carrier.to_owned(),
                stt: agent.stt.name().to_owned(),
                llm: agent.llm.name().to_owned(),
                tts: agent.tts.name().to_owned(),
            },
            reserve: section.reserve.clone(),
        };
        let begun = if section.enabled {
            let (section, now) = (section.clone(), now_us());
            let placed = self.shared.store.write(move |conn| {
                Box::pin(async move { place(conn, reckoner, &section, now).await })
            });
            placed.await?
        } else {
            let mut reckoner = reckoner;
            // Usage is counted even if it cannot be said whose agent it was.
            let mut conn = self.shared.store.read().await?;
            read_terms(&mut conn, &mut reckoner.terms).await?;
            Ok((reckoner, 0, SECONDS_MAX))
        };
        Ok(begun.map(|(reckoner, held, seconds)| CallAccount {
            billing: self.clone(),
            reckoner: Arc::new(reckoner),
            held,
            funded_s: Arc::new(AtomicI64::new(seconds)),
            meter: Arc::default(),
            answered: OnceLock::new(),
            ended: OnceLock::new(),
            is_settled: false,
        }))
    }

    /// Settles a call; when the database does not take it, it is kept on disk for later.
    async fn settle(&self, usage: CallUsage) {
        let call = usage.terms.call;
        let now = now_us();
        let kept = usage.clone();
        let settled = self.shared.store.write(move |conn| {
            Box::pin(async move { settlement::settle(conn, &usage, now).await })
        });
        match settled.await {
            Ok(settlement) => report(call, &settlement),
            Err(error) => {
                tracing::error!(call_id = %call, %error, "call was not settled, its usage is kept for later");
                if let Err(error) = spool::keep(&self.shared.spool, &kept).await {
                    tracing::error!(call_id = %call, %error, "usage of the call is lost");
                    metrics::counter!("samvad_billing_lost_total").increment(1);
                }
            }
        }
    }

    /// Where usage waits that could not be stored.
    #[must_use]
    pub fn spool(&self) -> &Path {
        &self.shared.spool
    }

    /// The settings.
    #[must_use]
    pub fn section(&self) -> &BillingSection {
        &self.shared.section
    }
}

/// Says what came of settling a call.
pub(super) fn report(call: Uuid, settlement: &Settlement) {
    let payment = settlement.payment;
    if settlement.is_first && payment.written_off > 0 {
        metrics::counter!("samvad_billing_written_off_micros_total")
            .increment(payment.written_off.unsigned_abs());
        tracing::warn!(call_id = %call, micros = payment.written_off, "part of a call was not paid");
    }
}

/// Chooses the payer and places the hold.
async fn place(
    conn: &mut Connection,
    mut reckoner: Reckoner,
    section: &BillingSection,
    now: i64,
) -> Result<Result<(Reckoner, i64, i64), book::Refusal>, StoreError> {
    read_terms(conn, &mut reckoner.terms).await?;
    let wallet = paying_wallet(conn, &reckoner.terms, section, now).await?;
    let opened = journal::open_book(conn, wallet, None).await?;
    let mut book = opened.ok_or(StoreError::Malformed("wallet"))?;
    // What an organisation pays itself has nobody's part on top.
    if matches!(book.wallet.owner, Owner::Organisation(_)) {
        reckoner.terms.markup_bps = 0;
    }
    let hold = Uuid::now_v7();
    reckoner.terms.payer = Some(Payer { wallet, hold });
    let used = pipeline::usage_meter::MeteredUsage::default();
    let least_s = reckoner.first_increment_s();
    let window = i64::try_from(section.window.as_secs()).unwrap_or(i64::MAX);
    let least = reckoner.cost_of(least_s, 0, used);
    let wanted = reckoner.cost_of(window.max(least_s), 0, used);
    let lease = now + lease_us(section);
    let call = reckoner.terms.call;
    let held = match book.hold(now, hold, call, (wanted, least), lease) {
        Ok(held) => held,
        Err(refusal) => return Ok(Err(refusal)),
    };
    journal::keep(conn, &book).await?;
    let nothing = CallUsage {
        terms: reckoner.terms.clone(),
        duration_ms: 0,
        lines: Vec::new(),
    };
    note_usage(conn, hold, &nothing).await?;
    let seconds = reckoner.seconds_for(held, 0, used);
    Ok(Ok((reckoner, held, seconds)))
}

/// Completes the terms with whose agent it is and what the organisation's reseller takes.
async fn read_terms(conn: &mut Connection, terms: &mut CallTerms) -> Result<(), StoreError> {
    // Agents of the configuration have ids of their own making and no owner.
    if terms.owner.is_none() && crate::api::schema::parse_uuid(&terms.agent).is_some() {
        let row = sql("SELECT owner_id FROM agents WHERE id = $1 AND org_id = $2 \
             UNION ALL SELECT owner_id FROM workflows WHERE id = $1 AND org_id = $2 LIMIT 1")
        .bind(&terms.agent)
        .bind(terms.org)
        .fetch_optional(conn)
        .await?;
        terms.owner = match row {
            Some(row) => optional_uuid(&row, "owner_id")?,
            None => None,
        };
    }
    let row = sql("SELECT org_type, markup_bps, commission_bps FROM organisations WHERE id = $1")
        .bind(terms.org)
        .fetch_optional(conn)
        .await?;
    if let Some(row) = row
        && row.get::<String>("org_type")? != "internal"
    {
        terms.markup_bps = row.get("markup_bps")?;
        terms.commission_bps = row.get("commission_bps")?;
    }
    Ok(())
}

/// The wallet of the user whose agent answers, once it was given credit; else the organisation's.
async fn paying_wallet(
    conn: &mut Connection,
    terms: &CallTerms,
    section: &BillingSection,
    now: i64,
) -> Result<Uuid, StoreError> {
    if let Some(owner) = terms.owner {
        let owner = Owner::User(owner);
        let own = journal::find_wallet(conn, terms.org, owner, &terms.currency).await?;
        if let Some(wallet) = own.filter(|wallet| wallet.funded) {
            return Ok(wallet.id);
        }
    }
    super::wallets::of_organisation(conn, terms.org, section, now).await
}

/// Notes what a call has used so far, for the case that its end goes missing.
async fn note_usage(
    conn: &mut Connection,
    hold: Uuid,
    usage: &CallUsage,
) -> Result<(), StoreError> {
    let text = serde_json::to_string(usage).map_err(|_| StoreError::Malformed("usage"))?;
    let query = sql("UPDATE holds SET usage = $2 WHERE id = $1 AND state = 'open'");
    query.bind(hold).bind(text).execute(conn).await.map(drop)
}

fn lease_us(section: &BillingSection) -> i64 {
    let lease = section.heartbeat * LEASE_BEATS;
    i64::try_from(lease.as_micros()).unwrap_or(i64::MAX)
}

/// The account of one call. However the call ends, it is settled once: dropping the account
/// settles too.
#[derive(Debug)]
pub struct CallAccount {
    billing: CallBilling,
    reckoner: Arc<Reckoner>,
    held: i64,
    /// Seconds from the answer that are paid.
    funded_s: Arc<AtomicI64>,
    meter: Arc<UsageMeter>,
    answered: OnceLock<Instant>,
    ended: OnceLock<Instant>,
    is_settled: bool,
}

impl CallAccount {
    /// Counts what the call uses.
    #[must_use]
    pub fn meter(&self) -> Arc<UsageMeter> {
        Arc::clone(&self.meter)
    }

    /// The call was answered: from now on its time counts.
    pub fn answered(&self, now: Instant) {
        // Only the first answer is one.
        let _ = self.answered.set(now);
    }

    /// The caller or the agent has hung up: from now on its time does not count any more.
    pub fn hung_up(&self, now: Instant) {
        let _ = self.ended.set(now);
    }

    /// Until when the call is paid as far as known, if it has to be paid.
    #[must_use]
    pub fn funded_until(&self) -> Option<Instant> {
        self.reckoner.terms.payer?;
        let answered = *self.answered.get()?;
        answered.checked_add(seconds(self.funded_s.load(Ordering::Acquire)))
    }

    /// The task that keeps the call paid; it runs until it is aborted. `None` when nothing has to
    /// be paid or the call was not answered.
    #[must_use]
    pub fn keeper(
        &self,
        orders: mpsc::Sender<CallOrder>,
        notices: mpsc::Sender<MoneyNotice>,
    ) -> Option<Keeper> {
        Some(Keeper {
            billing: self.billing.clone(),
            reckoner: Arc::clone(&self.reckoner),
            payer: self.reckoner.terms.payer?,
            held: self.held,
            funded_s: Arc::clone(&self.funded_s),
            meter: self.meter(),
            answered: *self.answered.get()?,
            orders,
            notices,
            is_low: false,
        })
    }

    /// Settles the call.
    pub async fn settle(mut self, now: Instant) {
        self.is_settled = true;
        let usage = self.usage(now);
        self.billing.settle(usage).await;
    }

    fn usage(&self, now: Instant) -> CallUsage {
        let ended = self.ended.get().copied().unwrap_or(now);
        let duration_ms = self.answered.get().map_or(0, |answered| {
            talk_ms(*answered, ended, self.funded_s.load(Ordering::Acquire))
        });
        CallUsage {
            terms: self.reckoner.terms.clone(),
            duration_ms,
            lines: usage_lines(duration_ms, self.meter.read(), &self.reckoner.parties),
        }
    }
}

impl Drop for CallAccount {
    fn drop(&mut self) {
        if self.is_settled {
            return;
        }
        let usage = self.usage(now());
        let billing = self.billing.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { billing.settle(usage).await });
        }
    }
}

/// Keeps a running call paid: renews the lease, notes what was used, sets more aside, and tells
/// the call until when it is paid.
#[derive(Debug)]
pub struct Keeper {
    billing: CallBilling,
    reckoner: Arc<Reckoner>,
    payer: Payer,
    held: i64,
    funded_s: Arc<AtomicI64>,
    meter: Arc<UsageMeter>,
    answered: Instant,
    orders: mpsc::Sender<CallOrder>,
    notices: mpsc::Sender<MoneyNotice>,
    is_low: bool,
}

impl Keeper {
    /// Runs until aborted, or until nobody listens any more.
    pub async fn run(mut self) {
        loop {
            let Some(until) = self.answered.checked_add(seconds(self.funded())) else {
                return;
            };
            if self
                .orders
                .send(CallOrder::FundedUntil(until))
                .await
                .is_err()
            {
                return;
            }
            let section = self.billing.section();
            // A short window is looked at again before it is over.
            let left = until.saturating_duration_since(now());
            let due = left.saturating_sub(section.extend_below);
            let pause = section.heartbeat.min(due.max(Duration::from_secs(1)));
            tokio::time::sleep(pause).await;
            if let Err(error) = self.beat().await {
                tracing::error!(call_id = %self.reckoner.terms.call, %error, "account of the call was not kept");
            }
        }
    }

    async fn beat(&mut self) -> Result<(), StoreError> {
        let section = self.billing.section().clone();
        let (funded, used) = (self.funded(), self.meter.read());
        let elapsed_ms = talk_ms(self.answered, now(), funded);
        let elapsed_s = elapsed_ms.saturating_add(999) / 1000;
        let usage = CallUsage {
            terms: self.reckoner.terms.clone(),
            duration_ms: elapsed_ms,
            lines: usage_lines(elapsed_ms, used, &self.reckoner.parties),
        };
        let extend_below = i64::try_from(section.extend_below.as_secs()).unwrap_or(i64::MAX);
        let window = i64::try_from(section.window.as_secs()).unwrap_or(i64::MAX);
        let left = funded - elapsed_s;
        let more = (left < extend_below && funded < SECONDS_MAX).then(|| {
            let cost = |seconds| self.reckoner.cost_of(seconds, elapsed_s, used);
            let least = (cost(funded + 1) - self.held).max(1);
            ((cost(elapsed_s + window) - self.held).max(least), least)
        });
        let (payer, now) = (self.payer, now_us());
        let lease = now + lease_us(&section);
        let kept = self.billing.shared.store.write(move |conn| {
            Box::pin(async move { keep_open(conn, payer, &usage, (now, lease), more).await })
        });
        match kept.await? {
            None => {}
            Some(Ok(added)) => {
                self.held += added;
                self.is_low = false;
            }
            Some(Err(_)) if self.is_low => {}
            Some(Err(refusal)) => {
                self.is_low = true;
                metrics::counter!("samvad_billing_extend_refused_total").increment(1);
                tracing::info!(call_id = %self.reckoner.terms.call, %refusal, "no more credit for the call");
                let seconds_left = u64::try_from(left.max(0)).unwrap_or(0);
                // A full queue has told it already.
                let _ = self.notices.try_send(MoneyNotice::Low { seconds_left });
            }
        }
        // What was used beyond reckoning shortens what is paid, but never below what has gone by.
        let seconds = self.reckoner.seconds_for(self.held, elapsed_s, used);
        self.funded_s
            .store(seconds.max(elapsed_s), Ordering::Release);
        Ok(())
    }

    fn funded(&self) -> i64 {
        self.funded_s.load(Ordering::Acquire)
    }
}

/// Renews a hold, notes the usage, and sets more aside where asked to.
async fn keep_open(
    conn: &mut Connection,
    payer: Payer,
    usage: &CallUsage,
    (now, lease): (i64, i64),
    more: Option<(i64, i64)>,
) -> Result<Option<Result<i64, book::Refusal>>, StoreError> {
    note_usage(conn, payer.hold, usage).await?;
    let Some(more) = more else {
        let renewed = sql(
            "UPDATE holds SET lease_until = $2 WHERE id = $1 AND state = 'open' \
                           AND lease_until < $2",
        );
        renewed.bind(payer.hold).bind(lease).execute(conn).await?;
        return Ok(None);
    };
    let opened = journal::open_book(conn, payer.wallet, Some(payer.hold)).await?;
    let mut book = opened.ok_or(StoreError::Malformed("wallet"))?;
    if let Err(refusal) = book.renew(payer.hold, lease) {
        return Ok(Some(Err(refusal)));
    }
    let extended = book.extend(now, payer.hold, more);
    journal::keep(conn, &book).await?;
    Ok(Some(extended))
}

/// Milliseconds of a call that count: no more than are paid, since it ends then.
fn talk_ms(answered: Instant, ended: Instant, funded_s: i64) -> i64 {
    let talk = ended.saturating_duration_since(answered).as_millis();
    let talk = i64::try_from(talk).unwrap_or(i64::MAX);
    talk.min(funded_s.saturating_mul(1000))
}

fn seconds(count: i64) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or(0))
}

/// The runtime's clock, which a test may have paused.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
