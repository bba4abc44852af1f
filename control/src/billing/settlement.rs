//! The end of a call in money: usage becomes lines, lines a bill, the bill one entry, all in one
//! transaction that happens once per call.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::book::By;
use super::hold::{Bill, Payment};
use super::journal;
use super::money::share;
use super::rating::{Component, RatedLine, Tariff, UsageLine};
use crate::store::{Connection, StoreError, sql};

/// The terms on which a call is charged, fixed when it began.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CallTerms {
    /// The call.
    pub call: Uuid,
    /// The organisation it belongs to.
    pub org: Uuid,
    /// The user whose agent answers; none for agents of the configuration.
    pub owner: Option<Uuid>,
    /// The agent.
    pub agent: String,
    /// `phone` or `web`.
    pub call_type: String,
    /// Prices in force.
    pub tariff: Tariff,
    /// Code of the currency.
    pub currency: String,
    /// The reseller's part on top, in hundredths of a percent.
    pub markup_bps: i64,
    /// The reseller's share of our price, in hundredths of a percent.
    pub commission_bps: i64,
    /// Who pays, and the hold; none where calls are not charged.
    pub payer: Option<Payer>,
}

/// Who pays a call, out of what.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Payer {
    /// The wallet.
    pub wallet: Uuid,
    /// Money set aside in it.
    pub hold: Uuid,
}

/// What a call has used, up to its end or up to the last time somebody looked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CallUsage {
    /// The terms.
    pub terms: CallTerms,
    /// From answer to hang-up, or up to the second that was paid for.
    pub duration_ms: i64,
    /// What was used.
    pub lines: Vec<UsageLine>,
}

/// What came of settling a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settlement {
    /// What the payer was charged.
    pub retail: i64,
    /// How it was paid.
    pub payment: Payment,
    /// Whether this settled the call; otherwise it was settled before, and this is what came of it.
    pub is_first: bool,
}

impl CallTerms {
    /// The bill for rated lines.
    #[must_use]
    pub fn bill(&self, lines: &[RatedLine]) -> Bill {
        let wholesale = lines
            .iter()
            .fold(0, |sum: i64, line| sum.saturating_add(line.amount));
        Bill {
            wholesale,
            markup: share(wholesale, self.markup_bps),
            commission: share(wholesale, self.commission_bps),
        }
    }
}

/// Settles a call at `now`. Told twice, the second time changes nothing.
///
/// # Errors
/// When the store fails; nothing is written then.
pub async fn settle(
    conn: &mut Connection,
    usage: &CallUsage,
    now: i64,
) -> Result<Settlement, StoreError> {
    let terms = &usage.terms;
    // The lock on the wallet comes first: of two that settle one call the later finds the bill.
    let mut book = match terms.payer {
        Some(payer) => journal::open_book(conn, payer.wallet, Some(payer.hold)).await?,
        None => None,
    };
    if let Some(earlier) = earlier(conn, terms.call).await? {
        return Ok(earlier);
    }
    let lines = terms.tariff.rate(&usage.lines);
    let bill = terms.bill(&lines);
    let by = By::engine(format!("call:{}:settle", terms.call));
    let entry = (bill.retail() > 0 && book.is_some()).then_some(by.ids[0]);
    let payment = match &mut book {
        Some(book) => book.settle(now, terms.payer.map(|payer| payer.hold), bill, by),
        None => Payment::default(),
    };
    insert_usage(conn, terms.call, &lines, now).await?;
    insert_charge(conn, usage, &lines, (bill, payment, entry), now).await?;
    if let Some(book) = &book {
        journal::keep(conn, book).await?;
    }
    Ok(Settlement {
        retail: bill.retail(),
        payment,
        is_first: true,
    })
}

async fn earlier(conn: &mut Connection, call: Uuid) -> Result<Option<Settlement>, StoreError> {
    let query = "SELECT retail, captured, written_off FROM call_charges WHERE call_id = $1";
    let row = sql(query).bind(call).fetch_optional(conn).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Settlement {
        retail: row.get("retail")?,
        payment: Payment {
            captured: row.get("captured")?,
            written_off: row.get("written_off")?,
        },
        is_first: false,
    }))
}

async fn insert_usage(
    conn: &mut Connection,
    call: Uuid,
    lines: &[RatedLine],
    now: i64,
) -> Result<(), StoreError> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut query = sql(
        "INSERT INTO usage_events (id, call_id, component, provider, unit, quantity, billed, \
           price_id, amount, cost, at) VALUES ",
    );
    for (seq, line) in lines.iter().enumerate() {
        let component = line.usage.component;
        query.push(if seq == 0 { "(" } else { ", (" });
        query.push_bind(format!("{call}:{}:{seq}", component.name()));
        query.push(", ").push_bind(call);
        query.push(", ").push_bind(component.name());
        query.push(", ").push_bind(&line.usage.provider);
        query.push(", ").push_bind(component.unit());
        query.push(", ").push_bind(line.usage.quantity);
        query.push(", ").push_bind(line.billed);
        query.push(", ").push_bind(line.price);
        query.push(", ").push_bind(line.amount);
        query.push(", ").push_bind(line.cost);
        query.push(", ").push_bind(now).push(")");
    }
    query.push(" ON CONFLICT (id) DO NOTHING");
    query.execute(conn).await.map(drop)
}

async fn insert_charge(
    conn: &mut Connection,
    usage: &CallUsage,
    lines: &[RatedLine],
    (bill, payment, entry): (Bill, Payment, Option<Uuid>),
    now: i64,
) -> Result<(), StoreError> {
    let terms = &usage.terms;
    let cost = lines
        .iter()
        .fold(0, |sum: i64, line| sum.saturating_add(line.cost));
    sql(
        "INSERT INTO call_charges (call_id, org_id, owner_id, agent_id, call_type, wallet_id, \
           currency, duration_s, wholesale, markup, retail, commission, cost, markup_bps, \
           commission_bps, captured, written_off, entry_id, at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, \
           $19) ON CONFLICT (call_id) DO NOTHING",
    )
    .bind(terms.call)
    .bind(terms.org)
    .bind(terms.owner)
    .bind(&terms.agent)
    .bind(&terms.call_type)
    .bind(terms.payer.map(|payer| payer.wallet))
    .bind(&terms.currency)
    .bind((usage.duration_ms.saturating_add(999)) / 1000)
    .bind(bill.wholesale)
    .bind(bill.markup)
    .bind(bill.retail())
    .bind(bill.commission)
    .bind(cost)
    .bind(terms.markup_bps)
    .bind(terms.commission_bps)
    .bind(payment.captured)
    .bind(payment.written_off)
    .bind(entry)
    .bind(now)
    .execute(conn)
    .await
    .map(drop)
}

/// Lines of a call that lasted `duration_ms`, of which the recogniser got at most as much.
#[must_use]
pub fn usage_lines(
    duration_ms: i64,
    metered: pipeline::usage_meter::MeteredUsage,
    parties: &Parties,
) -> Vec<UsageLine> {
    let count = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let line = |component, provider: &str, quantity| UsageLine {
        component,
        provider: provider.to_owned(),
        quantity,
    };
    let heard = count(metered.stt_audio_ms).min(duration_ms);
    let lines = vec![
        line(Component::Telephony, &parties.carrier, duration_ms),
        line(Component::Platform, "samvad", duration_ms),
        line(Component::Stt, &parties.stt, heard),
        line(
            Component::LlmInput,
            &parties.llm,
            count(metered.llm_input_tokens),
        ),
        line(
            Component::LlmOutput,
            &parties.llm,
            count(metered.llm_output_tokens),
        ),
        line(Component::Tts, &parties.tts, count(metered.tts_characters)),
    ];
    lines.into_iter().filter(|line| line.quantity > 0).collect()
}

/// Whose services a call uses, by their names in records.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Parties {
    /// Brings the call.
    pub carrier: String,
    /// Recogniser.
    pub stt: String,
    /// Model or workflow.
    pub llm: String,
    /// Voice.
    pub tts: String,
}
