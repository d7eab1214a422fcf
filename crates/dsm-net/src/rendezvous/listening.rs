//! The listening socket, which listens only while a rank is missing and keeps its port between.

use super::RendezvousError;
use super::error::system;
use rustix::io::Errno;
use rustix::net::{Shutdown, sockopt};
use std::io;
use std::net::{SocketAddr, TcpListener};

/// Makes the socket ready for the first meeting; it listens already.
pub(super) fn prepare(listener: &TcpListener) -> Result<(), RendezvousError> {
    listener.set_nonblocking(true).map_err(system("making the listener nonblocking"))?;
    // What is accepted inherits it, and is not in the way when the port is bound again.
    let reused = sockopt::set_socket_reuseaddr(listener, true);
    reused.map_err(|error| system("setting up the listener")(error.into()))
}

/// Refuses connections from here on, whatever other process holds the socket too.
pub(super) fn stop(listener: &TcpListener) -> Result<(), RendezvousError> {
    let closed = || {
        let address = listener.local_addr()?;
        rustix::net::shutdown(listener, Shutdown::Both)?;
        // The kernel gives a port of its own choice back with that. It need not come back: only a connection
        // that is lost later would want it.
        match rustix::net::bind(listener, &address) {
            Ok(()) | Err(Errno::INVAL | Errno::ADDRINUSE) => Ok(()),
            Err(error) => Err(io::Error::from(error)),
        }
    };
    closed().map_err(system("closing the listener"))
}

/// Listens again, where the other ranks know that this one does.
pub(super) fn begin_again(
    listener: &TcpListener,
    address: SocketAddr,
) -> Result<(), RendezvousError> {
    let listens = || {
        let bound = listener.local_addr()?;
        rustix::net::listen(listener, BACKLOG)?;
        let listening = listener.local_addr()?;
        if listening.port() == bound.port() && listening.port() == address.port() {
            return Ok(());
        }
        rustix::net::shutdown(listener, Shutdown::Both)?;
        Err(io::Error::from(Errno::ADDRINUSE))
    };
    listens().map_err(system("listening again"))
}

/// Connections the kernel keeps until they are accepted. Strangers may be among them.
const BACKLOG: i32 = 256;
