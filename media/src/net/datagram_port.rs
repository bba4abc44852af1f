//! The connection task's end of a leg's port.

use std::net::{SocketAddr, UdpSocket};

use crate::protocol::datagrams::{Datagram, DatagramReceiver};

/// Receives what came to a leg's port and is no media, and sends from the same port.
#[derive(Debug)]
pub struct DatagramPort {
    received: DatagramReceiver,
    socket: UdpSocket,
}

impl DatagramPort {
    pub(crate) const fn new(received: DatagramReceiver, socket: UdpSocket) -> Self {
        Self { received, socket }
    }

    /// Waits for the next datagram; `None` once the leg is gone. Cancel safe.
    pub async fn recv(&mut self) -> Option<Datagram> {
        self.received.recv().await
    }

    /// The next datagram if one is waiting.
    pub fn try_recv(&mut self) -> Option<Datagram> {
        self.received.try_recv()
    }

    /// Sends a datagram. What the network does not take is lost, as on the way.
    pub fn send(&self, to: SocketAddr, datagram: &[u8]) {
        let _ = self.socket.send_to(datagram, to);
    }
}
