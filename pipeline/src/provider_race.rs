//! Asks one provider after another, the next one early when the last is slower than usual.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

use crate::provider_error::ProviderError;
use crate::provider_health::ProviderHealth;

/// When the next provider is asked beside the last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hedge {
    /// While too little is known of a provider.
    pub(crate) default: Duration,
    /// Never earlier.
    pub(crate) min: Duration,
}

impl Hedge {
    fn after(self, health: &ProviderHealth) -> Duration {
        health.latency_p95().unwrap_or(self.default).max(self.min)
    }
}

/// The providers to ask, best first: those whose breaker lets them, or all when none does, since
/// a provider that may fail is better than silence. `without` has failed this request already.
pub(crate) fn order(healths: &[Arc<ProviderHealth>], without: &[usize]) -> Vec<usize> {
    let now = Instant::now().into_std();
    let fresh: Vec<usize> = (0..healths.len())
        .filter(|index| !without.contains(index))
        .collect();
    let admitted: Vec<usize> = fresh
        .iter()
        .copied()
        .filter(|index| healths[*index].admits(now))
        .collect();
    if admitted.is_empty() { fresh } else { admitted }
}

/// The first success and whose it is; all others are dropped, which cancels them. An attempt must
/// end within a deadline of its own.
pub(crate) async fn race<T, A: Future<Output = Result<T, ProviderError>>>(
    healths: &[Arc<ProviderHealth>],
    order: &[usize],
    hedge: Hedge,
    attempt: impl Fn(usize) -> A,
) -> Result<(usize, T), ProviderError> {
    let launch = async |index: usize| {
        let began = Instant::now();
        let outcome = attempt(index).await;
        match &outcome {
            Ok(_) => healths[index].succeeded(began.elapsed()),
            Err(error) => {
                tracing::debug!(provider = healths[index].name(), %error, "provider failed");
                healths[index].failed(Instant::now().into_std());
            }
        }
        (index, outcome)
    };
    let mut waiting = order.iter().copied();
    let mut running = FuturesUnordered::new();
    let mut hedge_at = Instant::now();
    let mut last = ProviderError::Unavailable("no provider".to_owned());
    let mut unanswered: Vec<usize> = Vec::new();
    let mut asked = 0;
    loop {
        if (running.is_empty() || Instant::now() >= hedge_at)
            && let Some(index) = waiting.next()
        {
            asked += 1;
            if asked > 1 {
                healths[index].stood_in();
            }
            hedge_at = Instant::now() + hedge.after(&healths[index]);
            unanswered.push(index);
            running.push(launch(index));
        }
        let more = waiting.len() > 0;
        tokio::select! {
            outcome = running.next() => match outcome {
                Some((index, Ok(found))) => {
                    // A provider that is overtaken by one asked later counts as failed, or a
                    // mute one would cost the hedge's wait for ever.
                    let overtaken = unanswered.iter().take_while(|other| **other != index);
                    for other in overtaken {
                        healths[*other].failed(Instant::now().into_std());
                    }
                    return Ok((index, found));
                }
                Some((index, Err(error))) => {
                    unanswered.retain(|other| *other != index);
                    last = error;
                    // Another is asked at once.
                    hedge_at = Instant::now();
                }
                None => return Err(last),
            },
            () = sleep_until(hedge_at), if more => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const HEDGE: Hedge = Hedge {
        default: Duration::from_millis(700),
        min: Duration::from_millis(200),
    };

    fn healths(count: usize) -> Vec<Arc<ProviderHealth>> {
        (0..count)
            .map(|index| Arc::new(ProviderHealth::new("tts", &index.to_string())))
            .collect()
    }

    /// Attempts that take so many ms and succeed or fail.
    async fn run(
        healths: &[Arc<ProviderHealth>],
        attempts: &[(u64, bool)],
    ) -> (Result<usize, String>, u128) {
        let began = Instant::now();
        let order = order(healths, &[]);
        let outcome = race(healths, &order, HEDGE, async |index| {
            let (ms, good) = attempts[index];
            sleep(Duration::from_millis(ms)).await;
            if good {
                Ok(())
            } else {
                Err(ProviderError::Failed(index.to_string()))
            }
        })
        .await;
        let outcome = outcome.map(|(index, ())| index).map_err(|e| e.to_string());
        (outcome, began.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_provider_is_hedged_and_the_faster_answer_wins() {
        let healths = healths(2);
        assert_eq!(
            run(&healths, &[(2_000, true), (100, true)]).await,
            (Ok(1), 800)
        );
        assert_eq!(
            run(&healths, &[(750, true), (100, true)]).await,
            (Ok(0), 750)
        );
        assert_eq!(healths[1].counts().stood_in, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_asks_the_next_at_once() {
        let healths = healths(3);
        let outcome = run(&healths, &[(50, false), (50, false), (50, true)]).await;
        assert_eq!(outcome, (Ok(2), 150));
        let outcome = run(&healths, &[(50, false), (50, false), (50, false)]).await;
        assert_eq!(outcome, (Err("provider failed: 2".to_owned()), 150));
    }

    #[tokio::test(start_paused = true)]
    async fn the_hedge_follows_the_providers_own_percentile() {
        let healths = healths(2);
        for _ in 0..20 {
            healths[0].succeeded(Duration::from_millis(300));
        }
        assert_eq!(
            run(&healths, &[(2_000, true), (10, true)]).await,
            (Ok(1), 310)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_overtaken_three_times_is_not_waited_for_again() {
        let healths = healths(2);
        let attempts = [(60_000, true), (100, true)];
        for _ in 0..3 {
            assert_eq!(run(&healths, &attempts).await, (Ok(1), 800));
        }
        assert_eq!(run(&healths, &attempts).await, (Ok(1), 100));
        assert_eq!(healths[0].counts().failed, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_breaker_is_passed_over_unless_all_are_open() {
        let healths = healths(2);
        for _ in 0..3 {
            run(&healths, &[(10, false), (10, true)]).await.0.unwrap();
        }
        assert!(healths[0].counts().open);
        assert_eq!(order(&healths, &[]), [1]);
        for _ in 0..3 {
            healths[1].failed(Instant::now().into_std());
        }
        assert_eq!(order(&healths, &[]), [0, 1]);
        assert_eq!(order(&healths, &[0]), [1]);
    }
}
