//! The vendors' own SDKs against the same server: the fakes are proven by somebody else's code.

use std::path::PathBuf;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::fake::serve;

/// Python imports take their time on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread")]
#[expect(
    clippy::disallowed_methods,
    reason = "whether CI runs is known from the environment"
)]
async fn the_vendors_sdks_work_against_the_fakes() {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let python = here.join("../target/provider-sdks/bin/python");
    if !python.exists() {
        assert!(
            std::env::var("CI").is_err(),
            "no provider SDKs: `make provider-sdks` installs them"
        );
        eprintln!("skipped: `make provider-sdks` installs the vendors' SDKs");
        return;
    }
    let (_, base) = serve().await;
    let run = Command::new(python)
        .arg(here.join("tests/providers/sdk/check.py"))
        .arg(base)
        // SDKs read keys, addresses and proxies from the environment; none of them may count.
        .env_clear()
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, run).await.expect("it ends").unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
}
