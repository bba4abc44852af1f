//! A UDP socket for signalling.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;

/// Socket buffer in bytes: a burst of a thousand large messages.
const SOCKET_BUFFER_BYTES: usize = 2 << 20;

/// Sends and receives datagrams.
#[derive(Debug)]
pub(super) struct UdpTransport {
    socket: UdpSocket,
}

impl UdpTransport {
    pub(super) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        // The kernel caps what it grants; any size works.
        let reference = SockRef::from(&socket);
        let _ = reference.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
        let _ = reference.set_send_buffer_size(SOCKET_BUFFER_BYTES);
        Ok(Self { socket })
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    pub(super) async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.recv_from(buffer).await
    }

    pub(super) fn try_receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.try_recv_from(buffer)
    }

    pub(super) async fn send(&self, payload: &[u8], to: SocketAddr) -> io::Result<()> {
        self.socket.send_to(payload, to).await.map(drop)
    }
}
