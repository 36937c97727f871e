//! Where a test may put things: directories and ports that nobody else uses.

use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::TcpListener;

use tempfile::TempDir;
use tokio::net::TcpSocket;

/// Makes an empty directory that is removed on drop.
///
/// Its path is short, because a Unix socket's may have at most 107 bytes.
///
/// # Panics
/// When the machine's directory for temporary files cannot be written to.
pub fn free_dir() -> TempDir {
    tempfile::Builder::new().prefix("dw-").tempdir().expect("temporary files can be made")
}

/// Names a TCP port of 127.0.0.1 that was free a moment ago.
///
/// For programs that cannot choose one themselves (port 0). Another program may take it first, so
/// whoever starts a server on it must be ready to try another.
///
/// # Panics
/// When the machine has no free port left.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .expect("a port is free")
        .port()
}

/// A TCP port of 127.0.0.1 that stays one test's own, whether or not anything listens on it.
///
/// A socket is bound to it that never listens. While nothing else does either, callers are refused;
/// nobody is given the port by the system; and a server can listen on it that sets `SO_REUSEADDR`
/// (socket(7)), as Redis and the standard library do.
#[derive(Debug)]
pub struct HeldPort {
    number: u16,
    _socket: TcpSocket,
}

impl HeldPort {
    /// Takes a port that was free.
    ///
    /// # Panics
    /// When the machine has no free port left.
    #[expect(clippy::new_without_default, reason = "each is another, which no default is")]
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("there is room for another socket");
        socket.set_reuseaddr(true).expect("a socket takes its options");
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a port is free");
        let number = socket.local_addr().expect("a bound socket has an address").port();
        Self { number, _socket: socket }
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// It, with its host.
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_directory_is_gone_when_dropped() {
        let dir = free_dir();
        let path = dir.path().to_owned();
        assert!(path.is_dir());
        drop(dir);
        assert!(!path.exists());
    }

    #[test]
    fn a_port_can_be_bound() {
        assert!(TcpListener::bind(("127.0.0.1", free_port())).is_ok());
    }

    fn refusal(port: &HeldPort) -> ErrorKind {
        TcpStream::connect(port.addr()).unwrap_err().kind()
    }

    #[test]
    fn a_held_port_refuses_until_somebody_listens_and_again_when_nobody_does() {
        let port = HeldPort::new();
        for _ in 0..2 {
            assert_eq!(refusal(&port), ErrorKind::ConnectionRefused);
            let listener = TcpListener::bind(port.addr()).unwrap();
            let caller = TcpStream::connect(port.addr()).unwrap();
            // Whoever hangs up first is the one whose port stays in use for a while.
            drop((listener.accept().unwrap(), listener));
            drop(caller);
        }
        assert_eq!(refusal(&port), ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_held_port_is_given_to_nobody() {
        let port = HeldPort::new();
        let plain = TcpSocket::new_v4().unwrap();
        // It does not share what it binds to, as a connection's own end does not.
        assert_eq!(plain.bind(port.addr()).unwrap_err().kind(), ErrorKind::AddrInUse);
    }
}
