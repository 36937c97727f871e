//! What a browser keeps while somebody is at a provider, so that nobody can come back in another
//! browser than the one that set out.

use http::HeaderMap;
use http::HeaderValue;
use kernel::random::looks_unguessable;
use kernel::secret::Secret;

use super::cookies::cookies;
use crate::people::departures::FLOW_LIFE;

/// For https: no other host, and no path, has a say in it (RFC 6265bis §4.1.3.2).
const SECURE: &str = "__Host-doorward-flow";

/// For http, which is for this very machine only.
const PLAIN: &str = "doorward-flow";

/// What the browser keeps already; of several the first. What cannot be ours is nothing.
///
/// `redirect_uri` is where it comes back to: by that it is known whether it is https.
pub(crate) fn read(headers: &HeaderMap, redirect_uri: &str) -> Option<Secret> {
    cookies(headers, name(redirect_uri)).find(|value| looks_unguessable(value)).map(Secret::new)
}

/// The value of the `Set-Cookie` that has the browser keep `browser`. `Lax`: it is to come along
/// when the provider sends the browser back, and with nothing that another site has it send.
pub(crate) fn keep(browser: &Secret, redirect_uri: &str) -> HeaderValue {
    let name = name(redirect_uri);
    let life_s = FLOW_LIFE.as_secs();
    let secure = if name == SECURE { "; Secure" } else { "" };
    let browser = browser.expose();
    let line =
        format!("{name}={browser}; Max-Age={life_s}; Path=/; HttpOnly; SameSite=Lax{secure}");
    let mut value = HeaderValue::from_str(&line).expect("what is unguessable is plain ASCII");
    value.set_sensitive(true);
    value
}

fn name(redirect_uri: &str) -> &'static str {
    if redirect_uri.starts_with("http://") { PLAIN } else { SECURE }
}

#[cfg(test)]
mod tests {
    use http::header::COOKIE;

    use super::*;

    const HTTPS: &str = "https://api.example/auth/google/callback";
    const HTTP: &str = "http://127.0.0.1:8080/auth/google/callback";

    #[test]
    fn only_http_on_this_machine_goes_without_secure() {
        let kept = |redirect_uri| {
            let line = keep(&Secret::new("b"), redirect_uri);
            line.to_str().unwrap().to_owned()
        };
        assert_eq!(
            kept(HTTPS),
            "__Host-doorward-flow=b; Max-Age=600; Path=/; HttpOnly; SameSite=Lax; Secure"
        );
        assert_eq!(kept(HTTP), "doorward-flow=b; Max-Age=600; Path=/; HttpOnly; SameSite=Lax");
    }

    #[test]
    fn the_first_that_can_be_ours_is_read() {
        let good = "a".repeat(43);
        let other = "b".repeat(43);
        for (line, found) in [
            (format!("x=y; __Host-doorward-flow={good}; z=1"), true),
            (format!("__Host-doorward-flow={good}; __Host-doorward-flow={other}"), true),
            (format!("__Host-doorward-flow=short; __Host-doorward-flow={good}"), true),
            (format!("doorward-flow={good}"), false),
            (format!("x__Host-doorward-flow={good}"), false),
            (format!("__Host-doorward-flow={good}x"), false),
            ("__Host-doorward-flow".to_owned(), false),
        ] {
            let headers = HeaderMap::from_iter([(COOKIE, line.parse().unwrap())]);
            let read = read(&headers, HTTPS);
            let expected = found.then_some(good.as_str());
            assert_eq!(read.as_ref().map(Secret::expose), expected, "{line}");
        }
        assert!(read(&HeaderMap::new(), HTTPS).is_none());
    }
}
