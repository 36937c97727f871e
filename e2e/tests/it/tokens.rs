//! Tokens that the tests sign themselves, with the secret that Doorward was given.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::time;
use ring::hmac;
use serde_json::Value;
use serde_json::json;
use test_support::doorward::SECRET;

/// A token in the making: any header and any claims.
#[derive(Clone)]
pub(crate) struct Forged {
    /// The JOSE header.
    pub(crate) header: Value,
    /// The claims.
    pub(crate) claims: Value,
}

impl Forged {
    /// A token that is as it should be, of a user nobody created.
    pub(crate) fn new(user_id: &str, username: &str) -> Self {
        let now_s = now_s();
        let claims = json!({
            "sub": user_id,
            "user_id": user_id,
            "username": username,
            "tier": "free",
            "scopes": [],
            "scope": "",
            "type": "access",
            "iss": "doorward",
            "iat": now_s,
            "exp": now_s + 600,
            "jti": format!("jti-{user_id}-{username}"),
            "sid": format!("sid-{user_id}"),
            "ep": 0,
        });
        Self { header: json!({ "alg": "HS256", "typ": "JWT" }), claims }
    }

    /// Of that tier.
    pub(crate) fn tier(self, tier: &str) -> Self {
        self.claim("tier", json!(tier))
    }

    /// With those scopes.
    pub(crate) fn scopes(self, scopes: &[&str]) -> Self {
        self.claim("scopes", json!(scopes)).claim("scope", json!(scopes.join(" ")))
    }

    /// With a claim set to a value.
    pub(crate) fn claim(mut self, name: &str, value: Value) -> Self {
        self.claims[name] = value;
        self
    }

    /// Without a claim.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.claims.as_object_mut().unwrap().remove(name);
        self
    }

    /// With a header member set to a value.
    pub(crate) fn header(mut self, name: &str, value: Value) -> Self {
        self.header[name] = value;
        self
    }

    /// Signs it.
    pub(crate) fn sign(&self) -> String {
        self.sign_with(SECRET)
    }

    /// Signs it with another secret.
    pub(crate) fn sign_with(&self, secret: &str) -> String {
        let input = format!("{}.{}", encode(&self.header), encode(&self.claims));
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let signature = hmac::sign(&key, input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Now, in whole seconds.
pub(crate) fn now_s() -> u64 {
    time::now().as_secs()
}

/// The claims of a token, whoever signed it.
pub(crate) fn claims_of(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

fn encode(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}
