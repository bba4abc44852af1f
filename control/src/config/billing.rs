//! `[billing]`: what calls cost and how they are paid.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::duration;
use crate::billing::money;
use crate::billing::rating::Component;

/// An amount of money as a decimal text (`"0.006"`) or a whole number, in micros inside.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Amount(pub i64);

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&money::decimal(self.0))
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A float has lost what was written.
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Whole(i64),
            Decimal(String),
        }
        let wrong = "an amount is a decimal text with at most six places, like \"0.006\"";
        let micros = match Written::deserialize(deserializer) {
            Ok(Written::Whole(units)) => units.checked_mul(money::MICROS),
            Ok(Written::Decimal(text)) => money::parse(text.trim()),
            Err(_) => None,
        };
        let in_range = |micros: &i64| (0..=money::AMOUNT_MAX).contains(micros);
        let micros = micros.filter(in_range);
        micros.map(Self).ok_or_else(|| D::Error::custom(wrong))
    }
}

/// What calls cost and how they are paid.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BillingSection {
    /// Whether calls are paid from wallets: without credit none begins, and one that runs out of
    /// it ends. When off, usage is counted and priced all the same.
    pub enabled: bool,
    /// ISO 4217 code of all amounts.
    pub currency: String,
    /// Time that is paid ahead.
    #[serde(with = "duration")]
    pub window: Duration,
    /// Funded time left below which more is set aside.
    #[serde(with = "duration")]
    pub extend_below: Duration,
    /// Between two notes of what a running call has used; what is lost with the process at most.
    #[serde(with = "duration")]
    pub heartbeat: Duration,
    /// Credit that an organisation's wallet begins with.
    pub opening_credit: Amount,
    /// What is set aside for parts that are not counted in time.
    pub reserve: ReserveSection,
    /// Prices; a part of a call without one costs nothing.
    pub prices: Vec<PriceSection>,
}

impl Default for BillingSection {
    fn default() -> Self {
        Self {
            enabled: false,
            currency: "USD".to_owned(),
            window: Duration::from_secs(120),
            extend_below: Duration::from_secs(45),
            heartbeat: Duration::from_secs(10),
            opening_credit: Amount(0),
            reserve: ReserveSection::default(),
            prices: Vec::new(),
        }
    }
}

/// What a minute of call uses at most of what is not counted in time. What a call uses beyond is
/// not lost as long as the wallet has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReserveSection {
    /// Characters spoken.
    pub tts_characters: u32,
    /// Tokens the model reads.
    pub llm_input_tokens: u32,
    /// Tokens the model writes.
    pub llm_output_tokens: u32,
}

impl Default for ReserveSection {
    fn default() -> Self {
        Self {
            tts_characters: 1000,
            llm_input_tokens: 20_000,
            llm_output_tokens: 1000,
        }
    }
}

/// One price.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceSection {
    /// What is priced.
    pub component: Component,
    /// Whose: a carrier, or a recogniser, model or voice by its name in call records; `*` for all
    /// without a price of their own.
    #[serde(default = "any")]
    pub provider: String,
    /// What we take for `per` units.
    pub price: Amount,
    /// What the provider takes of us for as many.
    #[serde(default)]
    pub cost: Amount,
    /// Units that the price is for; 60 seconds, or a million tokens or characters, when not given.
    pub per: Option<u32>,
    /// Seconds are counted in whole increments of so many.
    #[serde(default = "one")]
    pub increment: u32,
    /// Fewest seconds counted.
    #[serde(default)]
    pub minimum: u32,
}

impl PriceSection {
    /// Units that the price is for.
    #[must_use]
    pub fn per_units(&self) -> i64 {
        let usual = match self.component.unit() {
            "second" => 60,
            _ => 1_000_000,
        };
        self.per.map_or(usual, i64::from)
    }
}

fn any() -> String {
    "*".to_owned()
}

const fn one() -> u32 {
    1
}

/// What does not go together.
pub(super) fn check(section: &BillingSection) -> Result<(), (String, String)> {
    let wrong = |key: &str, message: &str| Err((format!("billing.{key}"), message.to_owned()));
    let code = &section.currency;
    if code.len() != 3 || !code.bytes().all(|b| b.is_ascii_uppercase()) {
        return wrong("currency", "must be a code like USD");
    }
    if section.window < Duration::from_secs(10) {
        return wrong("window", "must be at least 10s");
    }
    if section.extend_below >= section.window {
        return wrong("extend_below", "must be shorter than the window");
    }
    if !(Duration::from_secs(1)..=Duration::from_secs(60)).contains(&section.heartbeat) {
        return wrong("heartbeat", "must be from 1s to 60s");
    }
    for (index, price) in section.prices.iter().enumerate() {
        let same = |other: &PriceSection| {
            (other.component, &other.provider) == (price.component, &price.provider)
        };
        if section.prices[..index].iter().any(same) {
            let name = price.component.name();
            let message = format!("{name} of `{}` is there twice", price.provider);
            return Err(("billing.prices".to_owned(), message));
        }
        if price.per == Some(0) || price.increment == 0 {
            return wrong("prices", "`per` and `increment` must be at least 1");
        }
        if price.provider.is_empty() {
            return wrong("prices.provider", "must not be empty; `*` stands for all");
        }
        let timed = price.component.unit() == "second";
        if !timed && (price.increment != 1 || price.minimum != 0) {
            return wrong(
                "prices",
                "only what is counted in seconds has increment and minimum",
            );
        }
    }
    Ok(())
}
