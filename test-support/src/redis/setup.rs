//! How a Redis is set up.

use std::path::Path;

use crate::authority::Identity;

/// Who asks on behalf of a test: may do everything, whatever clients are asked for.
pub(super) const OWNER: [&str; 2] = ["owner", "owner-of-the-tests"];

/// A Redis that is to be started: on a free port of 127.0.0.1, keeping nothing on disk, evicting
/// nothing, letting anybody in.
#[derive(Clone, Debug, Default)]
pub struct RedisSetup {
    settings: Vec<String>,
    credentials: Option<Credentials>,
    identity: Option<Identity>,
}

/// What clients say of themselves.
#[derive(Clone, Debug)]
struct Credentials {
    user: String,
    password: String,
}

impl RedisSetup {
    /// Adds settings as its command line takes them, such as `["--maxmemory", "64mb"]`.
    #[must_use]
    pub fn settings(mut self, settings: &[&str]) -> Self {
        self.settings.extend(settings.iter().map(|&word| word.to_owned()));
        self
    }

    /// Lets in only who knows the password (`requirepass`).
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self = self.settings(&["--requirepass", password]);
        self.credentials = Some(Credentials { user: String::new(), password: password.to_owned() });
        self
    }

    /// Lets in only this user, who may do what `rules` say as `ACL SETUSER` takes them, such as
    /// `"~rl:* +@all -@dangerous"`.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str, rules: &str) -> Self {
        self = self.settings(&["--user", "default", "off"]);
        self = self.settings(&["--user", name, "on", &format!(">{password}")]);
        self = self.settings(&rules.split_whitespace().collect::<Vec<_>>());
        self.credentials =
            Some(Credentials { user: name.to_owned(), password: password.to_owned() });
        self
    }

    /// Speaks TLS and nothing else on its port, and proves that it is `identity`, which should be
    /// certified for `127.0.0.1`. Clients prove nothing.
    #[must_use]
    pub fn tls(mut self, identity: &Identity) -> Self {
        self.identity = Some(identity.clone());
        self
    }

    pub(super) fn speaks_tls(&self) -> bool {
        self.identity.is_some()
    }

    /// Puts what it needs into its directory, and gives the arguments of `redis-server`.
    pub(super) fn prepare(&self, dir: &Path, port: u16) -> Vec<String> {
        let port = port.to_string();
        let listening: &[&str] = match &self.identity {
            None => &["--port", &port],
            Some(identity) => {
                identity.write_into(dir);
                &["--port", "0", "--tls-port", &port, "--tls-auth-clients", "no"]
            }
        };
        let certificate: &[&str] = match self.speaks_tls() {
            true => &["--tls-cert-file", "server.crt", "--tls-key-file", "server.key"],
            false => &[],
        };
        let [owner, password] = OWNER;
        let usual = [
            &["--bind", "127.0.0.1", "--daemonize", "no"][..],
            &["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"],
            &["--unixsocket", "socket", "--unixsocketperm", "700"],
            &["--user", owner, "on", &format!(">{password}"), "~*", "&*", "+@all"],
            // A replica introduces itself so, and is not made to wait for others.
            &["--masteruser", owner, "--masterauth", password],
            &["--repl-diskless-sync-delay", "0"],
        ];
        let usual = usual.iter().chain([&listening, &certificate]).copied().flatten();
        usual.map(|&word| word.to_owned()).chain(self.settings.iter().cloned()).collect()
    }

    /// The URL by which clients find it at `port`, with database 0.
    pub(super) fn url(&self, port: u16) -> String {
        let scheme = if self.speaks_tls() { "rediss" } else { "redis" };
        let credentials = self.credentials.as_ref().map(|Credentials { user, password }| {
            format!("{}:{}@", percent_encoded(user), percent_encoded(password))
        });
        format!("{scheme}://{}127.0.0.1:{port}/0", credentials.unwrap_or_default())
    }
}

/// Text as a URL has it in its authority (RFC 3986 §3.2.1): a form's encoding, but for the blank.
fn percent_encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_the_credentials_of_clients_with_nothing_in_them_that_divides_it() {
        let setup = RedisSetup::default();
        assert_eq!(setup.url(7), "redis://127.0.0.1:7/0");
        let password = setup.clone().password("p@ss:w/rd +%");
        assert_eq!(password.url(7), "redis://:p%40ss%3Aw%2Frd%20%2B%25@127.0.0.1:7/0");
        let user = setup.user("ann", "secret", "~* +get");
        assert_eq!(user.url(7), "redis://ann:secret@127.0.0.1:7/0");
    }
}
