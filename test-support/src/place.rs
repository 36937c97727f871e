//! Where a test may put things: directories and ports that nobody else uses.

use std::net::TcpListener;

use tempfile::TempDir;

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

#[cfg(test)]
mod tests {
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
}
