//! `/api/v1/wallets`: balances, credit, caps, corrections.

use axum::response::Response;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::failure::Failure;
use super::super::route::{Context, Fields as _, Route, reply, route};
use super::super::schema::{Field, Kind, Shape, may, need, parse_time, shape};
use super::flags::administrated;
use crate::billing::book::{By, Refusal};
use crate::billing::money;
use crate::billing::wallet::{Grant, Owner, Wallet};
use crate::billing::{journal, statement, wallets};
use crate::clock::{now_us, rfc3339};
use crate::identity::accounts;
use crate::identity::principal::Role;
use crate::store::{Store, StoreError};

/// Largest amount a body may name.
const AMOUNT: Kind = Kind::Number(-1e9, 1e9);
/// Most members whose wallets are listed.
const MEMBERS_MAX: usize = 1000;

static WALLET: Shape = shape(
    "Wallet",
    &[
        need("wallet_id", Kind::Uuid),
        need("organization_id", Kind::Uuid),
        need("owner_type", Kind::OneOf(&["org", "user"])),
        need("owner_id", Kind::Uuid),
        need("available_balance_usd", AMOUNT),
        need("available_balance", Kind::Text(0, 0)),
        need("credit_balance_usd", AMOUNT),
        need("held_usd", AMOUNT),
        need("monthly_cap_usd", Kind::Nullable(&AMOUNT)),
        need("cap_used_usd", AMOUNT),
        need("currency", Kind::Text(0, 0)),
    ],
);
static LIST: Shape = shape(
    "WalletPage",
    &[
        need("items", Kind::List(&Kind::Object(&WALLET), 0)),
        need("total", Kind::Integer(0, i64::MAX)),
        need("page", Kind::Integer(1, i64::MAX)),
        need("page_size", Kind::Integer(1, 100)),
    ],
);
static BOOK: Shape = shape(
    "WalletBook",
    &[
        need("wallet", Kind::Object(&WALLET)),
        need("grants", Kind::List(&Kind::Map, 0)),
        need("ledger", Kind::List(&Kind::Map, 0)),
        need("upcoming_expiry", Kind::List(&Kind::Map, 0)),
    ],
);
static GRANT_BODY: Shape = shape(
    "NewGrant",
    &[
        need("amount_usd", Kind::Number(0.000_001, 1e9)),
        may("expires_at", Kind::Time),
        may("note", Kind::Text(0, 500)),
    ],
);
static GRANTED: Shape = shape(
    "Granted",
    &[
        need("grant", Kind::Map),
        need("wallet", Kind::Object(&WALLET)),
    ],
);
static CAP_BODY: Shape = shape(
    "MonthlyCap",
    &[need(
        "monthly_cap_usd",
        Kind::Nullable(&Kind::Number(0.0, 1e9)),
    )],
);
static ADJUST_BODY: Shape = shape(
    "Adjustment",
    &[
        need("amount_usd", AMOUNT),
        need("reason", Kind::Text(1, 500)),
    ],
);
static ADJUSTED: Shape = shape(
    "Adjusted",
    &[
        need("ledger_entry", Kind::Map),
        need("wallet", Kind::Object(&WALLET)),
    ],
);
const PAGE: [Field; 2] = [
    may("page", Kind::Integer(1, 1_000_000)),
    may("page_size", Kind::Integer(1, 100)),
];

pub(super) fn routes() -> Vec<Route> {
    vec![
        route!(Kupe GET "/api/v1/wallets/me", KeyOrBearer "any" 200, mine)
            .does("The wallet that pays for the caller's calls")
            .answers(Kind::Object(&WALLET)),
        route!(Kupe GET "/api/v1/wallets/{wallet_id}", KeyOrBearer "owner|org_admin (org scope)|super_admin" 200, show)
            .does("A wallet with its credit and a page of its ledger, newest first")
            .query(&PAGE)
            .answers(Kind::Object(&BOOK)),
        route!(Kupe GET "/api/v1/wallets/users", KeyOrBearer "super_admin" 200, list_users)
            .does("Wallets of users")
            .query(&PAGE)
            .answers(Kind::Object(&LIST)),
        route!(Kupe GET "/api/v1/wallets/orgs", KeyOrBearer "super_admin" 200, list_organisations)
            .does("Wallets of organisations")
            .query(&PAGE)
            .answers(Kind::Object(&LIST)),
        route!(Kupe GET "/api/v1/wallets/orgs/{org_id}/members", KeyOrBearer "org_admin|super_admin" 200, members)
            .does("Wallets of an organisation's members")
            .answers(Kind::List(&Kind::Map, 0)),
        route!(Kupe POST "/api/v1/wallets/{wallet_id}/grants", Bearer "org_admin|super_admin" 200, grant)
            .does("Credit: out of the organisation's wallet, or made by a super administrator")
            .takes(&GRANT_BODY)
            .answers(Kind::Object(&GRANTED))
            .idempotent(),
        route!(Kupe POST "/api/v1/wallets/{wallet_id}/cap", Bearer "org_admin|super_admin" 200, cap)
            .does("Most that calls may spend in a calendar month; null for no limit")
            .takes(&CAP_BODY)
            .answers(Kind::Object(&WALLET)),
        route!(Kupe POST "/api/v1/wallets/{wallet_id}/adjust", Bearer "super_admin" 200, adjust)
            .does("Corrects the balance")
            .takes(&ADJUST_BODY)
            .answers(Kind::Object(&ADJUSTED))
            .idempotent(),
    ]
}

async fn mine(cx: Context) -> Result<Response, Failure> {
    let wallet = paying(&cx).await?;
    Ok(reply(&cx, to_json(&wallet)))
}

/// The wallet that pays for the caller's calls: their own once it was given credit, else the
/// organisation's.
pub(super) async fn paying(cx: &Context) -> Result<Wallet, Failure> {
    let who = cx.who()?;
    let (org, user) = (who.tenant.organisation(), Owner::User(who.user));
    let section = cx.services.config.billing.clone();
    let currency = section.currency.clone();
    let mut conn = cx.services.store.read().await?;
    let own = journal::find_wallet(&mut conn, org, user, &currency).await?;
    if let Some(own) = own.filter(|wallet| wallet.funded) {
        return Ok(own);
    }
    let owner = Owner::Organisation(org);
    if let Some(found) = journal::find_wallet(&mut conn, org, owner, &currency).await? {
        return Ok(found);
    }
    drop(conn);
    let made = cx.services.store.write(move |conn| {
        Box::pin(async move {
            let id = wallets::of_organisation(conn, org, &section, now_us()).await?;
            journal::wallet(conn, id).await
        })
    });
    made.await?.ok_or_else(Failure::internal)
}

async fn show(cx: Context) -> Result<Response, Failure> {
    let wallet = reachable(&cx, false).await?;
    let (page, size) = page(&cx);
    let mut conn = cx.services.store.read().await?;
    let grants = statement::grants(&mut conn, wallet.id).await?;
    let ledger = statement::lines(&mut conn, wallet.id, (page - 1) * size, size).await?;
    let now = now_us();
    let mut expiring: Vec<&Grant> = grants
        .iter()
        .filter(|grant| grant.remaining > 0 && grant.expires_at.is_some_and(|at| at > now))
        .collect();
    expiring.sort_by_key(|grant| grant.expires_at);
    let expiring: Vec<Value> = expiring.into_iter().map(grant_json).collect();
    let body = json!({
        "wallet": to_json(&wallet),
        "grants": grants.iter().map(grant_json).collect::<Vec<_>>(),
        "ledger": ledger,
        "upcoming_expiry": expiring,
    });
    Ok(reply(&cx, body))
}

async fn list_users(cx: Context) -> Result<Response, Failure> {
    super_only(&cx)?;
    let (page, size) = page(&cx);
    let (found, total) =
        statement::wallets(&cx.services.store, "user", (page - 1) * size, size).await?;
    Ok(reply(&cx, list_json(&found, total, (page, size))))
}

async fn list_organisations(cx: Context) -> Result<Response, Failure> {
    super_only(&cx)?;
    let (page, size) = page(&cx);
    let section = cx.services.config.billing.clone();
    // A new organisation has no wallet until somebody asks for it.
    let listed = cx.services.store.write(move |conn| {
        Box::pin(async move {
            let (organisations, total) =
                statement::organisations(conn, (page - 1) * size, size).await?;
            let mut found = Vec::with_capacity(organisations.len());
            for org in organisations {
                let id = wallets::of_organisation(conn, org, &section, now_us()).await?;
                found.extend(journal::wallet(conn, id).await?);
            }
            Ok((found, total))
        })
    });
    let (found, total) = listed.await?;
    Ok(reply(&cx, list_json(&found, total, (page, size))))
}

async fn members(cx: Context) -> Result<Response, Failure> {
    let org = own_organisation(&cx, "org_id").await?;
    let currency = cx.services.config.billing.currency.clone();
    let listed = cx.services.store.write(move |conn| {
        Box::pin(async move {
            let users = statement::members(conn, org, MEMBERS_MAX).await?;
            let mut found = Vec::with_capacity(users.len());
            for user in users {
                let owner = Owner::User(user);
                let id = journal::ensure_wallet(conn, org, owner, &currency, now_us()).await?;
                let wallet = journal::wallet(conn, id).await?;
                found.extend(wallet.map(|wallet| (user, wallet)));
            }
            Ok(found)
        })
    });
    let listed: Vec<Value> = listed
        .await?
        .iter()
        .map(|(user, wallet)| json!({ "user_id": user, "wallet": to_json(wallet) }))
        .collect();
    Ok(reply(&cx, Value::Array(listed)))
}

async fn grant(cx: Context) -> Result<Response, Failure> {
    let target = reachable(&cx, true).await?;
    let amount = amount(&cx, "amount_usd")?;
    let expires_at = cx.body.text("expires_at").and_then(parse_time);
    let terms = wallets::terms(expires_at, cx.body.owned("note"));
    let (who, actor) = (cx.who()?, cx.actor()?);
    let (grant, now) = (terms.id, now_us());
    let by = By::user(who.user, cx.body.owned("note"), format!("grant:{grant}"));
    let is_minted = who.superuser;
    let section = cx.services.config.billing.clone();
    let done = cx.services.store.write(move |conn| {
        Box::pin(async move {
            if is_minted {
                let act = (&actor, "mint_credit");
                let run =
                    |book: &mut crate::billing::book::Book| book.grant(now, amount, terms, by);
                let done = wallets::command(conn, target.id, act, run).await?;
                return Ok(done.map(|((), wallet)| wallet));
            }
            let source = wallets::of_organisation(conn, target.org, &section, now).await?;
            let way = (source, target.id);
            let done = wallets::transfer(conn, way, (now, amount), terms, by).await?;
            if done.is_ok() {
                let object = ("wallet", target.id);
                actor.did(conn, "transfer_credit", object).await?;
            }
            Ok(done)
        })
    });
    let wallet = done.await?.map_err(|refusal| match refusal {
        Refusal::Short { .. } => Failure::new(
            axum::http::StatusCode::PAYMENT_REQUIRED,
            "no_credit",
            "the organisation's wallet has less than that to give",
        ),
        other => refused(other),
    })?;
    let mut conn = cx.services.store.read().await?;
    let made = statement::grant(&mut conn, grant).await?;
    let made = made.ok_or_else(Failure::internal)?;
    let body = json!({ "grant": grant_json(&made), "wallet": to_json(&wallet) });
    Ok(reply(&cx, body))
}

async fn cap(cx: Context) -> Result<Response, Failure> {
    let target = reachable(&cx, true).await?.id;
    let cap = match cx.body.value("monthly_cap_usd") {
        None => None,
        Some(_) => Some(amount(&cx, "monthly_cap_usd")?),
    };
    let actor = cx.actor()?;
    let done = cx.services.store.write(move |conn| {
        Box::pin(async move {
            wallets::command(conn, target, (&actor, "set_cap"), |book| {
                book.set_cap(now_us(), cap)
            })
            .await
        })
    });
    let ((), wallet) = done.await?.map_err(refused)?;
    Ok(reply(&cx, to_json(&wallet)))
}

async fn adjust(cx: Context) -> Result<Response, Failure> {
    let target = reachable(&cx, true).await?.id;
    super_only(&cx)?;
    let amount = amount(&cx, "amount_usd")?;
    let reason = cx.body.owned("reason").unwrap_or_default();
    let actor = cx.actor()?;
    let key = format!("adjust:{}", Uuid::now_v7());
    let by = By::user(cx.who()?.user, Some(reason), key);
    let entry = by.ids[0];
    let done = cx.services.store.write(move |conn| {
        Box::pin(async move {
            wallets::command(conn, target, (&actor, "adjust_balance"), |book| {
                book.adjust(now_us(), amount, by)
            })
            .await
        })
    });
    let ((), wallet) = done.await?.map_err(refused)?;
    let mut conn = cx.services.store.read().await?;
    let line = statement::line(&mut conn, wallet.id, entry).await?;
    let body = json!({ "ledger_entry": line, "wallet": to_json(&wallet) });
    Ok(reply(&cx, body))
}

/// The wallet of the path, if the caller may see it, or do something with it.
async fn reachable(cx: &Context, to_change: bool) -> Result<Wallet, Failure> {
    let id = cx.id("wallet_id")?;
    let who = cx.who()?;
    let found = journal::wallet(&mut cx.services.store.read().await?, id).await?;
    let wallet = found
        .filter(|wallet| who.superuser || wallet.org == who.tenant.organisation())
        .ok_or_else(Failure::not_found)?;
    let is_own = wallet.owner == Owner::User(who.user) && !to_change;
    if is_own || who.has(Role::Admin) {
        Ok(wallet)
    } else {
        Err(Failure::forbidden("this is for admins"))
    }
}

/// The organisation of the path, if the caller is its admin or a super administrator. Others'
/// organisations are as unknown as what never was.
pub(super) async fn own_organisation(cx: &Context, parameter: &str) -> Result<Uuid, Failure> {
    let org = cx.id(parameter)?;
    let who = cx.who()?;
    if who.superuser {
        let known = known_organisation(&cx.services.store, org).await?;
        return known.then_some(org).ok_or_else(Failure::not_found);
    }
    if org != who.tenant.organisation() {
        return Err(Failure::not_found());
    }
    if !who.has(Role::Admin) {
        return Err(Failure::forbidden("this is for admins"));
    }
    Ok(org)
}

async fn known_organisation(store: &Store, org: Uuid) -> Result<bool, StoreError> {
    let found = accounts::find_organisation(&mut store.read().await?, org).await?;
    Ok(found.is_some())
}

/// That the caller is a super administrator.
pub(super) fn super_only(cx: &Context) -> Result<(), Failure> {
    if cx.who()?.superuser {
        Ok(())
    } else {
        Err(Failure::forbidden("this is for super administrators"))
    }
}

/// An amount of the body, exactly.
fn amount(cx: &Context, name: &str) -> Result<i64, Failure> {
    let value = cx.body.value(name).and_then(money::from_json);
    let wrong = "must be an amount with at most six decimals";
    value.ok_or_else(|| Failure::field(name, "amount", wrong))
}

/// What a refused command tells the one who gave it.
fn refused(refusal: Refusal) -> Failure {
    let (field, code) = match refusal {
        Refusal::CapBelowUse { .. } => ("monthly_cap_usd", "below_use"),
        Refusal::ExpiredGrant => ("expires_at", "expired"),
        Refusal::SameWallet => ("wallet_id", "same_wallet"),
        Refusal::Currency => ("wallet_id", "currency"),
        _ => ("amount_usd", "amount"),
    };
    Failure::field(field, code, refusal.to_string())
}

pub(super) fn to_json(wallet: &Wallet) -> Value {
    json!({
        "wallet_id": wallet.id,
        "organization_id": wallet.org,
        "owner_type": wallet.owner.kind(),
        "owner_id": wallet.owner.id(),
        "available_balance_usd": money::number(wallet.available()),
        "available_balance": money::decimal(wallet.available()),
        "credit_balance_usd": money::number(wallet.posted),
        "held_usd": money::number(wallet.pending),
        "monthly_cap_usd": wallet.cap.map(money::number),
        "cap_used_usd": money::number(wallet.spent_in_month_of(now_us())),
        "currency": wallet.currency,
    })
}

fn grant_json(grant: &Grant) -> Value {
    json!({
        "id": grant.id,
        "amount_usd": money::number(grant.amount),
        "remaining_usd": money::number(grant.remaining),
        "held_usd": money::number(grant.pinned),
        "category": grant.category.name(),
        "effective_at": rfc3339(grant.effective_at),
        "expires_at": grant.expires_at.map(rfc3339),
        "voided_at": grant.voided_at.map(rfc3339),
        "source_wallet_id": grant.source,
        "note": grant.note,
        "created_at": rfc3339(grant.created_at),
    })
}

fn list_json(found: &[Wallet], total: i64, (page, size): (i64, i64)) -> Value {
    json!({
        "items": found.iter().map(to_json).collect::<Vec<_>>(),
        "total": total,
        "page": page,
        "page_size": size,
    })
}

fn page(cx: &Context) -> (i64, i64) {
    let page = cx.query.integer("page").unwrap_or(1);
    (page, cx.query.integer("page_size").unwrap_or(50))
}

/// That the caller may see what a user used.
pub(super) async fn may_see_user(cx: &Context, user: Uuid) -> Result<(), Failure> {
    if user == cx.who()?.user {
        return Ok(());
    }
    administrated(cx, user).await
}
