//! A baresip softphone without sound hardware: it plays WAV files and records what it hears.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use control::cli::caller::line::{
    EVENT_CAPACITY, Line, LineEvent, LineOrder, ORDER_CAPACITY, ServerCall,
};
use fixtures::wav::Wav;
use media::dsp::resample::Resampler;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::server::{Server, free_tcp_port, free_udp_port, peer};

/// A codec as baresip names it, with the rate and channels its sound files need.
#[derive(Clone, Copy, Debug)]
pub struct PhoneCodec {
    /// Name, RTP clock and channels for the account line.
    pub account: &'static str,
    /// Sample rate of source files in Hz.
    pub rate: u32,
    /// Channels of source files.
    pub channels: u16,
}

/// The codecs an agent must answer with.
pub const CODECS: [PhoneCodec; 4] = [
    PhoneCodec {
        account: "PCMU/8000/1",
        rate: 8_000,
        channels: 1,
    },
    PhoneCodec {
        account: "PCMA/8000/1",
        rate: 8_000,
        channels: 1,
    },
    PhoneCodec {
        account: "G722/16000/1",
        rate: 16_000,
        channels: 1,
    },
    PhoneCodec {
        account: "opus/48000/2",
        rate: 48_000,
        channels: 2,
    },
];

/// Silence behind each line, longer than any agent talks: the phone must keep sending.
const TAIL: Duration = Duration::from_secs(90);
/// Tries to start a phone.
const STARTS_MAX: u32 = 4;

/// A running softphone; killed when dropped.
pub struct Phone {
    child: Child,
    control: TcpStream,
    folder: Arc<TempDir>,
    codec: PhoneCodec,
    sip: u16,
    files: u32,
}

impl Phone {
    /// Starts a phone that will call with `codec` only.
    pub async fn start(codec: PhoneCodec) -> Self {
        Self::start_with(codec, "").await
    }

    /// As [`Self::start`], with further account parameters such as `;mediaenc=srtp-mand`.
    pub async fn start_with(codec: PhoneCodec, account: &str) -> Self {
        Self::start_playing(codec, account, &[]).await
    }

    /// As [`Self::start_with`], saying `pcm` (16 kHz) in every call.
    pub async fn start_playing(codec: PhoneCodec, account: &str, pcm: &[i16]) -> Self {
        // A port that was free may be somebody else's by the time the phone binds it.
        let mut said = String::new();
        for _ in 0..STARTS_MAX {
            match Self::try_start(codec, account, pcm).await {
                Ok(phone) => return phone,
                Err(log) => said = log,
            }
        }
        panic!("baresip's control port did not open, {STARTS_MAX} times:\n{said}");
    }

    async fn try_start(codec: PhoneCodec, account: &str, pcm: &[i16]) -> Result<Self, String> {
        let folder = Arc::new(tempfile::tempdir().expect("scratch folder"));
        let dir = folder.path();
        let sip = free_udp_port();
        let control_port = free_tcp_port();
        fs::create_dir(dir.join("rec")).expect("folder");
        fs::write(dir.join("contacts"), "").expect("contacts");
        write_wav(&dir.join("silence.wav"), pcm, codec);
        fs::write(
            dir.join("accounts"),
            format!(
                "<sip:caller@127.0.0.1:{sip}>;regint=0;answermode=auto;audio_codecs={}{account}\n",
                codec.account
            ),
        )
        .expect("accounts");
        let rtp = 12_000 + (sip % 3000) * 2;
        let dir_name = dir.display();
        let modules = module_folder();
        fs::write(
            dir.join("config"),
            format!(
                "sip_listen 127.0.0.1:{sip}\nnet_interface 127.0.0.1\nrtp_ports {rtp}-{}\n\
                 audio_source aufile,{dir_name}/silence.wav\naudio_player aubridge,null1\n\
                 snd_path {dir_name}/rec\nmodule_path {}\nmodule g711.so\nmodule g722.so\n\
                 module opus.so\nmodule srtp.so\nmodule aufile.so\nmodule aubridge.so\nmodule sndfile.so\n\
                 module_tmp account.so\nmodule_app menu.so\nmodule_app ctrl_tcp.so\n\
                 ctrl_tcp_listen 127.0.0.1:{control_port}\nrtp_stats yes\n",
                rtp + 40,
                modules.display()
            ),
        )
        .expect("config");
        let log = fs::File::create(dir.join("baresip.log")).expect("log");
        let mut child = Command::new(peer("baresip"))
            .arg("-f")
            .arg(dir)
            .args(["-v", "-s", "-t", "300"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("log"))
            .stderr(log)
            .spawn()
            .expect("baresip starts");
        let Some(control) = connect(control_port).await else {
            let _ = child.kill();
            let _ = child.wait();
            return Err(fs::read_to_string(dir.join("baresip.log")).unwrap_or_default());
        };
        Ok(Self {
            child,
            control,
            folder,
            codec,
            sip,
            files: 0,
        })
    }

    /// Calls an agent; the line is up when the agent has answered.
    pub async fn dial(self, agent: &str, server: &Server) -> (Line, PhoneRecords) {
        let target = format!("sip:{agent}@{}", server.sip_address());
        self.dial_uri(&target, server).await
    }

    /// As [`Self::dial`], by this URI.
    pub async fn dial_uri(mut self, target: &str, server: &Server) -> (Line, PhoneRecords) {
        let records = PhoneRecords {
            folder: Arc::clone(&self.folder),
            pid: self.child.id(),
        };
        self.command("dial", target).await;
        loop {
            let message = self.message().await;
            match message["type"].as_str() {
                Some("CALL_ESTABLISHED") => break,
                Some("CALL_CLOSED") => panic!("the call was refused: {message}\n{}", self.log()),
                _ => {}
            }
        }
        let id = server
            .wait_for(
                "the call's record",
                Duration::from_secs(30),
                async |server| {
                    let calls = server.get("/v1/calls?limit=1").await;
                    calls["calls"][0]["id"].as_str().map(str::to_owned)
                },
            )
            .await;
        let view = control::cli::caller::server_view::ServerView::new(
            server.url().parse().expect("address"),
            server.token(),
        );
        let agent_events = view.follow(&id);
        let (orders_in, orders) = mpsc::channel(ORDER_CAPACITY);
        let (events_in, events) = mpsc::channel(EVENT_CAPACITY);
        tokio::spawn(self.run(orders, events_in, agent_events));
        let line = Line {
            server_call: ServerCall::Id(id),
            orders: orders_in,
            events,
        };
        (line, records)
    }

    /// Where it can be called.
    pub fn uri(&self) -> String {
        format!("sip:caller@127.0.0.1:{}", self.sip)
    }

    /// Calls a URI without waiting.
    pub async fn call(&mut self, target: &str) {
        self.command("dial", target).await;
    }

    /// Hangs up.
    pub async fn hang_up(&mut self) {
        self.command("hangup", "").await;
    }

    /// Waits for an event of this type.
    pub async fn wait_for(&mut self, event: &str) {
        let wanted = async {
            loop {
                let message = self.message().await;
                if message["type"] == event {
                    return;
                }
            }
        };
        let limit = Duration::from_secs(30);
        if tokio::time::timeout(limit, wanted).await.is_err() {
            panic!("no {event}\n{}", self.log());
        }
    }

    /// Ends the phone; what it recorded is complete then.
    pub async fn quit(mut self) -> PhoneRecords {
        let records = PhoneRecords {
            folder: Arc::clone(&self.folder),
            pid: self.child.id(),
        };
        self.command("quit", "").await;
        for _ in 0..200 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        records
    }

    /// Sends one command of baresip's control protocol (netstrings of JSON).
    async fn command(&mut self, command: &str, params: &str) {
        let text = json!({"command": command, "params": params}).to_string();
        let framed = format!("{}:{text},", text.len());
        self.control
            .write_all(framed.as_bytes())
            .await
            .expect("baresip takes commands");
    }

    /// Reads the next message of the control protocol. Cancel safe only between messages.
    async fn message(&mut self) -> Value {
        let mut len = 0_usize;
        loop {
            match self.control.read_u8().await.expect("baresip talks") {
                b':' => break,
                digit => len = len * 10 + usize::from(digit - b'0'),
            }
        }
        let mut text = vec![0; len + 1];
        self.control.read_exact(&mut text).await.expect("message");
        text.pop();
        serde_json::from_slice(&text).unwrap_or(Value::Null)
    }

    async fn run(
        mut self,
        mut orders: mpsc::Receiver<LineOrder>,
        events: mpsc::Sender<LineEvent>,
        mut agent: mpsc::Receiver<Value>,
    ) {
        let mut ticks = interval(Duration::from_millis(20));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut agent_speaks = false;
        let mut said_at: Option<Instant> = None;
        loop {
            tokio::select! {
                at = ticks.tick() => {
                    if said_at.is_some_and(|said| at >= said) {
                        said_at = None;
                        let _ = events.send(LineEvent::Said { at: at.into_std() }).await;
                    }
                    // The softphone does not tell what it hears; the server tells when it speaks.
                    let voice = if agent_speaks { 1.0 } else { 0.0 };
                    let _ = events.send(LineEvent::Heard { voice, at: at.into_std() }).await;
                }
                Some(event) = agent.recv() => match event["type"].as_str() {
                    Some("agent_speaking") => agent_speaks = true,
                    Some("turn") if event["speaker"] == "agent" => agent_speaks = false,
                    Some("ended") => break,
                    _ => {}
                },
                order = orders.recv() => match order {
                    Some(LineOrder::Speak(pcm)) => {
                        self.files += 1;
                        let path = self.folder.path().join(format!("line{}.wav", self.files));
                        write_wav(&path, &pcm, self.codec);
                        self.command("ausrc", &format!("aufile,{}", path.display())).await;
                        let ms = pcm.len() as u64 / 16;
                        said_at = Some(Instant::now() + Duration::from_millis(ms));
                    }
                    Some(LineOrder::Digits(digits)) => {
                        for key in digits.chars() {
                            self.command("sndcode", &key.to_string()).await;
                            tokio::time::sleep(Duration::from_millis(250)).await;
                        }
                        said_at = Some(Instant::now());
                    }
                    Some(LineOrder::HangUp) | None => {
                        self.command("hangup", "").await;
                        break;
                    }
                },
            }
        }
        // Lets the softphone write its files and say goodbye before it is killed.
        self.command("quit", "").await;
        for _ in 0..100 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let how = "the call is over".to_owned();
        let failed = false;
        let _ = events.send(LineEvent::Ended { how, failed }).await;
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("baresip.log")).unwrap_or_default()
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the softphone recorded.
pub struct PhoneRecords {
    folder: Arc<TempDir>,
    pid: u32,
}

impl PhoneRecords {
    /// What it heard, as mono PCM and its rate.
    pub fn heard(&self) -> (Vec<i16>, u32) {
        self.read("-dec.wav")
    }

    /// Kills the phone in the middle of whatever it does.
    pub fn vanish(&self) {
        let status = Command::new("kill")
            .args(["-9", &self.pid.to_string()])
            .status()
            .expect("kill");
        assert!(status.success());
    }

    fn read(&self, ending: &str) -> (Vec<i16>, u32) {
        let folder = self.folder.path().join("rec");
        let path = fs::read_dir(&folder)
            .expect("recordings")
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.to_string_lossy().ends_with(ending))
            .unwrap_or_else(|| panic!("no recording {ending} in {}", folder.display()));
        let recording = Wav::read(&path).expect("recording");
        (recording.channels[0].clone(), recording.rate)
    }
}

async fn connect(port: u16) -> Option<TcpStream> {
    for _ in 0..200 {
        if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)).await {
            return Some(stream);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    None
}

/// `pcm` (16 kHz mono) as a file of the codec's rate and channels, silence behind it.
fn write_wav(path: &Path, pcm: &[i16], codec: PhoneCodec) {
    let mut samples =
        Resampler::convert(16_000, codec.rate, pcm).expect("a rate the resampler knows");
    samples.resize(
        samples.len() + codec.rate as usize * TAIL.as_secs() as usize,
        0,
    );
    let file = Wav {
        rate: codec.rate,
        channels: vec![samples; usize::from(codec.channels)],
    };
    file.write(path).expect("sound file");
}

fn module_folder() -> PathBuf {
    ["/usr/lib/baresip/modules", "/usr/local/lib/baresip/modules"]
        .iter()
        .map(PathBuf::from)
        .find(|path| path.join("g711.so").is_file())
        .expect("baresip's modules")
}
