//! Trains and measures the acoustic end-of-turn detector.
//!
//! ```text
//! cargo run -p benches --features local-speech --example end_of_turn -- --sounds DIR [--write]
//! ```
//!
//! `DIR` holds Debian's `asterisk-core-sounds-{en,es,fr,it,ru}-wav` and `asterisk-core-sounds-{...}`
//! packages, unpacked (`apt-get download`, `dpkg-deb -x`), with the transcripts gunzipped: people
//! who speak prompts, CC BY-SA 3.0 and CC BY 3.0. Nothing of them is kept in the repository.
//! Without `--sounds` only the embedded voice speaks. With `--write` the weights in
//! `pipeline/src/turn/acoustic/weights.rs` are replaced. The result is the same on every run.
#![expect(clippy::print_stdout, reason = "a measurement prints its result")]

mod examples;
mod operating_curve;
mod texts;
mod training;
mod voices;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use pipeline::turn::acoustic::SHIPPED;

use crate::examples::{Example, Split};

const WEIGHTS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../pipeline/src/turn/acoustic/weights.rs"
);

#[derive(Parser)]
struct Arguments {
    /// Unpacked Debian packages of prompts.
    #[arg(long)]
    sounds: Option<PathBuf>,
    /// Keeps what was heard in this file, and takes it from there when it exists: hearing takes
    /// minutes, training seconds.
    #[arg(long)]
    heard: Option<PathBuf>,
    /// Replace the shipped weights.
    #[arg(long)]
    write: bool,
    /// Measure the shipped weights instead of training.
    #[arg(long)]
    shipped: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let all = match &arguments.heard {
        Some(kept) if kept.exists() => serde_json::from_slice(&std::fs::read(kept)?)?,
        _ => hear(&arguments)?,
    };
    let of = |split: Split| -> Vec<&Example> { all.iter().filter(|e| e.split == split).collect() };
    let (train, held_out) = (of(Split::Train), of(Split::HeldOut));
    count("training", &train);
    count("held out", &held_out);
    let model = if arguments.shipped {
        SHIPPED
    } else {
        training::train_calibrated(&train)
    };
    training::report("training", &model, &train);
    let mut groups: Vec<&str> = held_out.iter().map(|e| e.speaker.as_str()).collect();
    groups.sort_unstable();
    groups.dedup();
    for speaker in groups {
        let own: Vec<&Example> = held_out
            .iter()
            .copied()
            .filter(|e| e.speaker == speaker)
            .collect();
        training::report(speaker, &model, &own);
    }
    training::report("all held out", &model, &held_out);
    training::calibration(&model, &held_out);
    operating_curve::print(&model, &held_out);
    if arguments.write {
        std::fs::write(WEIGHTS, training::source(&model)).context(WEIGHTS)?;
        println!("wrote {WEIGHTS}");
    }
    Ok(())
}

fn hear(arguments: &Arguments) -> anyhow::Result<Vec<Example>> {
    let mut all = voices::flite()?;
    if let Some(sounds) = &arguments.sounds {
        all.extend(voices::prompts(sounds)?);
    }
    if let Some(kept) = &arguments.heard {
        std::fs::write(kept, serde_json::to_vec(&all)?)?;
    }
    Ok(all)
}

fn count(name: &str, examples: &[&Example]) {
    let ends = examples.iter().filter(|e| e.is_end).count();
    println!("{name}: {ends} ends, {} pauses", examples.len() - ends);
}
