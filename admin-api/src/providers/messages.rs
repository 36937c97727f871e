//! What is said on the line to a provider: headers, queries, and refusals as far as a log may
//! repeat them.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::HeaderValue;
use http::header::ACCEPT;
use kernel::secret::Secret;
use outbound::Answer;
use serde::Deserialize;

use super::attested::ProviderError;
use super::line::CallError;

/// The error of a call: whoever cannot be reached is unavailable, whatever else is `otherwise`.
pub(crate) fn of_call(
    error: CallError,
    otherwise: impl FnOnce(String) -> ProviderError,
) -> ProviderError {
    let why = error.to_string();
    match error {
        CallError::LeftAlone(retry_after) => ProviderError::Unavailable { why, retry_after },
        CallError::Failed(outbound::CallError::Unreachable(_)) => {
            ProviderError::Unavailable { why, retry_after: Duration::from_secs(1) }
        }
        CallError::Failed(outbound::CallError::TooLarge) => otherwise(why),
    }
}

/// What a refusal says of itself, as far as it can be repeated in a log: the status, and the code
/// of RFC 6749 §5.2. The rest may hold anything.
pub(crate) fn said(answer: &Answer) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    let status = answer.status.as_u16();
    let plain = |code: &String| {
        code.len() <= 64 && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    };
    match serde_json::from_slice::<Refusal>(&answer.body).map(|refusal| refusal.error) {
        Ok(code) if plain(&code) => format!("status {status}, `{code}`"),
        _ => format!("status {status}"),
    }
}

/// The header that asks for JSON.
pub(crate) fn accept_json() -> HeaderMap {
    HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))])
}

/// `Bearer` and the token; `None` for one that no header can hold.
pub(crate) fn bearer(token: &str) -> Option<HeaderValue> {
    sensitive(&format!("Bearer {token}"))
}

/// Id and secret, each as in a form, then as RFC 7617 has it (RFC 6749 §2.3.1).
pub(crate) fn basic(id: &str, secret: &Secret) -> HeaderValue {
    let encoded =
        |text: &str| -> String { form_urlencoded::byte_serialize(text.as_bytes()).collect() };
    let pair = format!("{}:{}", encoded(id), encoded(secret.expose()));
    let value = format!("Basic {}", STANDARD.encode(pair));
    sensitive(&value).expect("base64 is visible ASCII")
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// `base` with `parameters` added to its query.
pub(crate) fn with_query(base: &str, parameters: &[(&str, &str)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    let join = match base.split_once('?') {
        None => "?",
        Some((_, rest)) if rest.is_empty() || rest.ends_with('&') => "",
        Some(_) => "&",
    };
    format!("{base}{join}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_join_the_query_that_is_there() {
        let add = |base: &str| with_query(base, &[("a", "b c&d")]);
        assert_eq!(add("https://x/y"), "https://x/y?a=b+c%26d");
        assert_eq!(add("https://x/y?"), "https://x/y?a=b+c%26d");
        assert_eq!(add("https://x/y?z=1"), "https://x/y?z=1&a=b+c%26d");
    }

    #[test]
    fn id_and_secret_are_encoded_before_they_are_joined() {
        let value = basic("a:b", &Secret::new("c d%"));
        let pair = STANDARD.encode("a%3Ab:c+d%25");
        assert_eq!(value.to_str().unwrap(), format!("Basic {pair}"));
        assert!(!format!("{value:?}").contains(&pair));
    }

    #[test]
    fn only_a_plain_code_of_a_refusal_is_repeated() {
        let of = |body: &str| {
            said(&Answer {
                status: http::StatusCode::BAD_REQUEST,
                headers: HeaderMap::new(),
                body: body.into(),
            })
        };
        assert_eq!(of(r#"{"error":"invalid_grant"}"#), "status 400, `invalid_grant`");
        for body in ["", "<html>", r#"{"error":"the secret hunter2 is wrong"}"#, r#"{"error":1}"#] {
            assert_eq!(of(body), "status 400", "{body}");
        }
    }
}
