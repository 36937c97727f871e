//! The one cookie of ours that outlives a flow: what a device shows for itself.

use config::Environment;
use http::HeaderMap;
use http::HeaderValue;
use http::header::SET_COOKIE;
use kernel::secret::Secret;

use super::cookies::cookies;
use crate::people::devices::DEVICE_LIFE;

/// How the cookie is called, and whether it is for https alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeviceCookie {
    name: &'static str,
    attributes: &'static str,
}

/// `__Host-`: no other host, and no path, has a say in it (RFC 6265bis §4.1.3.2).
const SECURE: DeviceCookie = DeviceCookie {
    name: "__Host-doorward-device",
    attributes: "Path=/; HttpOnly; SameSite=Lax; Secure",
};

/// For this very machine, where there is no https to hold it to.
const PLAIN: DeviceCookie =
    DeviceCookie { name: "doorward-device", attributes: "Path=/; HttpOnly; SameSite=Lax" };

impl DeviceCookie {
    /// For https, unless clients are known to come over http, which is allowed on loopback alone;
    /// where nobody says how they come, `dev` is taken for loopback.
    pub(crate) fn of(config: &config::Config) -> Self {
        let plain = match &config.listen.public_url {
            Some(url) => url.starts_with("http://"),
            None => config.environment == Environment::Dev,
        };
        if plain { PLAIN } else { SECURE }
    }

    /// The cookie that came with a request; of several by that name the first.
    pub(crate) fn read(&self, headers: &HeaderMap) -> Option<Secret> {
        cookies(headers, self.name).next().map(Secret::new)
    }

    /// The header that leaves `proof` with the device.
    pub(crate) fn leave(&self, proof: &Secret) -> HeaderMap {
        let life_s = DEVICE_LIFE.as_secs();
        let Self { name, attributes } = self;
        let line = format!("{name}={}; Max-Age={life_s}; {attributes}", proof.expose());
        let mut headers = HeaderMap::new();
        if let Ok(mut line) = HeaderValue::from_str(&line) {
            line.set_sensitive(true);
            headers.insert(SET_COOKIE, line);
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use http::header::COOKIE;

    use super::*;

    fn cookie(more: &str) -> DeviceCookie {
        DeviceCookie::of(&config::parse("test", more, &|_| None).unwrap())
    }

    #[test]
    fn only_http_on_this_machine_goes_without_secure() {
        for (config, name) in [
            ("", "__Host-doorward-device"),
            ("environment = \"dev\"", "doorward-device"),
            (
                "environment = \"dev\"\n[listen]\npublic_url = \"https://a.example\"",
                "__Host-doorward-device",
            ),
            ("[listen]\npublic_url = \"http://127.0.0.1:8080\"", "doorward-device"),
        ] {
            let headers = cookie(config).leave(&Secret::new("proof"));
            let line = headers[SET_COOKIE].to_str().unwrap();
            assert!(
                line.starts_with(&format!("{name}=proof; Max-Age=15552000; Path=/;")),
                "{line}"
            );
            assert!(line.contains("HttpOnly; SameSite=Lax"), "{line}");
            assert_eq!(line.ends_with("; Secure"), name.starts_with("__Host-"), "{line}");
        }
    }

    #[test]
    fn the_first_of_its_name_is_read_whatever_else_there_is() {
        for (lines, read) in [
            (vec!["a=b; __Host-doorward-device=p; c=d"], Some("p")),
            (vec!["a=b", "__Host-doorward-device=p"], Some("p")),
            (vec!["__Host-doorward-device=p; __Host-doorward-device=q"], Some("p")),
            (vec!["doorward-device=p"], None),
            (vec!["x__Host-doorward-device=p", "__Host-doorward-device"], None),
            (vec![], None),
        ] {
            let mut headers = HeaderMap::new();
            for line in &lines {
                headers.append(COOKIE, line.parse().unwrap());
            }
            let found = cookie("").read(&headers);
            assert_eq!(found.as_ref().map(Secret::expose), read, "{lines:?}");
        }
    }
}
