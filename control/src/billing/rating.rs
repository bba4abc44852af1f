//! What usage costs: quantities are summed, brought to minimum and increment, multiplied with a
//! price version, and rounded once per line.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::money::round_half_even;

/// What is counted and priced.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Component {
    /// The line to the caller, in seconds.
    Telephony,
    /// This engine, in seconds.
    Platform,
    /// Speech to text, in seconds of audio.
    Stt,
    /// Tokens a model read.
    LlmInput,
    /// Tokens a model wrote.
    LlmOutput,
    /// Text to speech, in characters.
    Tts,
}

impl Component {
    /// All, in the order of a bill.
    pub const ALL: [Self; 6] = [
        Self::Telephony,
        Self::Platform,
        Self::Stt,
        Self::LlmInput,
        Self::LlmOutput,
        Self::Tts,
    ];

    /// Name in the configuration, the database and the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Telephony => "telephony",
            Self::Platform => "platform",
            Self::Stt => "stt",
            Self::LlmInput => "llm_input",
            Self::LlmOutput => "llm_output",
            Self::Tts => "tts",
        }
    }

    /// The component with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|component| component.name() == name)
    }

    /// What its quantities count.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Telephony | Self::Platform | Self::Stt => "second",
            Self::LlmInput | Self::LlmOutput => "token",
            Self::Tts => "character",
        }
    }
}

/// One version of a price; never changed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Price {
    /// Identifies the version.
    pub id: Uuid,
    /// What it is for.
    pub component: Component,
    /// Whose; `*` for all without one of their own.
    pub provider: String,
    /// Micros for `per_units` units.
    pub price: i64,
    /// Micros that the provider takes of us for as many.
    pub cost: i64,
    /// How many units the price is for.
    pub per_units: i64,
    /// Seconds are counted in whole increments.
    pub increment_s: i64,
    /// Fewest seconds counted.
    pub minimum_s: i64,
}

impl Price {
    /// The quantity that is billed. Milliseconds of seconds become whole increments, the last one
    /// full; other units stay what they are.
    #[must_use]
    pub fn billed(&self, quantity: i64) -> i64 {
        if quantity <= 0 {
            return 0;
        }
        if self.component.unit() != "second" {
            return quantity;
        }
        let seconds = (quantity.saturating_add(999) / 1000).max(self.minimum_s);
        let increment = self.increment_s.max(1);
        let increments = seconds.saturating_add(increment - 1) / increment;
        increments.saturating_mul(increment)
    }

    /// Price of a billed quantity, rounded once.
    #[must_use]
    pub fn amount(&self, billed: i64) -> i64 {
        rounded(billed, self.price, self.per_units)
    }

    /// Our own cost of a billed quantity, rounded once.
    #[must_use]
    pub fn cost(&self, billed: i64) -> i64 {
        rounded(billed, self.cost, self.per_units)
    }
}

fn rounded(quantity: i64, price: i64, per_units: i64) -> i64 {
    let exact = i128::from(quantity) * i128::from(price);
    i64::try_from(round_half_even(exact, i128::from(per_units))).unwrap_or(i64::MAX)
}

/// What one part of a call has used.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UsageLine {
    /// What.
    pub component: Component,
    /// Whose.
    pub provider: String,
    /// Milliseconds of what is counted in seconds; tokens; characters.
    pub quantity: i64,
}

/// A line of a bill.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RatedLine {
    /// What was used.
    pub usage: UsageLine,
    /// What of it is billed, in units.
    pub billed: i64,
    /// The price version; none where nothing is charged for the component.
    pub price: Option<Uuid>,
    /// Price, in micros.
    pub amount: i64,
    /// Our own cost, in micros.
    pub cost: i64,
}

/// The prices in force for one call, chosen when it began.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Tariff {
    prices: Vec<Price>,
}

impl Tariff {
    /// Of these prices.
    #[must_use]
    pub const fn new(prices: Vec<Price>) -> Self {
        Self { prices }
    }

    /// The price of a component of a provider.
    #[must_use]
    pub fn price(&self, component: Component, provider: &str) -> Option<&Price> {
        let of = |whose: &str| {
            let fits = |price: &&Price| price.component == component && price.provider == whose;
            self.prices.iter().find(fits)
        };
        of(provider).or_else(|| of("*"))
    }

    /// Rates usage: one line per component and provider, quantities summed first.
    #[must_use]
    pub fn rate(&self, usage: &[UsageLine]) -> Vec<RatedLine> {
        let mut sums: BTreeMap<(Component, &str), i64> = BTreeMap::new();
        for line in usage {
            let sum = sums.entry((line.component, &line.provider)).or_default();
            *sum = sum.saturating_add(line.quantity.max(0));
        }
        sums.into_iter()
            .filter(|&(_, quantity)| quantity > 0)
            .map(|((component, provider), quantity)| {
                let price = self.price(component, provider);
                let billed = price.map_or_else(
                    || match component.unit() {
                        "second" => quantity.saturating_add(999) / 1000,
                        _ => quantity,
                    },
                    |price| price.billed(quantity),
                );
                RatedLine {
                    usage: UsageLine {
                        component,
                        provider: provider.to_owned(),
                        quantity,
                    },
                    billed,
                    price: price.map(|price| price.id),
                    amount: price.map_or(0, |price| price.amount(billed)),
                    cost: price.map_or(0, |price| price.cost(billed)),
                }
            })
            .collect()
    }

    /// What usage costs by our price.
    #[must_use]
    pub fn total(&self, usage: &[UsageLine]) -> i64 {
        let lines = self.rate(usage);
        lines
            .iter()
            .fold(0, |sum: i64, line| sum.saturating_add(line.amount))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(component: Component, price: i64, per_units: i64, (min, inc): (i64, i64)) -> Price {
        Price {
            id: Uuid::nil(),
            component,
            provider: "*".to_owned(),
            price,
            cost: price / 2,
            per_units,
            increment_s: inc,
            minimum_s: min,
        }
    }

    fn line(component: Component, quantity: i64) -> UsageLine {
        UsageLine {
            component,
            provider: "x".to_owned(),
            quantity,
        }
    }

    #[test]
    fn seconds_are_billed_in_increments_above_a_minimum() {
        for (scheme, ms, billed) in [
            ((1, 1), 1, 1),
            ((1, 1), 15_000, 15),
            ((1, 1), 15_001, 16),
            ((6, 6), 13_000, 18),
            ((30, 6), 1_000, 30),
            ((30, 6), 31_000, 36),
            ((60, 60), 60_001, 120),
            ((60, 60), 0, 0),
        ] {
            let price = price(Component::Telephony, 1, 1, scheme);
            assert_eq!(price.billed(ms), billed, "{scheme:?} {ms}");
        }
    }

    #[test]
    fn a_line_is_rounded_once_and_a_token_costs_less_than_a_micro() {
        // 0.15 per million tokens: a single token would round to nothing.
        let tariff = Tariff::new(vec![price(Component::LlmInput, 150_000, 1_000_000, (0, 0))]);
        let many: Vec<UsageLine> = (0..10).map(|_| line(Component::LlmInput, 1)).collect();
        let rated = tariff.rate(&many);
        assert_eq!(rated.len(), 1);
        // 1.5 micros, half to even.
        assert_eq!(rated[0].amount, 2);
        assert_eq!(tariff.total(&[line(Component::LlmInput, 30)]), 4);
        // Without a price it is counted and free.
        let free = tariff.rate(&[line(Component::Tts, 40)]);
        assert_eq!(
            (free[0].billed, free[0].amount, free[0].price),
            (40, 0, None)
        );
    }

    #[test]
    fn a_providers_own_price_goes_before_everybodys() {
        let mut own = price(Component::Tts, 7, 1, (0, 0));
        own.provider = "x".to_owned();
        let tariff = Tariff::new(vec![price(Component::Tts, 1, 1, (0, 0)), own]);
        assert_eq!(tariff.total(&[line(Component::Tts, 10)]), 70);
        let other = UsageLine {
            provider: "y".to_owned(),
            ..line(Component::Tts, 10)
        };
        assert_eq!(tariff.total(&[other]), 10);
    }

    #[test]
    fn the_largest_quantities_do_not_overflow() {
        let tariff = Tariff::new(vec![price(Component::Tts, i64::MAX, 1, (0, 0))]);
        assert_eq!(tariff.total(&[line(Component::Tts, i64::MAX)]), i64::MAX);
        let seconds = price(Component::Platform, 1, 1, (0, 60));
        assert!(seconds.billed(i64::MAX) > 0);
    }
}
