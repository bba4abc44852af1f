//! The turn-taking report: figures over all scenes, and the bars they are held to.

use std::fmt::Write as _;

use serde::Serialize;

use super::observe::{Observation, OverlapSeen, TurnSeen};
use super::scene::{KINDS, SceneKind};
use super::statistics::{Share, Spread};

/// A point of the operating curve.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct CurvePoint {
    /// Share of the shipped waits, in percent.
    pub patience: u32,
    /// Turns with pauses that were taken before their end.
    pub false_cutoffs: Share,
    /// From a turn's last sample to the moment it was taken.
    pub wait: Spread,
}

/// A bar and whether it holds.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Bar {
    /// What is asked.
    pub name: &'static str,
    /// What was measured.
    pub value: f64,
    /// What is asked for.
    pub bound: f64,
    /// Whether the value must not be below the bound, rather than not above it.
    pub at_least: bool,
    /// Whether it holds.
    pub holds: bool,
}

/// Figures of one kind of scene.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct KindFigures {
    /// The kind.
    pub kind: SceneKind,
    /// Scenes.
    pub scenes: u32,
    /// Turns taken before their end.
    pub cut_off: Share,
    /// Turns answered at all.
    pub answered: Share,
    /// Waits of turns that were not cut off.
    pub wait: Spread,
    /// Voice to voice of the same.
    pub voice_to_voice: Spread,
    /// What sounded over the agent and made it stop or answer.
    pub reacted: Share,
}

/// The whole report.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Scenes played.
    pub scenes: u32,
    /// Hours of telephone calls.
    pub hours: f64,
    /// Turns with pauses inside that were taken before their end.
    pub false_cutoffs: Share,
    /// The same, counting those in which the agent was heard.
    pub talked_into: Share,
    /// From a turn's last sample to the moment it was taken; turns of one breath and with pauses.
    pub wait: Spread,
    /// Digit strings and spelled answers taken before their end.
    pub dictation_cutoffs: Share,
    /// Interruptions that the agent yielded to (R_Y).
    pub yields: Share,
    /// From their onset to the last of the agent at the caller's ear (L_Y).
    pub yield_time: Spread,
    /// Backchannels that were ignored (S_BC).
    pub backchannels_ignored: Share,
    /// Of those ignored, how long the agent held its breath.
    pub backchannel_hold: Spread,
    /// Coughs, doors, keys that were ignored (S_VT).
    pub bursts_ignored: Share,
    /// Side talk that was ignored (S_ND).
    pub side_talk_ignored: Share,
    /// False stops, and those of them that the agent resumed from.
    pub false_stops_resumed: Share,
    /// Turns that were answered (R_R).
    pub answered: Share,
    /// The same over televisions and other talkers, and over noise.
    pub answered_over_background: Share,
    /// Turns after which more than 2 s were silent.
    pub dead_air: Share,
    /// From the caller's last sample to the agent at the caller's ear.
    pub voice_to_voice: Spread,
    /// Answers whose spans add up.
    pub spans_add_up: Share,
    /// Cut answers of which the model was told exactly what was heard; voices with word timings.
    pub heard_exact_timed: Share,
    /// The same for voices without.
    pub heard_exact_untimed: Share,
    /// The same, at most one word off.
    pub heard_near_untimed: Share,
    /// Cuts whose account agrees with the sound on the wire.
    pub account_agrees: Share,
    /// Echo scenes in which the agent interrupted itself after its echo was learnt.
    pub self_interrupted: Share,
    /// The same before.
    pub self_interrupted_early: Share,
    /// Takeovers found over an echo.
    pub echo_takeovers: Share,
    /// Requests to the model that were dropped: speculation that failed, and interruptions.
    pub requests_dropped: Share,
    /// By kind.
    pub kinds: Vec<KindFigures>,
    /// The operating curve.
    pub curve: Vec<CurvePoint>,
    /// The bars.
    pub bars: Vec<Bar>,
}

/// Turns whose end is a matter of the caller's words alone.
const JUDGED: [SceneKind; 2] = [SceneKind::Plain, SceneKind::Pauses];

fn turns<'a>(
    seen: &'a [Observation],
    kinds: &'a [SceneKind],
) -> impl Iterator<Item = &'a TurnSeen> + Clone {
    seen.iter()
        .filter(move |o| kinds.contains(&o.kind))
        .flat_map(|o| &o.turns)
}

fn overlaps<'a>(
    seen: &'a [Observation],
    kinds: &'a [SceneKind],
) -> impl Iterator<Item = &'a OverlapSeen> + Clone {
    seen.iter()
        .filter(move |o| kinds.contains(&o.kind))
        .flat_map(|o| &o.overlaps)
}

/// Turns with pauses, taken before their end; and waits.
#[must_use]
pub fn curve_point(patience: u32, seen: &[Observation]) -> CurvePoint {
    CurvePoint {
        patience,
        false_cutoffs: Share::count(turns(seen, &[SceneKind::Pauses]).map(|t| t.cut_off > 0)),
        wait: Spread::of(
            turns(seen, &JUDGED)
                .filter(|t| t.cut_off == 0)
                .filter_map(|t| t.wait_ms),
        ),
    }
}

impl Report {
    /// Adds up what was seen.
    #[must_use]
    pub fn new(seed: u64, seen: &[Observation], curve: Vec<CurvePoint>) -> Self {
        use SceneKind as K;
        let point = curve_point(100, seen);
        let all_turns = || seen.iter().flat_map(|o| &o.turns);
        let ignored = |kind| Share::count(overlaps(seen, &[kind]).map(|o| !o.reacted));
        let takeovers = [K::Takeover, K::StopWord];
        let false_stops = [K::Backchannel, K::Burst, K::SideTalk];
        let cuts = |timed| {
            seen.iter()
                .flat_map(|o| &o.cuts)
                .filter(move |c| c.word_timings == timed)
        };
        let (spans, bad) = seen
            .iter()
            .fold((0, 0), |(a, b), o| (a + o.spans.0, b + o.spans.1));
        let (requests, dropped) = seen
            .iter()
            .fold((0, 0), |(a, b), o| (a + o.requests.0, b + o.requests.1));
        let echo = || seen.iter().filter(|o| o.kind == K::Echo);
        let mut report = Self {
            seed,
            scenes: seen.len() as u32,
            hours: seen.iter().map(|o| o.length_ms).sum::<u64>() as f64 / 3.6e6,
            false_cutoffs: point.false_cutoffs,
            talked_into: Share::count(turns(seen, &[K::Pauses]).map(|t| t.talked_into)),
            wait: point.wait,
            dictation_cutoffs: Share::count(
                // The first turn of these scenes is a plain one.
                seen.iter()
                    .filter(|o| matches!(o.kind, K::Digits | K::Spelled))
                    .filter_map(|o| o.turns.get(1))
                    .map(|t| t.cut_off > 0),
            ),
            yields: Share::count(overlaps(seen, &takeovers).map(|o| o.yield_ms.is_some())),
            yield_time: Spread::of(overlaps(seen, &takeovers).filter_map(|o| o.yield_ms)),
            backchannels_ignored: ignored(K::Backchannel),
            backchannel_hold: Spread::of(
                overlaps(seen, &[K::Backchannel])
                    .filter(|o| !o.reacted)
                    .map(|o| o.held_ms),
            ),
            bursts_ignored: ignored(K::Burst),
            side_talk_ignored: ignored(K::SideTalk),
            false_stops_resumed: Share::count(
                overlaps(seen, &false_stops)
                    .filter(|o| o.reacted)
                    .map(|o| o.resumed),
            ),
            answered: Share::count(all_turns().map(|t| t.voice_to_voice_ms.is_some())),
            answered_over_background: Share::count(
                turns(seen, &[K::Talker, K::Noise]).map(|t| t.voice_to_voice_ms.is_some()),
            ),
            dead_air: Share::count(
                all_turns().map(|t| t.voice_to_voice_ms.is_none_or(|ms| ms > 2_000)),
            ),
            voice_to_voice: Spread::of(
                turns(seen, &JUDGED)
                    .filter(|t| t.cut_off == 0)
                    .filter_map(|t| t.voice_to_voice_ms),
            ),
            spans_add_up: Share {
                of: spans - bad,
                all: spans,
            },
            heard_exact_timed: Share::count(cuts(true).map(|c| c.words_off == 0)),
            heard_exact_untimed: Share::count(cuts(false).map(|c| c.words_off == 0)),
            heard_near_untimed: Share::count(cuts(false).map(|c| c.words_off.abs() <= 1)),
            account_agrees: Share::count(
                seen.iter().flat_map(|o| &o.cuts).filter_map(|c| c.account),
            ),
            self_interrupted: Share::count(echo().map(|o| o.self_interruptions.1 > 0)),
            self_interrupted_early: Share::count(echo().map(|o| o.self_interruptions.0 > 0)),
            echo_takeovers: Share::count(
                overlaps(seen, &[K::EchoTakeover]).map(|o| o.yield_ms.is_some()),
            ),
            requests_dropped: Share {
                of: dropped,
                all: requests,
            },
            kinds: KINDS
                .iter()
                .map(|kind| KindFigures::new(*kind, seen))
                .collect(),
            curve,
            bars: Vec::new(),
        };
        report.bars = report.bars();
        report
    }

    fn bars(&self) -> Vec<Bar> {
        let most = |name, value: Option<f64>, bound| bar(name, value, bound, false);
        let least = |name, value: Option<f64>, bound| bar(name, value, bound, true);
        let ms = |value: u64| Some(value as f64);
        [
            most("false cutoffs", self.false_cutoffs.value(), 0.05),
            most("mean wait, ms", Some(self.wait.mean), 540.0),
            most(
                "digit strings and spelled answers cut off",
                self.dictation_cutoffs.value(),
                0.05,
            ),
            least("R_Y, interruptions yielded to", self.yields.value(), 0.95),
            most("L_Y p50, ms", ms(self.yield_time.p50), 350.0),
            most("L_Y p95, ms", ms(self.yield_time.p95), 600.0),
            least(
                "S_BC, backchannels ignored",
                self.backchannels_ignored.value(),
                0.90,
            ),
            most("voice to voice p50, ms", ms(self.voice_to_voice.p50), 650.0),
            most(
                "voice to voice p95, ms",
                ms(self.voice_to_voice.p95),
                1_100.0,
            ),
            least("spans add up", self.spans_add_up.value(), 1.0),
            least(
                "heard text exact, voices with word timings",
                self.heard_exact_timed.value(),
                1.0,
            ),
            least(
                "heard text within a word, voices without",
                self.heard_near_untimed.value(),
                1.0,
            ),
            most(
                "self-interruptions over echo",
                self.self_interrupted.value(),
                0.0,
            ),
            least(
                "takeovers found over echo",
                self.echo_takeovers.value(),
                0.95,
            ),
            least(
                "answered over talkers and noise",
                self.answered_over_background.value(),
                0.95,
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Whether every bar holds.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.bars.iter().all(|bar| bar.holds)
    }

    /// The report for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "turn-taking, seed {}: {} scenes, {:.1} h of calls\n",
            self.seed, self.scenes, self.hours
        )?;
        writeln!(out, "false cutoffs               {}", self.false_cutoffs)?;
        writeln!(out, "  agent heard in the middle {}", self.talked_into)?;
        writeln!(out, "wait                        {}", self.wait)?;
        writeln!(
            out,
            "dictation cut off           {}",
            self.dictation_cutoffs
        )?;
        writeln!(out, "R_Y                         {}", self.yields)?;
        writeln!(out, "L_Y                         {}", self.yield_time)?;
        writeln!(
            out,
            "S_BC                        {}",
            self.backchannels_ignored
        )?;
        writeln!(out, "  breath held meanwhile     {}", self.backchannel_hold)?;
        writeln!(out, "S_VT                        {}", self.bursts_ignored)?;
        writeln!(
            out,
            "S_ND                        {}",
            self.side_talk_ignored
        )?;
        writeln!(
            out,
            "false stops resumed         {}",
            self.false_stops_resumed
        )?;
        writeln!(out, "R_R                         {}", self.answered)?;
        writeln!(
            out,
            "  over talkers and noise    {}",
            self.answered_over_background
        )?;
        writeln!(out, "dead air > 2 s              {}", self.dead_air)?;
        writeln!(out, "voice to voice              {}", self.voice_to_voice)?;
        writeln!(out, "spans add up                {}", self.spans_add_up)?;
        writeln!(
            out,
            "heard text, word timings    {}",
            self.heard_exact_timed
        )?;
        writeln!(
            out,
            "heard text, none: exact     {}",
            self.heard_exact_untimed
        )?;
        writeln!(
            out,
            "  within a word             {}",
            self.heard_near_untimed
        )?;
        writeln!(out, "account agrees with wire    {}", self.account_agrees)?;
        writeln!(out, "self-interruption (echo)    {}", self.self_interrupted)?;
        writeln!(
            out,
            "  in the first 3 s          {}",
            self.self_interrupted_early
        )?;
        writeln!(out, "takeovers over echo         {}", self.echo_takeovers)?;
        writeln!(out, "model requests dropped      {}", self.requests_dropped)?;
        writeln!(
            out,
            "\nby kind (cut off, answered, wait mean, v2v p50/p95, reacted)"
        )?;
        for k in &self.kinds {
            writeln!(
                out,
                "  {:14} {:5} {:>20} {:>20} {:7.0} {:5}/{:5} {:>20}",
                format!("{:?}", k.kind),
                k.scenes,
                k.cut_off.to_string(),
                k.answered.to_string(),
                k.wait.mean,
                k.voice_to_voice.p50,
                k.voice_to_voice.p95,
                k.reacted.to_string()
            )?;
        }
        if !self.curve.is_empty() {
            writeln!(out, "\npatience   false cutoffs          wait")?;
            for p in &self.curve {
                writeln!(
                    out,
                    "  {:3} %   {:>20}   {}",
                    p.patience,
                    p.false_cutoffs.to_string(),
                    p.wait
                )?;
            }
        }
        writeln!(out)?;
        for bar in &self.bars {
            let sign = if bar.at_least { ">=" } else { "<=" };
            let mark = if bar.holds { "holds " } else { "MISSED" };
            writeln!(
                out,
                "{mark} {:45} {:9.3} {sign} {}",
                bar.name, bar.value, bar.bound
            )?;
        }
        Ok(())
    }
}

fn bar(name: &'static str, value: Option<f64>, bound: f64, at_least: bool) -> Option<Bar> {
    let value = value?;
    Some(Bar {
        name,
        value,
        bound,
        at_least,
        holds: if at_least {
            value >= bound
        } else {
            value <= bound
        },
    })
}

impl KindFigures {
    fn new(kind: SceneKind, seen: &[Observation]) -> Self {
        let kinds = [kind];
        let turns = || turns(seen, &kinds);
        let whole = || turns().filter(|t| t.cut_off == 0);
        Self {
            kind,
            scenes: seen.iter().filter(|o| o.kind == kind).count() as u32,
            cut_off: Share::count(turns().map(|t| t.cut_off > 0)),
            answered: Share::count(turns().map(|t| t.voice_to_voice_ms.is_some())),
            wait: Spread::of(whole().filter_map(|t| t.wait_ms)),
            voice_to_voice: Spread::of(whole().filter_map(|t| t.voice_to_voice_ms)),
            reacted: Share::count(overlaps(seen, &kinds).map(|o| o.reacted)),
        }
    }
}
