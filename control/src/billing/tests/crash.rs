//! The process dies before every single statement of a series of commands; the next one finds a
//! whole ledger with everything that was answered in it.

use std::io::Write as _;
use std::process::{Command, Stdio};

use uuid::Uuid;

use super::super::book::{Book, By};
use super::super::settlement::settle;
use super::super::wallet::Owner;
use super::super::{audit, journal, wallets};
use super::Random;
use super::database::{START, usage};
use crate::store::testing::{die_after, postgres_url, statements_left};
use crate::store::{Store, StoreError, sql};

const URL: &str = "SAMVAD_CRASH_URL";
const AFTER: &str = "SAMVAD_CRASH_AFTER";
const ALIVE: i64 = 1_000_000;

async fn open(url: &str) -> Store {
    match url.strip_prefix("sqlite:") {
        Some(path) => Store::open(path.as_ref()).await.unwrap(),
        None => Store::connect(url).await.unwrap(),
    }
}

async fn on_book(
    store: &Store,
    wallet: Uuid,
    hold: Option<Uuid>,
    run: impl FnOnce(&mut Book) + Send + 'static,
) {
    let done = store.write(move |conn| {
        Box::pin(async move {
            let book = journal::open_book(conn, wallet, hold).await?;
            let mut book = book.ok_or(StoreError::Malformed("wallet"))?;
            run(&mut book);
            journal::keep(conn, &book).await
        })
    });
    done.await.unwrap();
}

/// Everything that changes money, once. Tells the number of each step that was answered.
async fn series(store: &Store, answered: impl Fn(&str)) {
    let mut random = Random::new(3);
    let (org, user) = (random.id(), random.id());
    let made = store.write(move |conn| {
        Box::pin(async move {
            let owner = Owner::Organisation(org);
            let first = journal::ensure_wallet(conn, org, owner, "USD", START).await?;
            let owner = Owner::User(user);
            let second = journal::ensure_wallet(conn, org, owner, "USD", START).await?;
            Ok((first, second))
        })
    });
    let (from, to) = made.await.unwrap();
    answered("wallets");
    let terms = || wallets::terms(Some(START + 1_000_000_000), None);
    on_book(store, from, None, {
        let terms = terms();
        move |book| {
            book.grant(START, 1_000_000, terms, By::engine("grant"))
                .unwrap()
        }
    })
    .await;
    answered("grant");
    let (moved, terms_moved) = (terms(), terms());
    let done = store.write(move |conn| {
        Box::pin(async move {
            let by = By::engine("transfer");
            wallets::transfer(conn, (from, to), (START + 1, 600_000), moved, by).await
        })
    });
    done.await.unwrap().unwrap();
    answered("transfer");
    on_book(store, to, None, move |book| {
        book.grant(START + 2, 5, terms_moved, By::engine("more"))
            .unwrap();
    })
    .await;
    answered("more");
    let (hold, call) = (random.id(), random.id());
    on_book(store, to, None, move |book| {
        book.set_cap(START + 3, Some(500_000)).unwrap();
        let held = book.hold(
            START + 3,
            hold,
            call,
            (300_000, 100_000),
            START + 60_000_000,
        );
        assert_eq!(held, Ok(300_000));
    })
    .await;
    answered("hold");
    on_book(store, to, Some(hold), move |book| {
        assert_eq!(book.extend(START + 4, hold, (150_000, 1)), Ok(150_000));
    })
    .await;
    answered("extend");
    let bill = usage(call, org, Some((to, hold)), 7);
    let settled =
        store.write(move |conn| Box::pin(async move { settle(conn, &bill, START + 5).await }));
    assert!(settled.await.unwrap().is_first);
    answered("settle");
    on_book(store, from, None, move |book| {
        book.adjust(START + 6, -1000, By::engine("adjust")).unwrap();
    })
    .await;
    answered("adjust");
    on_book(store, from, None, move |book| {
        let expired = book.expire_grants(START + 2_000_000_000, By::engine("expire"));
        assert_eq!(expired, 399_000);
    })
    .await;
    answered("expire");
}

/// What a ledger must hold for each step that was answered.
async fn holds(store: &Store, answered: &str) {
    let report = audit::verify(store, START).await.unwrap();
    assert!(
        report.findings.is_empty(),
        "after {answered:?}: {:?}",
        report.findings
    );
    let count = |table: &'static str| async move {
        let query = sql(format!("SELECT count(*) AS n FROM {table}"));
        let row = store.fetch_one(query).await.unwrap();
        row.get::<i64>("n").unwrap()
    };
    for (step, key) in [
        ("grant", "grant"),
        ("transfer", "transfer"),
        ("more", "more"),
        ("adjust", "adjust"),
    ] {
        if answered.lines().any(|line| line == step) {
            let mut conn = store.read().await.unwrap();
            assert!(
                journal::is_posted(&mut conn, key).await.unwrap(),
                "{step} is lost"
            );
        }
    }
    let has = |step: &str| answered.lines().any(|line| line == step);
    assert!(!has("hold") || count("holds").await == 1);
    assert!(!has("settle") || count("call_charges").await == 1);
}

/// Run by itself only: the process that dies.
#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "told what to do by the test that starts it"
)]
#[ignore = "the other half of the tests below, which start it"]
async fn dies() {
    let url = std::env::var(URL).unwrap();
    let after = std::env::var(AFTER).unwrap().parse().unwrap();
    let store = open(&url).await;
    die_after(after);
    series(&store, |step| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "answered {step}").unwrap();
        out.flush().unwrap();
    })
    .await;
    // How many statements the whole series takes.
    println!("statements {}", after - statements_left());
}

/// Runs the series in a process that dies before statement `after`; what it said, and whether it
/// came to its end.
fn run_until(url: &str, after: i64) -> (String, bool) {
    let child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "billing::tests::crash::dies",
            "--ignored",
            "--nocapture",
        ])
        .env(URL, url)
        .env(AFTER, after.to_string())
        .stderr(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(child.stdout).unwrap();
    let steps: Vec<&str> = said
        .lines()
        .filter_map(|line| line.split_once("answered ").map(|(_, step)| step))
        .collect();
    let whole = said.contains("statements ");
    if whole {
        println!(
            "{}",
            said.lines()
                .find(|line| line.contains("statements "))
                .unwrap()
        );
    }
    (steps.join("\n"), whole)
}

async fn every_boundary(urls: impl AsyncFn(i64) -> String, stride: usize) {
    let mut died = 0;
    for after in (0..ALIVE).step_by(stride) {
        let url = urls(after).await;
        // The schema is there before, so that every statement is one of the series.
        drop(open(&url).await);
        let (answered, whole) = run_until(&url, after);
        holds(&open(&url).await, &answered).await;
        if whole {
            assert_eq!(answered.lines().count(), 9, "{answered}");
            break;
        }
        died += 1;
    }
    println!("died {died} times");
    assert!(died >= 60 / stride, "{died}");
}

#[tokio::test]
async fn sqlite_keeps_a_whole_ledger_when_the_process_dies_between_any_two_statements() {
    let dir = tempfile::tempdir().unwrap();
    let url = async |after: i64| format!("sqlite:{}/{after}.db", dir.path().display());
    every_boundary(url, 1).await;
}

#[tokio::test]
async fn postgres_keeps_a_whole_ledger_when_the_process_dies_between_statements() {
    every_boundary(async |_| postgres_url().await, 5).await;
}
