//! The sockets of a running Doorward.

use std::fs;
use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;
use tokio::net::TcpSocket;
use tokio::net::UnixListener;

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Binds an address.
///
/// # Errors
/// One clear text that names it.
pub(crate) fn tcp(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bind = || -> io::Result<TcpListener> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        // A restart need not wait for the last connections of the process before.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)?.into_std()
    };
    bind().with_context(|| format!("cannot listen on {address}; is something else there?"))
}

/// Binds a Unix socket that only its owner can connect to, in the place of what was left there.
///
/// # Errors
/// One clear text that names it.
pub(crate) fn unix(path: &Path) -> anyhow::Result<UnixListener> {
    let bind = || -> io::Result<UnixListener> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(listener)
    };
    bind().with_context(|| {
        format!(
            "cannot listen on `{}`; a socket's path has at most 107 bytes, and a shorter one comes \
             of --data-dir",
            path.display()
        )
    })
}
