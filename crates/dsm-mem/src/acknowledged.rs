use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};

/// How many bytes of those sent through a TCP socket the kernel at its other end has acknowledged, a few more at
/// the beginning of the connection. 0 where this kernel does not say.
///
/// It grows only if something that was sent has arrived and the answer to that has come back.
#[must_use]
pub fn bytes_acknowledged(socket: BorrowedFd<'_>) -> u64 {
    let mut info = [0_u64; WORDS];
    let mut length = libc::socklen_t::try_from(mem::size_of_val(&info)).expect("a few bytes");
    // SAFETY: the kernel writes at most `length` bytes to `info`, which has that many and for which any are
    // valid, and how many to `length`. The descriptor is open while borrowed.
    let failed = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    let is_there = failed == 0 && length as usize >= mem::size_of_val(&info);
    if is_there { info[WORDS - 1] } else { 0 }
}

/// Of `struct tcp_info`, up to `tcpi_bytes_acked`, whose place in Linux's interface is fixed (since 4.1).
const WORDS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsFd;

    #[test]
    fn what_has_arrived_is_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        let before = bytes_acknowledged(near.as_fd());
        near.write_all(&[1; 1000]).unwrap();
        far.write_all(&[2; 10]).unwrap();
        let mut bytes = [0; 1000];
        far.read_exact(&mut bytes).unwrap();
        // It comes with what is sent back, at the latest.
        far.write_all(&[3]).unwrap();
        near.read_exact(&mut bytes[..11]).unwrap();
        assert_eq!(bytes_acknowledged(near.as_fd()), before + 1000);
    }

    #[test]
    fn a_socket_that_is_none_of_tcp_has_no_count() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(bytes_acknowledged(socket.as_fd()), 0);
    }
}
