//! Orders to a leg beside its commands: what signalling changes, as opposed to what the
//! conversation asks.
//!
//! | queue | capacity | when full |
//! |---|---|---|
//! | orders, control side to worker | [`ORDER_CAPACITY`] | refused to the sender |
//! | retired parts, worker to control side | [`ORDER_CAPACITY`] | the order waits |
//!
//! Codecs are made on the control side and the replaced ones go back there, so that the worker
//! neither allocates nor frees.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rtrb::{Consumer, Producer, RingBuffer};

/// Orders that may wait for the worker.
pub const ORDER_CAPACITY: usize = 4;

/// The control side's end; `T` is what an order carries.
#[derive(Debug)]
pub struct OrderSender<T> {
    orders: Producer<T>,
    retired: Consumer<T>,
}

/// The worker's end.
#[derive(Debug)]
pub struct OrderPort<T> {
    orders: Consumer<T>,
    retired: Producer<T>,
}

/// Orders that are never refused.
#[derive(Debug, Default)]
pub struct Switches {
    close: AtomicBool,
    hold: AtomicBool,
    /// Up to eight key presses in ASCII, the first in the lowest octet.
    keys: AtomicU64,
}

/// Makes the two ends.
#[must_use]
pub fn order_queue<T>() -> (OrderSender<T>, OrderPort<T>) {
    let (orders, orders_out) = RingBuffer::new(ORDER_CAPACITY);
    let (retired_in, retired) = RingBuffer::new(ORDER_CAPACITY);
    let port = OrderPort {
        orders: orders_out,
        retired: retired_in,
    };
    (OrderSender { orders, retired }, port)
}

impl<T> OrderSender<T> {
    /// Queues `order` after freeing what earlier orders replaced.
    ///
    /// # Errors
    /// The order, when [`ORDER_CAPACITY`] are waiting.
    pub fn send(&mut self, order: T) -> Result<(), T> {
        while self.retired.pop().is_ok() {}
        self.orders
            .push(order)
            .map_err(|rtrb::PushError::Full(order)| order)
    }

    /// Whether the worker has let go of the leg.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.orders.is_abandoned()
    }
}

impl<T> OrderPort<T> {
    /// Takes the next order if one waits and what it replaces can be handed back.
    pub fn pop(&mut self) -> Option<T> {
        if self.retired.is_full() {
            return None;
        }
        self.orders.pop().ok()
    }

    /// Hands back what the order just taken has replaced.
    pub fn retire(&mut self, replaced: T) {
        let handed = self.retired.push(replaced);
        debug_assert!(
            handed.is_ok(),
            "pop() saw room and one order retires one part"
        );
    }
}

impl Switches {
    /// Ends the leg at its next tick.
    pub fn close(&self) {
        self.close.store(true, Ordering::Relaxed);
    }

    /// Suppresses our own audio, or stops doing so, from the next tick.
    pub fn hold(&self, held: bool) {
        self.hold.store(held, Ordering::Relaxed);
    }

    /// Reports a key press that signalling brought; `false` if eight wait for the next tick.
    pub fn press(&self, key: u8) -> bool {
        let add = |keys: u64| {
            let used = 64 - keys.leading_zeros();
            let shift = used.next_multiple_of(8);
            (shift < 64).then(|| keys | u64::from(key) << shift)
        };
        self.keys
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            .is_ok()
    }

    /// Takes the key presses that wait, the first in the lowest octet.
    #[must_use]
    pub fn take_keys(&self) -> [u8; 8] {
        self.keys.swap(0, Ordering::Relaxed).to_le_bytes()
    }

    /// Whether the leg shall end.
    #[must_use]
    pub fn closing(&self) -> bool {
        self.close.load(Ordering::Relaxed)
    }

    /// Whether our own audio is suppressed.
    #[must_use]
    pub fn held(&self) -> bool {
        self.hold.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_presses_wait_in_order_and_are_bounded() {
        let switches = Switches::default();
        assert_eq!(switches.take_keys(), [0; 8]);
        for key in b"12345678" {
            assert!(switches.press(*key));
        }
        assert!(!switches.press(b'9'));
        assert_eq!(&switches.take_keys(), b"12345678");
        assert!(switches.press(b'#'));
        assert_eq!(switches.take_keys()[..2], *b"#\0");
    }

    #[test]
    fn an_order_waits_until_what_it_replaces_can_go_back() {
        let (mut sender, mut port) = order_queue();
        for order in 0..ORDER_CAPACITY {
            assert_eq!(sender.send(order), Ok(()));
        }
        assert_eq!(sender.send(99), Err(99));
        while let Some(order) = port.pop() {
            port.retire(order);
        }
        // `send` frees what came back, which makes room again.
        assert_eq!(sender.send(5), Ok(()));
        assert_eq!(port.pop(), Some(5));
    }
}
