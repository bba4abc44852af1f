//! The embedded voice and recogniser: words wrong over the telephone, speed and memory.
//!
//! `cargo bench -p benches --features local-speech --bench local_speech`
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a measurement prints its result, stops at the first error and reads the clock"
)]

#[path = "../../pipeline/tests/local_speech/telephone.rs"]
mod telephone;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use media::frame::{FRAME_RATE, FRAME_SAMPLES, Frame, SamplePosition};
use pipeline::local::band_fill::BandFillMode;
use pipeline::local::flite::{FliteConfig, FliteVoice};
use pipeline::local::pocketsphinx::{PocketsphinxConfig, PocketsphinxRecogniser};
use pipeline::stt::{
    RecognitionHints, SpeechToText, SttCommand, SttEvent, SttRequest, SttStream, UtteranceId,
};
use pipeline::tts::{TextToSpeech, TtsEvent, TtsRequest};

/// A grammar and lines it allows.
struct Topic {
    name: &'static str,
    grammar: &'static str,
    lines: [&'static str; 8],
}

const TOPICS: [Topic; 5] = [
    Topic {
        name: "yes/no",
        grammar: "public <a> = yes | no | yes please | no thanks | not now | sure | that's right \
            | correct;",
        lines: [
            "yes",
            "no",
            "yes please",
            "no thanks",
            "not now",
            "sure",
            "that's right",
            "correct",
        ],
    },
    Topic {
        name: "digits",
        grammar: "public <n> = <d>+; <d> = zero | oh | one | two | three | four | five | six \
            | seven | eight | nine;",
        lines: [
            "one two three four",
            "five six seven eight",
            "nine zero two six",
            "four seven one three",
            "eight eight two five zero nine",
            "seven",
            "three three one",
            "six oh four nine two one seven",
        ],
    },
    Topic {
        name: "dates",
        grammar: "public <n> = [on] (<m> <o> | the <o> of <m> | next <w> | <w> | tomorrow | today); \
            <w> = monday | tuesday | wednesday | thursday | friday | saturday | sunday; \
            <m> = january | february | march | april | may | june | july | august | september \
            | october | november | december; \
            <o> = first | second | third | fourth | fifth | sixth | seventh | eighth | ninth \
            | tenth | eleventh | twelfth | thirteenth | fourteenth | fifteenth | sixteenth \
            | seventeenth | eighteenth | nineteenth | twentieth | twenty first | twenty second \
            | twenty third | thirtieth | thirty first;",
        lines: [
            "march fifth",
            "the twenty third of june",
            "next tuesday",
            "december thirty first",
            "on friday",
            "tomorrow",
            "october twelfth",
            "the second of may",
        ],
    },
    Topic {
        name: "times",
        grammar: "public <t> = [at] (<h> [<m>] (a.m. | p.m. | o'clock) | half past <h> \
            | quarter (to | past) <h> | noon | midnight); \
            <h> = one | two | three | four | five | six | seven | eight | nine | ten | eleven \
            | twelve; <m> = thirty | fifteen | forty five | twenty | ten;",
        lines: [
            "ten thirty a.m.",
            "at three p.m.",
            "quarter past nine",
            "half past six",
            "five o'clock",
            "noon",
            "eleven fifteen a.m.",
            "at seven forty five p.m.",
        ],
    },
    Topic {
        name: "names",
        grammar: "public <n> = [my name is] (john smith | mary johnson | david brown \
            | sarah wilson | michael jones | anita desai | robert taylor | linda martin \
            | peter parker | meenakshi iyer | venkatesh rao | priyanka gupta | thomas hall \
            | nancy young);",
        lines: [
            "my name is john smith",
            "anita desai",
            "michael jones",
            "meenakshi iyer",
            "my name is thomas hall",
            "venkatesh rao",
            "peter parker",
            "priyanka gupta",
        ],
    },
];

const SPEAKERS: [&str; 3] = ["slt", "rms", "awb"];

/// One row of the table of wrong words.
struct Condition {
    label: &'static str,
    band_fill: BandFillMode,
    over_telephone: bool,
    /// Whether one call says all lines of a topic, or each line is a call's first.
    same_call: bool,
}

const CONDITIONS: [Condition; 4] = [
    Condition {
        label: "16 kHz",
        band_fill: BandFillMode::Auto,
        over_telephone: false,
        same_call: true,
    },
    Condition {
        label: "telephone, band not filled",
        band_fill: BandFillMode::Never,
        over_telephone: true,
        same_call: true,
    },
    Condition {
        label: "telephone, band filled",
        band_fill: BandFillMode::Auto,
        over_telephone: true,
        same_call: true,
    },
    Condition {
        label: "telephone, band filled, first answer of a call",
        band_fill: BandFillMode::Auto,
        over_telephone: true,
        same_call: false,
    },
];

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    memory().await;
    let voice = FliteVoice::new(&FliteConfig::default()).unwrap();
    first_audio(&voice).await;
    for condition in CONDITIONS {
        words_wrong(&voice, condition).await;
    }
}

async fn memory() {
    let before = resident_kib();
    let recogniser = recogniser(BandFillMode::Auto, 4);
    let first = resident_kib() - before;
    println!("memory: lexicon and first decoder {first} KiB");
    let mut streams = Vec::new();
    for count in 1..=4 {
        let before = resident_kib();
        let mut stream = open(&recogniser, TOPICS[2].grammar).await;
        start(&mut stream, 1, &[500; FRAME_RATE as usize]).await;
        while recogniser.statistics().slots_created < count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let more = resident_kib() - before;
        println!("  caller {count} speaks: {more} KiB more");
        streams.push(stream);
    }
}

async fn first_audio(voice: &FliteVoice) {
    println!("first audio and whole synthesis, median of 9");
    for name in ["slt", "rms", "awb", "kal16"] {
        for text in [
            "Yes.",
            "Your table is booked for two people.",
            "Your table is booked for two people at ten thirty on Friday, and we will send you \
             a message with the address and the name of your host a day before you come.",
        ] {
            let mut times = Vec::new();
            let mut seconds = 0.0;
            for _ in 0..9 {
                let begun = Instant::now();
                let (first, samples) = listen(voice, name, text).await;
                times.push((first, begun.elapsed()));
                seconds = samples.len() as f64 / f64::from(FRAME_RATE);
            }
            times.sort();
            let (first, whole) = times[4];
            let rtf = whole.as_secs_f64() / seconds;
            println!(
                "  {name:5} {seconds:4.1} s: first {first:6.1?}, whole {whole:6.1?}, RTF {rtf:.4}"
            );
        }
    }
}

async fn words_wrong(voice: &FliteVoice, condition: Condition) {
    let recogniser = recogniser(condition.band_fill, 1);
    let (mut wrong, mut total) = (0, 0);
    let mut finals = Vec::new();
    print!("{}:", condition.label);
    for topic in &TOPICS {
        let (mut topic_wrong, mut topic_total) = (0, 0);
        for speaker in SPEAKERS {
            let mut stream = open(&recogniser, topic.grammar).await;
            for (id, line) in topic.lines.iter().enumerate() {
                if !condition.same_call {
                    stream = open(&recogniser, topic.grammar).await;
                }
                let said = line.replace("a.m.", "a m").replace("p.m.", "p m");
                let (_, speech) = listen(voice, speaker, &said).await;
                let mut samples = vec![0; 4_800];
                samples.extend(if condition.over_telephone {
                    telephone::through_mu_law(&speech)
                } else {
                    speech
                });
                samples.extend([0; 3_200]);
                let (heard, finish) = recognise(&mut stream, id as u64, &samples).await;
                finals.push(finish);
                let expected: Vec<&str> = line.split(' ').collect();
                let heard: Vec<&str> = heard.split_whitespace().collect();
                topic_wrong += distance(&expected, &heard);
                topic_total += expected.len();
            }
        }
        print!(" {} {topic_wrong}/{topic_total}", topic.name);
        wrong += topic_wrong;
        total += topic_total;
    }
    finals.sort();
    println!(
        "; all {:.1} %, finish to final p50 {:.1?} p95 {:.1?}",
        100.0 * wrong as f64 / total as f64,
        finals[finals.len() / 2],
        finals[finals.len() * 95 / 100],
    );
}

fn recogniser(band_fill: BandFillMode, slots: usize) -> PocketsphinxRecogniser {
    PocketsphinxRecogniser::new(PocketsphinxConfig {
        band_fill,
        slots_max: NonZeroUsize::new(slots).unwrap(),
        ..PocketsphinxConfig::default()
    })
    .unwrap()
}

async fn open(recogniser: &PocketsphinxRecogniser, grammar: &str) -> SttStream {
    let hints = RecognitionHints {
        grammar: Some(Arc::from(grammar)),
        ..RecognitionHints::default()
    };
    let request = SttRequest {
        language: "en-US".to_owned(),
        hints: Arc::new(hints),
    };
    recogniser.open(request).await.unwrap()
}

async fn start(stream: &mut SttStream, id: u64, samples: &[i16]) {
    let now = Instant::now();
    let position = SamplePosition::default();
    let utterance = UtteranceId(id);
    let begin = SttCommand::Start {
        utterance,
        position,
    };
    stream.commands.send(begin).await.unwrap();
    for chunk in samples.chunks_exact(FRAME_SAMPLES) {
        let mut frame = Frame::silence(position, now);
        frame.samples.copy_from_slice(chunk);
        stream
            .commands
            .send(SttCommand::Audio(frame))
            .await
            .unwrap();
    }
}

/// Text, and the time from the finish to it when the audio had come at its own pace.
async fn recognise(stream: &mut SttStream, id: u64, samples: &[i16]) -> (String, Duration) {
    start(stream, id, samples).await;
    // Lets the decoder catch up, as it would have in real time.
    tokio::time::sleep(Duration::from_millis(150)).await;
    let begun = Instant::now();
    let utterance = UtteranceId(id);
    let finish = SttCommand::Finish { utterance };
    stream.commands.send(finish).await.unwrap();
    loop {
        match stream.events.recv().await.unwrap() {
            SttEvent::Final { text, .. } => return (text, begun.elapsed()),
            SttEvent::Partial { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn listen(voice: &FliteVoice, name: &str, text: &str) -> (Duration, Vec<i16>) {
    let request = TtsRequest {
        text: text.to_owned(),
        voice: name.to_owned(),
        language: "en-US".to_owned(),
        speed: 1.0,
    };
    let begun = Instant::now();
    let mut events = voice.synthesize(request).await.unwrap();
    let (mut first, mut samples) = (None, Vec::new());
    while let Some(event) = events.recv().await {
        if let TtsEvent::Audio(piece) = event {
            first.get_or_insert_with(|| begun.elapsed());
            samples.extend_from_slice(&piece);
        }
    }
    (first.unwrap(), samples)
}

/// Words to insert, delete or replace to come from one line to the other.
fn distance(expected: &[&str], heard: &[&str]) -> usize {
    let mut row: Vec<usize> = (0..=heard.len()).collect();
    for (i, word) in expected.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in heard.iter().enumerate() {
            let replaced = diagonal + usize::from(word != other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[heard.len()]
}

fn resident_kib() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
