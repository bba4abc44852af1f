//! How long a call is paid for: what is set aside, in seconds. Pure reckoning.

use pipeline::usage_meter::MeteredUsage;

use super::money::share;
use super::rating::Component;
use super::settlement::{CallTerms, Parties, usage_lines};
use crate::config::ReserveSection;

/// Nothing is reckoned beyond a day; a call that costs nothing is funded for that.
pub const SECONDS_MAX: i64 = 24 * 3600;

/// Reckons what a call of some length costs at most.
#[derive(Clone, Debug)]
pub struct Reckoner {
    /// Terms of the call.
    pub terms: CallTerms,
    /// Whose services it uses.
    pub parties: Parties,
    /// What a minute uses of what is not counted in time.
    pub reserve: ReserveSection,
}

impl Reckoner {
    /// What a call of `seconds` costs the payer at most, of which `elapsed_s` have gone by and used
    /// `used`. Grows with `seconds`.
    #[must_use]
    pub fn cost_of(&self, seconds: i64, elapsed_s: i64, used: MeteredUsage) -> i64 {
        let ahead = u64::try_from(seconds.saturating_sub(elapsed_s)).unwrap_or(0);
        let more = |per_minute: u32| (u64::from(per_minute) * ahead).div_ceil(60);
        let worst = MeteredUsage {
            // All that the caller says and all that the caller does not.
            stt_audio_ms: u64::try_from(seconds).unwrap_or(0) * 1000,
            tts_characters: used.tts_characters + more(self.reserve.tts_characters),
            llm_input_tokens: used.llm_input_tokens + more(self.reserve.llm_input_tokens),
            llm_output_tokens: used.llm_output_tokens + more(self.reserve.llm_output_tokens),
        };
        let lines = usage_lines(seconds.saturating_mul(1000), worst, &self.parties);
        let wholesale = self.terms.tariff.total(&lines);
        wholesale.saturating_add(share(wholesale, self.terms.markup_bps))
    }

    /// How many seconds `money` pays at least; [`SECONDS_MAX`] at most.
    #[must_use]
    pub fn seconds_for(&self, money: i64, elapsed_s: i64, used: MeteredUsage) -> i64 {
        let (mut paid, mut unpaid) = (0, SECONDS_MAX + 1);
        while unpaid - paid > 1 {
            let middle = paid + (unpaid - paid) / 2;
            if self.cost_of(middle, elapsed_s, used) <= money {
                paid = middle;
            } else {
                unpaid = middle;
            }
        }
        paid
    }

    /// Length of the shortest call: the longest first increment of what is counted in time.
    #[must_use]
    pub fn first_increment_s(&self) -> i64 {
        let parties = [
            (Component::Telephony, self.parties.carrier.as_str()),
            (Component::Platform, "samvad"),
            (Component::Stt, self.parties.stt.as_str()),
        ];
        parties
            .into_iter()
            .filter_map(|(component, provider)| self.terms.tariff.price(component, provider))
            .map(|price| price.billed(1))
            .fold(1, i64::max)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::rating::{Price, Tariff};
    use super::*;

    fn reckoner(increment_s: i64, markup_bps: i64) -> Reckoner {
        let price = |component, price, per_units, increment_s| Price {
            id: Uuid::nil(),
            component,
            provider: "*".to_owned(),
            price,
            cost: 0,
            per_units,
            increment_s,
            minimum_s: 0,
        };
        Reckoner {
            terms: CallTerms {
                call: Uuid::nil(),
                org: Uuid::nil(),
                owner: None,
                agent: String::new(),
                call_type: "phone".to_owned(),
                tariff: Tariff::new(vec![
                    price(Component::Telephony, 60_000, 60, increment_s),
                    price(Component::Tts, 1_000_000, 1_000_000, 1),
                ]),
                currency: "USD".to_owned(),
                markup_bps,
                commission_bps: 0,
                payer: None,
            },
            parties: Parties {
                carrier: "sip".to_owned(),
                stt: "s".to_owned(),
                llm: "l".to_owned(),
                tts: "t".to_owned(),
            },
            reserve: ReserveSection::default(),
        }
    }

    #[test]
    fn what_is_set_aside_pays_exactly_the_seconds_reckoned() {
        for (increment, markup) in [(1, 0), (6, 0), (60, 2500), (1, 333)] {
            let reckoner = reckoner(increment, markup);
            for money in [0, 1, 999, 1000, 60_000, 61_234, 1_000_000, 1_234_567] {
                let used = MeteredUsage::default();
                let seconds = reckoner.seconds_for(money, 0, used);
                assert!(reckoner.cost_of(seconds, 0, used) <= money);
                assert!(reckoner.cost_of(seconds + 1, 0, used) > money);
            }
        }
        assert_eq!(reckoner(60, 0).first_increment_s(), 60);
    }

    #[test]
    fn more_talk_than_reckoned_shortens_the_call() {
        let reckoner = reckoner(1, 0);
        let money = reckoner.cost_of(120, 0, MeteredUsage::default());
        let much = MeteredUsage {
            tts_characters: 20_000,
            ..MeteredUsage::default()
        };
        let seconds = reckoner.seconds_for(money, 60, much);
        assert!(seconds < 120, "{seconds}");
    }

    #[test]
    fn what_costs_nothing_is_funded_for_a_day() {
        let mut free = reckoner(1, 0);
        free.terms.tariff = Tariff::default();
        assert_eq!(free.seconds_for(0, 0, MeteredUsage::default()), SECONDS_MAX);
    }
}
