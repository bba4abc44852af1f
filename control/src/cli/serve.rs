//! `samvad serve`.

use std::process::ExitCode;

use crate::app::App;
use crate::config::Config;
use crate::shutdown::ShutdownSignals;
use crate::telemetry::tracing;

/// Tracing, then the app, its listeners printed, then running until a signal, then draining.
pub(super) fn run(config: Config) -> anyhow::Result<ExitCode> {
    tracing::install(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(config))?;
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "the command line talks to its user")]
async fn serve(config: Config) -> anyhow::Result<()> {
    let mut signals = ShutdownSignals::install()?;
    let app = App::start(config).await?;
    println!("{}", app.banner());
    signals.recv().await;
    // A second signal ends the running calls at once.
    app.drain(signals.recv()).await;
    Ok(())
}
