//! Whom Postgres runs as.

use std::fs;

use crate::process::User;

/// Names the user that a Postgres must run as: nobody else unless this process is root, which
/// Postgres refuses to be; then the machine's own `postgres`, or `nobody`.
///
/// # Panics
/// When this process is root and the machine knows neither.
pub(super) fn server_account() -> Option<User> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let known = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = ["postgres", "nobody"].iter().find_map(|name| find(&known, name));
    Some(user.expect("/etc/passwd has a user `postgres` or `nobody`, as on every Debian"))
}

/// Finds a user in the text of passwd(5).
fn find(known: &str, name: &str) -> Option<User> {
    known.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(User { uid, gid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &str =
        "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65533:nobody:/:/bin/false\nbroken:x\n";

    #[test]
    fn a_user_is_found_by_the_whole_name() {
        assert_eq!(find(KNOWN, "nobody"), Some(User { uid: 65534, gid: 65533 }));
        assert_eq!(find(KNOWN, "no"), None);
        assert_eq!(find(KNOWN, "broken"), None);
    }
}
