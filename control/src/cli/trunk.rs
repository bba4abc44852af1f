//! `samvad trunk`: what works of a trunk, and if not, why.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use sip::event::RegistrationState;
use sip::message::{HeaderName, NameAddr, StatusCode, Uri};
use sip::net::{Resolver, UserAgent};
use sip::transport::Transport;
use sip::transport::select::Target;
use tokio::time::timeout;

use crate::config::{Config, SipSection};
use crate::sip_line::bind_user_agent;
use crate::sip_line::trunks::{Trunk, TrunkRegistry, begin_registration};

/// How long the answer to a REGISTER is waited for; beyond the transaction's own 32 s nothing comes.
const REGISTER_MAX: Duration = Duration::from_secs(35);

/// Arguments of `samvad trunk`.
#[derive(Debug, Args)]
pub struct TrunkArgs {
    /// What to do
    #[command(subcommand)]
    command: TrunkCommand,
}

#[derive(Debug, Subcommand)]
enum TrunkCommand {
    /// Resolve its names, ask its hosts by OPTIONS, register if it is to be registered
    Test {
        /// Name of a `[[trunks]]` entry
        name: String,
    },
    /// The trunks of the configuration
    List,
}

/// Runs it; the exit code tells whether all that was tried works.
///
/// # Errors
/// When there is no such trunk, or nothing could be tried.
pub fn run(args: &TrunkArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let registry = TrunkRegistry::new(&config.sip, &config.trunks);
    match &args.command {
        TrunkCommand::List => {
            list(&registry);
            Ok(ExitCode::SUCCESS)
        }
        TrunkCommand::Test { name } => {
            let known: Vec<&str> = config.trunks.iter().map(|t| t.name.as_str()).collect();
            let trunk = registry.find(name).with_context(|| {
                format!("there is no enabled trunk `{name}`; the configuration has {known:?}")
            })?;
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let works = runtime.block_on(test(&trunk, config))?;
            Ok(if works {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
    }
}

#[expect(clippy::print_stdout, reason = "the command line talks to its user")]
fn list(registry: &TrunkRegistry) {
    for trunk in registry.all() {
        let settings = trunk.settings();
        println!(
            "{}\tin: {} address blocks{}\tout: {}{}",
            trunk.name(),
            settings.addresses.len(),
            settings
                .inbound_user
                .as_ref()
                .map_or_else(String::new, |user| format!(", user {user}")),
            if settings.uris.is_empty() {
                "nothing".to_owned()
            } else {
                settings.uris.join(", ")
            },
            if settings.register { "\tregisters" } else { "" },
        );
    }
}

/// Prints one line for each thing tried.
#[expect(clippy::print_stdout, reason = "the command line talks to its user")]
fn say(works: bool, what: &str, how: &str) {
    println!("{} {what}: {how}", if works { "ok  " } else { "FAIL" });
}

async fn test(trunk: &Trunk, config: &Config) -> anyhow::Result<bool> {
    // Beside the running server: its ports are taken, and its listeners are not needed.
    let section = SipSection {
        bind: (config.sip.bind.ip(), 0).into(),
        tcp_bind: None,
        tls_bind: None,
        ws_bind: None,
        wss_bind: None,
        ..config.sip.clone()
    };
    let registry = TrunkRegistry::new(&section, std::slice::from_ref(trunk.settings()));
    let (agent, _incoming) = bind_user_agent(&registry)
        .await
        .map_err(|(name, address, error)| anyhow::anyhow!("{name} {address}: {error}"))?;
    let transports = vec![Transport::Udp, Transport::Tcp, Transport::Tls];
    let resolver = Resolver::from_system(transports)?;
    let settings = trunk.settings();
    let mut works = true;
    if settings.addresses.is_empty() && settings.inbound_user.is_none() && settings.domain.is_none()
    {
        say(
            true,
            "inbound",
            "no `addresses`, `inbound_user` or `domain`: its calls count as strangers'",
        );
    } else {
        say(
            true,
            "inbound",
            &format!("{} address blocks", settings.addresses.len()),
        );
    }
    if settings.uris.is_empty() {
        say(true, "outbound", "no `uris`: takes no calls out");
    }
    let mut any_host = settings.uris.is_empty();
    for text in &settings.uris {
        let uri = Uri::parse(text).with_context(|| text.clone())?;
        match resolver.resolve(&uri).await {
            Ok(targets) => {
                let hops: Vec<String> = targets.iter().map(|t| t.hop.to_string()).collect();
                say(true, text, &format!("leads to {}", hops.join(", ")));
                for target in targets {
                    any_host |= ask(&agent, &uri, target).await?;
                }
            }
            Err(error) => say(false, text, &error.to_string()),
        }
    }
    works &= any_host;
    if settings.register {
        works &= register(trunk, &agent, &resolver).await;
    }
    Ok(works)
}

/// Whether a host answers OPTIONS.
async fn ask(agent: &UserAgent, uri: &Uri, target: Target) -> anyhow::Result<bool> {
    let what = format!("OPTIONS {}", target.hop);
    if let Some(name) = target.name {
        agent.expect_name(target.hop.address, name).await?;
    }
    let from = NameAddr::new(Uri::sip("samvad", agent.local_addr()));
    let begun = now();
    let (status, headers) = agent.options(uri.clone(), target.hop, from).await?;
    let took = now().duration_since(begun).as_millis();
    let Some(status) = status else {
        let how = if target.hop.transport == Transport::Udp {
            "no answer within 32 s: a firewall, a wrong address, or a carrier that knows only \
             addresses it was told of"
        } else {
            "no connection: refused, filtered, or the certificate does not show this name"
        };
        say(false, &what, how);
        return Ok(false);
    };
    let server = headers
        .first(&HeaderName::Server)
        .or(headers.first(&HeaderName::UserAgent))
        .map_or_else(String::new, |server| format!(" by {server}"));
    let meaning = match status.code() {
        200..=299 => "takes OPTIONS",
        401 | 407 => "is there and asks for credentials, as it will for calls",
        403 => "is there but refuses us: is our address on its list?",
        503 => "is there but takes no calls now",
        _ => "is there (any answer proves it)",
    };
    say(
        true,
        &what,
        &format!("{status} in {took} ms{server}, {meaning}"),
    );
    Ok(true)
}

async fn register(trunk: &Trunk, agent: &UserAgent, resolver: &Resolver) -> bool {
    let what = "REGISTER";
    let mut registration = match begin_registration(trunk, agent, resolver).await {
        Ok(registration) => registration,
        Err(error) => {
            say(false, what, &error);
            return false;
        }
    };
    match timeout(REGISTER_MAX, registration.changed()).await {
        Ok(Some(RegistrationState::Registered {
            expires_s,
            registrar,
        })) => {
            say(
                true,
                what,
                &format!("granted for {expires_s} s by {registrar}"),
            );
            true
        }
        Ok(Some(RegistrationState::Failed { status, .. })) => {
            let why = match status {
                Some(StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED) => {
                    "`username` or `password` is wrong".to_owned()
                }
                Some(StatusCode::FORBIDDEN) => {
                    "refused by 403: wrong password, or our address is not allowed".to_owned()
                }
                Some(status) => format!("refused by {status} {}", status.reason()),
                None => "no registrar answers".to_owned(),
            };
            say(false, what, &why);
            false
        }
        Ok(_) | Err(_) => {
            say(false, what, "no registrar answers");
            false
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "driver: measures a round trip")]
fn now() -> Instant {
    Instant::now()
}
