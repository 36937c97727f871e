//! What the gateway and the admin API behind it must call by the same names: mounts and headers.

/// Where sign-in is mounted; the replaced system's single-page application calls the second.
pub const AUTH_MOUNTS: [&str; 2] = ["/auth", "/api/auth"];

/// Where health is found.
pub const HEALTH_MOUNTS: [&str; 2] = ["/monitoring/health", "/api/monitoring/health"];

/// Where job status is.
pub const STATUS_MOUNT: &str = "/status";

/// The other paths that Doorward answers itself, each with all below it.
pub const OPEN_MOUNTS: [&str; 5] = [
    STATUS_MOUNT,
    "/docs",
    "/openapi.json",
    "/.well-known/jwks.json",
    "/.well-known/oauth-authorization-server",
];

/// The header in which the gateway names the client's address; believed on the admin API's Unix
/// socket, since nobody else reaches that, and from whoever shows the [`FLEET_TOKEN`].
pub const CLIENT_ADDRESS: &str = "x-doorward-client";

/// The header in which a gateway that runs apart shows the admin API the fleet's token.
pub const FLEET_TOKEN: &str = "x-doorward-fleet-token";

/// The challenge of an admin API to whoever does not show that token: it is for no client.
pub const FLEET_CHALLENGE: &str = "Doorward-Fleet";

/// Below it the halves speak to each other alone: the gateway has no place of that name, whatever
/// is configured, and no mount lies there.
pub const BETWEEN_HALVES: &str = "/.doorward";

/// Whether `path` lies at [`BETWEEN_HALVES`] or below it, by whole segment.
pub fn is_between_halves(path: &str) -> bool {
    let below = path.strip_prefix(BETWEEN_HALVES);
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The header that carries a request's id.
pub const REQUEST_ID: &str = "x-request-id";

/// The longest request id that is taken over from somebody else, in bytes.
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// The mount to which `path` belongs: its own path, and all below it by whole segment.
pub fn mount_of(path: &str) -> Option<&'static str> {
    // Most paths are none of ours, and most of those part with us in these bytes.
    if !path.as_bytes().get(1..3).is_some_and(|start| STARTS.iter().any(|s| s == start)) {
        return None;
    }
    let under = |mount: &&str| {
        path.strip_prefix(mount).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let all = AUTH_MOUNTS.iter().chain(&HEALTH_MOUNTS).chain(&OPEN_MOUNTS);
    all.copied().find(|mount| under(mount))
}

/// How the mounts begin, after their slash.
const STARTS: [[u8; 2]; 7] = [*b"au", *b"ap", *b"mo", *b"st", *b"do", *b"op", *b".w"];

/// Whether a request id from somebody else may be repeated in headers, bodies and log lines.
pub fn is_request_id(id: &[u8]) -> bool {
    (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_takes_its_own_path_and_all_below_it_but_no_longer_word() {
        for (path, mount) in [
            ("/auth", Some("/auth")),
            ("/auth/login", Some("/auth")),
            ("/api/auth/x", Some("/api/auth")),
            ("/.well-known/jwks.json", Some("/.well-known/jwks.json")),
            ("/openapi.json/x", Some("/openapi.json")),
            ("/authors", None),
            ("/docsX", None),
            ("/.well-known", None),
            ("/monitoring", None),
            ("/x/auth", None),
            ("", None),
        ] {
            assert_eq!(mount_of(path), mount, "{path}");
        }
    }

    #[test]
    fn every_mount_is_found_by_how_it_begins() {
        for mount in AUTH_MOUNTS.iter().chain(&HEALTH_MOUNTS).chain(&OPEN_MOUNTS) {
            assert_eq!(mount_of(mount), Some(*mount));
            assert_eq!(mount_of(&format!("{mount}/x")), Some(*mount));
        }
    }

    #[test]
    fn what_the_halves_say_to_each_other_lies_under_no_mount() {
        for path in ["/.doorward", "/.doorward/", "/.doorward/keys"] {
            assert!(is_between_halves(path), "{path}");
            assert_eq!(mount_of(path), None, "{path}");
        }
        for path in ["/", "/doorward", "/.doorwards", "/x/.doorward", "/.Doorward"] {
            assert!(!is_between_halves(path), "{path}");
        }
    }

    #[test]
    fn a_request_id_of_128_visible_bytes_is_the_longest() {
        assert!(is_request_id(&[b'a'; REQUEST_ID_BYTES_MAX]));
        assert!(!is_request_id(&[b'a'; REQUEST_ID_BYTES_MAX + 1]));
        assert!(!is_request_id(b""));
        assert!(!is_request_id(b"a b"));
    }
}
