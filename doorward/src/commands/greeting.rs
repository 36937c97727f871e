//! What somebody who starts Doorward by hand is told: three lines to paste.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;

use super::first_admin::Password;

/// Three commands that work when pasted: sign in, call through, be refused.
pub(crate) fn greeting(
    public: SocketAddr,
    ops: SocketAddr,
    path: &str,
    password: &Password,
) -> String {
    let url = format!("http://{}", reachable(public));
    let note = note(password);
    let field = match password {
        Password::Theirs => "--data-urlencode password=YOUR-PASSWORD".to_owned(),
        Password::InEnvironment => {
            "--data-urlencode \"password=$DOORWARD_ADMIN_PASSWORD\"".to_owned()
        }
        Password::Shown(secret) => format!("-d password={}", secret.expose()),
        Password::InFile(path) => format!("--data-urlencode password@'{}'", path.display()),
    };
    format!(
        "Doorward is ready at {url} (probes and metrics at http://{ops})\n\n{note}\
         Sign in:       TOKEN=$(curl -s {url}/auth/login -d username=admin {field} | \
         sed -n 's/.*\"access_token\":\"\\([^\"]*\\)\".*/\\1/p')\n\
         Call through:  curl -i -H \"Authorization: Bearer $TOKEN\" {url}{path}\n\
         Be refused:    curl -i {url}{path}\n\n"
    )
}

/// Tells whoever starts Doorward the `text`, which holds `password` if that is shown at all.
pub(crate) fn tell(text: &str, password: &Password) {
    match password {
        // To the terminal that was asked about, and into no file.
        Password::Shown(_) => eprint!("{text}"),
        Password::Theirs | Password::InEnvironment | Password::InFile(_) => print!("{text}"),
    }
}

/// Who the first administrator is, where that is worth telling.
pub(crate) fn note(password: &Password) -> String {
    match password {
        Password::Theirs | Password::InEnvironment => String::new(),
        Password::Shown(secret) => format!(
            "The first administrator is `admin`, with the password {}\n\
             It is shown this once only.\n\n",
            secret.expose()
        ),
        Password::InFile(path) => {
            format!("The first administrator is `admin`; the password is in {}\n\n", path.display())
        }
    }
}

/// An address that can be connected to: one that stands for all of them cannot.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
