//! Callers by sipp.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use benches::process;
use fixtures::wav::Wav;
use media::codec::{Codec, OpusSettings};
use media::dsp::resample::Resampler;

/// Calls per sipp process: beyond that one generator could be the limit.
const CALLS_PER_PROCESS: u32 = 200;
/// First port for the callers' own RTP; sipp takes two per process. Below the server's range.
const RTP_PORT_FIRST: u16 = 10_000;
/// How long after its calls a sipp process gives up by itself.
const GIVE_UP_AFTER: Duration = Duration::from_secs(45);
/// Mu-law for silence (G.711).
const SILENCE: u8 = 0xff;
/// Sample rate of mu-law.
const RATE: u32 = 8_000;
/// The name the scenario file has for the audio.
const AUDIO_KEY: &str = "[audio]";

/// What callers play, over and over.
#[derive(Clone, Debug)]
pub(crate) enum Audio {
    /// Nothing.
    Silence,
    /// A sentence with pauses around it.
    Speech,
    /// Raw mu-law.
    File(PathBuf),
}

/// A folder from which calls are placed.
#[derive(Debug)]
pub(crate) struct Callers {
    folder: PathBuf,
    agent: String,
}

impl Callers {
    /// Writes scenario and audio into `folder`.
    pub(crate) fn new(folder: &Path, audio: &Audio, agent: &str) -> anyhow::Result<Self> {
        let bytes = match audio {
            Audio::Silence => vec![SILENCE; RATE as usize],
            Audio::Speech => speech()?,
            Audio::File(path) => fs::read(path).with_context(|| path.display().to_string())?,
        };
        let file = folder.join("caller.ul");
        fs::write(&file, bytes)?;
        // sipp reads the audio before it fills in keys, so the name must stand in the scenario.
        let scenario = fs::read_to_string(fixture("sipp/uac_talk.xml"))?;
        anyhow::ensure!(
            scenario.contains(AUDIO_KEY),
            "the scenario has no {AUDIO_KEY}"
        );
        let scenario = scenario.replace(AUDIO_KEY, &file.display().to_string());
        fs::write(folder.join("caller.xml"), scenario)?;
        Ok(Self {
            folder: folder.to_owned(),
            agent: agent.to_owned(),
        })
    }

    /// Begins `calls` calls of this length, `per_second` of them a second.
    pub(crate) fn place(
        &self,
        sip: &str,
        calls: u32,
        per_second: u32,
        length: Duration,
    ) -> anyhow::Result<RunningCallers> {
        let count = calls.div_ceil(CALLS_PER_PROCESS).max(1);
        let mut running = RunningCallers {
            children: Vec::new(),
        };
        let placing = Duration::from_secs(u64::from(calls.div_ceil(per_second.max(1))));
        let limit = (placing + length + GIVE_UP_AFTER).as_secs();
        for index in 0..count {
            let share = calls / count + u32::from(index < calls % count);
            let rtp_port = RTP_PORT_FIRST + 4 * u16::try_from(index)?;
            let child = Command::new("sipp")
                .current_dir(&self.folder)
                .arg(sip)
                .args(["-sf", "caller.xml", "-s", &self.agent])
                .args(["-i", "127.0.0.1", "-mi", "127.0.0.1"])
                .args(["-p", &free_udp_port()?.to_string()])
                .args(["-mp", &rtp_port.to_string()])
                .args(["-m", &share.to_string(), "-l", &share.to_string()])
                .args(["-r", &per_second.div_ceil(count).to_string()])
                .args(["-d", &length.as_millis().to_string()])
                .args(["-timeout", &limit.to_string()])
                .args(["-nostdin", "-trace_err", "-error_file"])
                .arg(format!("sipp-{index}.log"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .context("sipp does not start; it is in the package sip-tester")?;
            running.children.push(child);
        }
        Ok(running)
    }
}

/// sipp processes at work; killed when dropped.
#[derive(Debug)]
pub(crate) struct RunningCallers {
    children: Vec<Child>,
}

impl RunningCallers {
    /// CPU time of all processes; those that have ended count as zero.
    pub(crate) fn cpu_time(&self) -> Duration {
        self.children
            .iter()
            .filter_map(|child| process::cpu_time(child.id()).ok())
            .sum()
    }

    /// Waits until every process has ended. Gives how many ended with a failed call.
    pub(crate) fn wait(mut self, limit: Duration) -> anyhow::Result<usize> {
        let deadline = Instant::now() + limit;
        let mut failures = 0;
        for child in &mut self.children {
            let status = loop {
                if let Some(status) = child.try_wait()? {
                    break status;
                }
                anyhow::ensure!(Instant::now() < deadline, "sipp did not end in {limit:?}");
                sleep(Duration::from_millis(100));
            };
            failures += usize::from(!status.success());
        }
        Ok(failures)
    }
}

impl Drop for RunningCallers {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Three seconds of silence, a sentence, five seconds of silence.
fn speech() -> anyhow::Result<Vec<u8>> {
    let wav = Wav::read(fixture("audio/speech_16k.wav"))?;
    let voice = wav.channels.first().context("the fixture has a channel")?;
    let narrow = Resampler::convert(wav.rate, RATE, voice)?;
    let mut encoded = vec![0; narrow.len()];
    let mut encoder = Codec::Pcmu.encoder(&OpusSettings::default())?;
    let len = encoder.encode(&narrow, &mut encoded)?;
    let mut audio = vec![SILENCE; 3 * RATE as usize];
    audio.extend_from_slice(&encoded[..len]);
    audio.resize(audio.len() + 5 * RATE as usize, SILENCE);
    Ok(audio)
}

pub(crate) fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fixtures")
        .join(path)
}

pub(crate) fn free_udp_port() -> anyhow::Result<u16> {
    Ok(std::net::UdpSocket::bind("127.0.0.1:0")?
        .local_addr()?
        .port())
}
