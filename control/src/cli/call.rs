//! `samvad call`: calls an agent, speaks, listens, and tells how it went.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use url::Url;

use super::caller::carrier_stream::{self, CarrierCall, CarrierKind};
use super::caller::dialogue::Patience;
use super::caller::report::{self, Style};
use super::caller::script::{Line as ScriptLine, Script};
use super::caller::server_view::ServerView;
use super::caller::sip_line::{self, SipCall};
use super::caller::speech::{self, SpokenScript};
use super::caller::{CallReport, Caller};
use crate::config::{Config, Secret};

const DEFAULT_VOICE: &str = "rms";
const DEFAULT_CODEC: &str = "PCMU";
const DEFAULT_HTTP: &str = "http://127.0.0.1:8080";
const DEFAULT_FROM: &str = "+15550100";
/// The number that carriers' calls go to; the agent is chosen by the webhook's address.
const CARRIER_NUMBER: &str = "+15550199";

/// Arguments of `samvad call`.
#[derive(Clone, Debug, clap::Args)]
pub struct CallArgs {
    /// Agent id, called number, or a whole SIP URI
    pub target: String,
    /// How the call travels
    #[arg(long, value_enum, default_value_t = Via::Sip)]
    pub via: Via,
    /// What to say, from a script file (TOML with `[[lines]]`)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["say", "wav"])]
    pub script: Option<PathBuf>,
    /// A line to speak; repeat for more
    #[arg(long, value_name = "TEXT")]
    pub say: Vec<String>,
    /// A WAV file to play after the spoken lines; repeat for more
    #[arg(long, value_name = "FILE")]
    pub wav: Vec<PathBuf>,
    /// Speak the last line this long after the agent has begun its turn, for example 1500
    #[arg(long, value_name = "MS")]
    pub interrupt_after: Option<u64>,
    /// The caller's voice: slt, rms, awb or kal16
    #[arg(long, default_value = DEFAULT_VOICE)]
    pub voice: String,
    /// Codec to offer over SIP: PCMU, PCMA, G722 or opus
    #[arg(long, default_value = DEFAULT_CODEC)]
    pub codec: String,
    /// The server's HTTP address
    #[arg(long, value_name = "URL", default_value = DEFAULT_HTTP)]
    pub server: Url,
    /// The server's SIP address [default: 127.0.0.1 and the configured port]
    #[arg(long, value_name = "ADDRESS")]
    pub sip: Option<SocketAddr>,
    /// The caller's number
    #[arg(long, default_value = DEFAULT_FROM)]
    pub from: String,
    /// Twilio's auth token or Exotel's key:token, if the server asks for it
    #[arg(
        long,
        value_name = "SECRET",
        env = "SAMVAD_CALL_SECRET",
        hide_env_values = true
    )]
    pub secret: Option<String>,
    /// Save both directions as the caller heard them: left said, right heard
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// File with the server's API token [default: admin.token in the data folder]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Print the record as JSON instead of a live view
    #[arg(long)]
    pub json: bool,
}

/// How a call travels.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Via {
    /// SIP and RTP.
    Sip,
    /// Twilio's answer webhook and media stream.
    Twilio,
    /// Exotel's answer webhook and voice stream.
    Exotel,
}

/// A call to be placed, everything decided.
#[derive(Clone, Debug)]
pub struct CallOptions {
    /// Agent id, called number, or a whole SIP URI.
    pub target: String,
    /// How the call travels.
    pub via: Via,
    /// What is said.
    pub script: Script,
    /// The caller's voice.
    pub voice: String,
    /// Codec offered over SIP.
    pub codec: String,
    /// The server's HTTP address, for carriers' webhooks.
    pub http: Url,
    /// The server's SIP address.
    pub sip: SocketAddr,
    /// The caller's number.
    pub from: String,
    /// What the server expects of a carrier.
    pub secret: Option<Secret>,
    /// Where the caller's recording goes.
    pub record: Option<PathBuf>,
    /// A look into the server's records.
    pub server: Option<ServerView>,
    /// Whether the call is shown while it runs.
    pub live: bool,
}

impl CallOptions {
    /// A call over SIP in PCMU, shown while it runs.
    #[must_use]
    pub fn sip(target: &str, sip: SocketAddr, script: Script, server: Option<ServerView>) -> Self {
        Self {
            target: target.to_owned(),
            via: Via::Sip,
            script,
            voice: DEFAULT_VOICE.to_owned(),
            codec: DEFAULT_CODEC.to_owned(),
            http: default_http(),
            sip,
            from: DEFAULT_FROM.to_owned(),
            secret: None,
            record: None,
            server,
            live: true,
        }
    }

    fn new(args: CallArgs, config: &Config) -> anyhow::Result<Self> {
        let script = script_of(&args)?;
        let server = match &args.token_file {
            Some(path) => Some(ServerView::from_token_file(args.server.clone(), path)?),
            None => ServerView::for_server(args.server.clone(), config).ok(),
        };
        Ok(Self {
            script,
            sip: args.sip.unwrap_or_else(|| loopback(config)),
            target: args.target,
            via: args.via,
            voice: args.voice,
            codec: args.codec,
            http: args.server,
            from: args.from,
            secret: args.secret.map(Secret::new),
            record: args.record,
            server,
            live: !args.json,
        })
    }
}

/// Places one call and reports how it went; the exit code is 1 when anything went wrong.
///
/// # Errors
/// When the call cannot be placed.
pub fn run(args: CallArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let options = CallOptions::new(args, config)?;
    let live = options.live;
    let report = runtime.block_on(place(options))?;
    if live {
        print_summary(&report, &config.recordings_dir(), style());
    } else {
        print_json(&report);
    }
    Ok(if report.faults.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Places one call and talks to its end.
///
/// # Errors
/// When the script cannot be spoken or the line does not come up.
pub async fn place(options: CallOptions) -> anyhow::Result<CallReport> {
    let tts = speech::embedded_voice()?;
    let speech = SpokenScript::render(&options.script, tts.as_ref(), &options.voice).await?;
    let carrier = |kind| CarrierCall {
        kind,
        server: options.http.clone(),
        agent: options.target.clone(),
        from: options.from.clone(),
        to: CARRIER_NUMBER.to_owned(),
        secret: options.secret.clone(),
        record: options.record.clone(),
    };
    let line = match options.via {
        Via::Sip => {
            sip_line::dial(SipCall {
                target: options.target.clone(),
                server: options.sip,
                from: options.from.clone(),
                codec: options.codec.clone(),
                record: options.record.clone(),
            })
            .await?
        }
        Via::Twilio => carrier_stream::dial(carrier(CarrierKind::Twilio)).await?,
        Via::Exotel => carrier_stream::dial(carrier(CarrierKind::Exotel)).await?,
    };
    let caller = Caller {
        script: options.script,
        speech,
        patience: Patience::default(),
        server: options.server,
        live: options.live.then(style),
    };
    Ok(caller.talk(line).await)
}

/// The waterfall of each turn, the caller's own measurement, and what went wrong. `recordings` is
/// the server's folder if it runs on this machine.
#[expect(clippy::print_stdout, reason = "the command line talks to its user")]
pub fn print_summary(report: &CallReport, recordings: &Path, style: Style) {
    if let Some(record) = &report.record {
        println!();
        print!("{}", report::waterfall(record, style));
        println!();
        println!(
            "outcome: {}",
            record["outcome"]["reason"].as_str().unwrap_or("?")
        );
        if let Some(total) = record["bill"]["total"].as_str() {
            let currency = record["bill"]["currency"].as_str().unwrap_or_default();
            println!("cost: {total} {currency}");
            for item in record["bill"]["items"].as_array().into_iter().flatten() {
                println!(
                    "  {:<10} {:<16} {:>8} {}s  {}",
                    item["service"].as_str().unwrap_or_default(),
                    item["provider"].as_str().unwrap_or_default(),
                    item["units"],
                    item["unit"].as_str().unwrap_or_default(),
                    item["cost"].as_str().unwrap_or_default(),
                );
            }
        }
        if let Some(file) = record["recording"]["file"].as_str() {
            let path = recordings.join(file);
            // The server may run elsewhere, with folders of its own.
            if path.exists() {
                println!("recording: {}", path.display());
            } else {
                println!("recording: {file} on the server");
            }
        }
    }
    println!("{}", report::response_summary(&report.response_times));
    println!("end: {}", report.how);
    for fault in &report.faults {
        println!("{}", style.bold(&format!("fault: {fault}")));
    }
}

#[expect(clippy::print_stdout, reason = "the command line talks to its user")]
fn print_json(report: &CallReport) {
    let times: Vec<u128> = report
        .response_times
        .iter()
        .map(Duration::as_millis)
        .collect();
    println!(
        "{}",
        serde_json::json!({
            "end": report.how,
            "faults": report.faults,
            "response_times_ms": times,
            "record": report.record,
        })
    );
}

/// Colours on a terminal only.
#[must_use]
pub fn style() -> Style {
    Style {
        colour: std::io::stdout().is_terminal(),
    }
}

fn script_of(args: &CallArgs) -> anyhow::Result<Script> {
    let mut script = match &args.script {
        Some(path) => Script::load(path)?,
        None => Script {
            lines: args
                .say
                .iter()
                .map(|text| ScriptLine {
                    say: Some(text.clone()),
                    ..ScriptLine::default()
                })
                .chain(args.wav.iter().map(|path| ScriptLine {
                    wav: Some(path.clone()),
                    ..ScriptLine::default()
                }))
                .collect(),
            ..Script::default()
        },
    };
    if let Some(after) = args.interrupt_after {
        let last = script
            .lines
            .last_mut()
            .context("--interrupt-after needs a line to speak: give --say, --wav or --script")?;
        last.interrupt_after_ms = Some(after);
    }
    Ok(script)
}

fn default_http() -> Url {
    Url::parse(DEFAULT_HTTP).expect("the default is an address")
}

fn loopback(config: &Config) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], config.sip.bind.port()))
}
