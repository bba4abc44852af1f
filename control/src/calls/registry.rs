//! The calls that are on the line.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pipeline::call::{CallOrder, EndReason};
use tokio::sync::{Notify, broadcast, mpsc};

use super::admission::Refusal;
use super::events::NumberedEvent;
use super::id::CallId;
use crate::billing::calls::CallAccount;

/// Orders that may wait for a conversation; more are refused, the call is ending anyway.
pub const ORDER_CAPACITY: usize = 8;
/// Live events a slow viewer may be behind before it loses the oldest.
pub const VIEWER_CAPACITY: usize = 64;

/// All live calls, up to a limit. Cloneable.
#[derive(Clone, Debug)]
pub struct CallRegistry {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    calls_max: usize,
    state: Mutex<State>,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct State {
    calls: BTreeMap<CallId, LiveCall>,
    draining: bool,
}

#[derive(Clone, Debug)]
struct LiveCall {
    orders: mpsc::Sender<CallOrder>,
    events: broadcast::Sender<NumberedEvent>,
}

/// A place in the registry. Dropping it frees the place, whatever happened to the call.
#[derive(Debug)]
pub struct Admission {
    id: CallId,
    shared: Arc<Shared>,
    orders: Option<mpsc::Receiver<CallOrder>>,
    order_sender: mpsc::Sender<CallOrder>,
    events: broadcast::Sender<NumberedEvent>,
    account: Option<CallAccount>,
}

impl CallRegistry {
    /// A registry for at most `calls_max` calls at a time.
    #[must_use]
    pub fn new(calls_max: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                calls_max,
                state: Mutex::new(State::default()),
                emptied: Notify::new(),
            }),
        }
    }

    /// Takes a place for a new call.
    ///
    /// # Errors
    /// [`Refusal::AtCapacity`] or [`Refusal::Draining`].
    pub fn admit(&self) -> Result<Admission, Refusal> {
        self.admit_as(CallId::generate())
    }

    /// Takes a place for a new call whose id is fixed already.
    ///
    /// # Errors
    /// As [`Self::admit`].
    pub fn admit_as(&self, id: CallId) -> Result<Admission, Refusal> {
        let mut state = self.shared.lock();
        if state.draining {
            return Err(Refusal::Draining);
        }
        if state.calls.len() >= self.shared.calls_max {
            return Err(Refusal::AtCapacity);
        }
        let (orders, order_receiver) = mpsc::channel(ORDER_CAPACITY);
        let (events, _) = broadcast::channel(VIEWER_CAPACITY);
        state.calls.insert(
            id,
            LiveCall {
                orders: orders.clone(),
                events: events.clone(),
            },
        );
        Ok(Admission {
            id,
            shared: Arc::clone(&self.shared),
            orders: Some(order_receiver),
            order_sender: orders,
            events,
            account: None,
        })
    }

    /// Refuses new calls from now on.
    pub fn drain(&self) {
        self.shared.lock().draining = true;
    }

    /// Ends the call; `false` when it is not on the line.
    #[must_use]
    pub fn hang_up(&self, id: CallId, reason: EndReason) -> bool {
        let Some(call) = self.shared.lock().calls.get(&id).cloned() else {
            return false;
        };
        // A full queue holds orders to end already.
        let _ = call.orders.try_send(CallOrder::HangUp(reason));
        true
    }

    /// Ends all calls.
    pub fn hang_up_all(&self, reason: EndReason) {
        for call in self.shared.lock().calls.values() {
            let _ = call.orders.try_send(CallOrder::HangUp(reason));
        }
    }

    /// Waits until no call is on the line.
    pub async fn emptied(&self) {
        loop {
            let emptied = self.shared.emptied.notified();
            tokio::pin!(emptied);
            // Registered before looking, so that a call that ends in between is not missed.
            emptied.as_mut().enable();
            if self.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    /// Events of a live call from now on; `None` when it is not on the line.
    #[must_use]
    pub fn watch(&self, id: CallId) -> Option<broadcast::Receiver<NumberedEvent>> {
        let state = self.shared.lock();
        state.calls.get(&id).map(|call| call.events.subscribe())
    }

    /// Calls on the line.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.lock().calls.len()
    }

    /// Whether no call is on the line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether new calls are refused because the server stops.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.shared.lock().draining
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is a single insertion or removal, so a panic elsewhere leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admission {
    /// Gives the call its account.
    #[must_use]
    pub fn on_account(mut self, account: CallAccount) -> Self {
        self.account = Some(account);
        self
    }

    /// Takes the call's account out; once.
    pub fn take_account(&mut self) -> Option<CallAccount> {
        self.account.take()
    }

    /// The orders' receiving end, for the conversation; once.
    pub fn take_orders(&mut self) -> Option<mpsc::Receiver<CallOrder>> {
        self.orders.take()
    }

    /// Waits until somebody orders the call to end, before there is a conversation that takes
    /// orders. Cancel safe.
    pub async fn ordered_to_end(&mut self) -> EndReason {
        if let Some(orders) = &mut self.orders {
            while let Some(order) = orders.recv().await {
                if let CallOrder::HangUp(reason) = order {
                    return reason;
                }
            }
        }
        std::future::pending().await
    }

    /// The call's id.
    #[must_use]
    pub const fn id(&self) -> CallId {
        self.id
    }

    /// Gives orders to the conversation.
    #[must_use]
    pub fn orders(&self) -> mpsc::Sender<CallOrder> {
        self.order_sender.clone()
    }

    /// Shows events to viewers.
    #[must_use]
    pub fn viewers(&self) -> broadcast::Sender<NumberedEvent> {
        self.events.clone()
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let empty = {
            let mut state = self.shared.lock();
            state.calls.remove(&self.id);
            state.calls.is_empty()
        };
        if empty {
            self.shared.emptied.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_and_a_freed_place_can_be_taken_again() {
        let registry = CallRegistry::new(2);
        let first = registry.admit().unwrap();
        let second = registry.admit().unwrap();
        assert!(first.id() < second.id());
        assert_eq!(registry.admit().unwrap_err(), Refusal::AtCapacity);
        drop(first);
        assert!(registry.admit().is_ok());
        assert_eq!(registry.len(), 1);
    }

    #[test]
    fn a_call_that_panics_frees_its_place() {
        let registry = CallRegistry::new(1);
        let admission = registry.admit().unwrap();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _admission = admission;
            panic!("in the call");
        }));
        assert!(panicked.is_err());
        assert!(registry.is_empty());
    }

    #[tokio::test]
    async fn draining_refuses_new_calls_and_waits_for_the_running_ones() {
        let registry = CallRegistry::new(2);
        let mut admission = registry.admit().unwrap();
        let mut orders = admission.take_orders().unwrap();
        registry.drain();
        assert_eq!(registry.admit().unwrap_err(), Refusal::Draining);
        registry.hang_up_all(EndReason::ServerShutdown);
        assert_eq!(
            orders.recv().await,
            Some(CallOrder::HangUp(EndReason::ServerShutdown))
        );
        let waiting = tokio::spawn({
            let registry = registry.clone();
            async move { registry.emptied().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(admission);
        waiting.await.unwrap();
        assert!(!registry.hang_up(CallId::generate(), EndReason::OperatorHungUp));
    }
}
