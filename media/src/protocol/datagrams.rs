//! Datagrams that share a leg's port without being media (RFC 7983): STUN and DTLS, on their way
//! from the worker to the task that keeps the connection.
//!
//! | queue | capacity | when full |
//! |---|---|---|
//! | datagrams, worker to task | [`CAPACITY`] | dropped and counted as rejected; STUN, DTLS and SCTP repeat |

use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use rtrb::{Consumer, Producer, RingBuffer};

use crate::leg_queue::LegWaker;

/// Datagrams that may wait for the task.
pub const CAPACITY: usize = 10;
/// Octets of the longest datagram that is passed on: an Ethernet frame's.
pub const DATAGRAM_BYTES_MAX: usize = 1_472;

/// A datagram, stored inline.
#[derive(Clone, Copy)]
pub struct Datagram {
    /// Where it came from.
    pub from: SocketAddr,
    len: u16,
    bytes: [u8; DATAGRAM_BYTES_MAX],
}

impl Datagram {
    fn new(from: SocketAddr, datagram: &[u8]) -> Option<Self> {
        let mut own = Self {
            from,
            len: u16::try_from(datagram.len()).ok()?,
            bytes: [0; DATAGRAM_BYTES_MAX],
        };
        own.bytes
            .get_mut(..datagram.len())?
            .copy_from_slice(datagram);
        Some(own)
    }

    /// What came.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Debug for Datagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Datagram({} bytes from {})", self.len, self.from)
    }
}

/// The worker's end.
#[derive(Debug)]
pub struct DatagramSender {
    queue: Producer<Datagram>,
    waker: Arc<LegWaker>,
    /// Something was queued since the task was last announced.
    wake: bool,
}

/// The task's end.
#[derive(Debug)]
pub struct DatagramReceiver {
    queue: Consumer<Datagram>,
    waker: Arc<LegWaker>,
}

/// Makes the two ends.
#[must_use]
pub(crate) fn datagram_queue() -> (DatagramSender, DatagramReceiver) {
    let (sender, receiver) = RingBuffer::new(CAPACITY);
    let waker = Arc::new(LegWaker::default());
    let sender = DatagramSender {
        queue: sender,
        waker: Arc::clone(&waker),
        wake: false,
    };
    let receiver = DatagramReceiver {
        queue: receiver,
        waker,
    };
    (sender, receiver)
}

impl DatagramSender {
    /// Queues a copy; `false` when there is no room or it is too long.
    pub(crate) fn push(&mut self, from: SocketAddr, datagram: &[u8]) -> bool {
        let queued = Datagram::new(from, datagram).is_some_and(|d| self.queue.push(d).is_ok());
        self.wake |= queued;
        queued
    }

    /// The task's waker when it must be woken.
    pub(crate) fn poll_wake(&mut self) -> Option<Arc<LegWaker>> {
        let wake = std::mem::take(&mut self.wake) && self.waker.announce();
        wake.then(|| Arc::clone(&self.waker))
    }

    /// The task's waker.
    #[cfg(feature = "net")]
    pub(crate) const fn waker(&self) -> &Arc<LegWaker> {
        &self.waker
    }
}

impl DatagramReceiver {
    /// Waits for the next datagram; `None` once the leg is gone. Cancel safe.
    pub async fn recv(&mut self) -> Option<Datagram> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The next datagram if one is waiting.
    pub fn try_recv(&mut self) -> Option<Datagram> {
        self.queue.pop().ok()
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Datagram>> {
        if let Some(datagram) = self.try_recv() {
            return Poll::Ready(Some(datagram));
        }
        self.waker.register(cx.waker());
        // Looked at before the queue: what was pushed before the leg let go is still read.
        let abandoned = self.queue.is_abandoned();
        match self.try_recv() {
            Some(datagram) => Poll::Ready(Some(datagram)),
            None if abandoned => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_and_the_task_is_announced_once() {
        let (mut sender, mut receiver) = datagram_queue();
        let from = SocketAddr::from((Ipv4Addr::LOCALHOST, 4000));
        assert!(!sender.push(from, &[0; DATAGRAM_BYTES_MAX + 1]));
        assert!(sender.poll_wake().is_none());
        for n in 0..CAPACITY {
            assert!(sender.push(from, &[n as u8; 3]));
        }
        assert!(!sender.push(from, &[9; 3]));
        assert!(sender.poll_wake().is_some());
        assert!(sender.poll_wake().is_none());
        let first = receiver.try_recv().expect("the first");
        assert_eq!((first.from, first.as_bytes()), (from, &[0, 0, 0][..]));
    }
}
