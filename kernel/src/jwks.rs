//! Public keys of somebody else, as their JWK set lists them (RFC 7517 §5).
//!
//! A key that we cannot verify with is left out, as §5 advises; whatever is left in is bound to
//! exactly one algorithm, as all of our keys are.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::keys::Algorithm;
use crate::keys::VerifyingKey;
use crate::token::jws::object;
use crate::token::jws::present;

/// The largest JWK set that is read, in bytes; the largest known ones, with certificates, have 40 000.
pub const JWKS_BYTES_MAX: usize = 256 * 1024;

/// The most keys that a set may list, those we leave out included.
pub const JWKS_KEYS_MAX: usize = 64;

/// The longest id of somebody else's key, in bytes; some are URLs.
pub const FOREIGN_KID_BYTES_MAX: usize = 255;

/// The longest RSA exponent, in bytes: ring takes no larger one than 33 bits.
const EXPONENT_BYTES_MAX: usize = 4;

/// Why a JWK set is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    /// Over [`JWKS_BYTES_MAX`].
    #[error("a JWK set of {0} bytes; at most {JWKS_BYTES_MAX} are read")]
    Size(usize),
    /// No JSON object with a list `keys` of objects.
    #[error("not a JWK set: expected a JSON object with a list `keys` of objects")]
    Shape,
    /// Over [`JWKS_KEYS_MAX`].
    #[error("a JWK set of {0} keys; at most {JWKS_KEYS_MAX} are read")]
    Count(usize),
}

/// The keys of a set that we can verify with: RSA of 2048 to 8192 bits, P-256, Ed25519.
#[derive(Clone, Debug, Default)]
pub struct JwkSet {
    keys: Vec<VerifyingKey>,
    left_out: usize,
}

impl JwkSet {
    /// Reads the body of a `jwks_uri`.
    ///
    /// Left out are keys of other kinds, sizes and uses, keys whose id is longer than
    /// [`FOREIGN_KID_BYTES_MAX`], and keys of which the private half was published as well. An RSA
    /// key that names no `alg` is one for RS256, the only algorithm that every OpenID provider must
    /// have (OpenID Connect Core §15.1).
    ///
    /// # Errors
    /// [`JwksError`]; a set of which nothing is left is no error.
    pub fn parse(json: &[u8]) -> Result<Self, JwksError> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        if json.len() > JWKS_BYTES_MAX {
            return Err(JwksError::Size(json.len()));
        }
        let Set { keys: listed } = object(json).ok_or(JwksError::Shape)?;
        if listed.len() > JWKS_KEYS_MAX {
            return Err(JwksError::Count(listed.len()));
        }
        if !listed.iter().all(Value::is_object) {
            return Err(JwksError::Shape);
        }
        let count = listed.len();
        let keys: Vec<_> = listed.into_iter().filter_map(verifying_key).collect();
        let left_out = count - keys.len();
        Ok(Self { keys, left_out })
    }

    /// The keys, in the order of the set. The id of one that has none is empty, so that only tokens
    /// that name no key are held against it.
    pub fn keys(&self) -> &[VerifyingKey] {
        &self.keys
    }

    /// Whether any key has the id `kid`.
    pub fn has(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| &**key.kid() == kid)
    }

    /// How many keys were left out.
    pub fn left_out(&self) -> usize {
        self.left_out
    }
}

/// A JWK, as far as we read it (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default, deserialize_with = "present")]
    kid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    alg: Option<String>,
    #[serde(rename = "use", default, deserialize_with = "present")]
    intended: Option<String>,
    #[serde(default, deserialize_with = "present")]
    key_ops: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present")]
    crv: Option<String>,
    #[serde(default, deserialize_with = "present")]
    n: Option<Bytes>,
    #[serde(default, deserialize_with = "present")]
    e: Option<Bytes>,
    #[serde(default, deserialize_with = "present")]
    x: Option<Bytes>,
    #[serde(default, deserialize_with = "present")]
    y: Option<Bytes>,
    /// The private half. Whoever reads the set can sign with such a key.
    #[serde(default, deserialize_with = "present")]
    d: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    k: Option<IgnoredAny>,
}

impl Jwk {
    /// Whether it is there to verify signatures with, and fit to.
    fn verifies(&self) -> bool {
        let for_signatures = self.intended.as_deref().is_none_or(|intended| intended == "sig");
        let may_verify =
            self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        for_signatures && may_verify && self.d.is_none() && self.k.is_none()
    }

    /// Its one algorithm, and the key as ring reads it.
    fn material(&self) -> Option<(Algorithm, Vec<u8>)> {
        let alg = self.alg.as_deref();
        let only = |algorithm: Algorithm| {
            alg.is_none_or(|alg| alg == algorithm.as_str()).then_some(algorithm)
        };
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => {
                let algorithm = match alg {
                    None | Some("RS256") => Algorithm::RS256,
                    Some("PS256") => Algorithm::PS256,
                    Some(_) => return None,
                };
                rsa_public_key(&self.n.as_ref()?.0, &self.e.as_ref()?.0).map(|der| (algorithm, der))
            }
            ("EC", Some("P-256")) => {
                let (x, y) = (&self.x.as_ref()?.0, &self.y.as_ref()?.0);
                let whole = x.len() == 32 && y.len() == 32;
                let point = || [&[0x04], &x[..], &y[..]].concat();
                only(Algorithm::ES256).filter(|_| whole).map(|algorithm| (algorithm, point()))
            }
            ("OKP", Some("Ed25519")) => {
                let x = self.x.as_ref()?.0.clone();
                only(Algorithm::EdDSA).map(|algorithm| (algorithm, x))
            }
            _ => None,
        }
    }
}

/// The key of one JWK; `None` where it is to be left out.
fn verifying_key(value: Value) -> Option<VerifyingKey> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    if !jwk.verifies() {
        return None;
    }
    let kid = jwk.kid.as_deref().unwrap_or_default();
    if kid.len() > FOREIGN_KID_BYTES_MAX || kid.chars().any(char::is_control) {
        return None;
    }
    let (algorithm, der) = jwk.material()?;
    VerifyingKey::public(Arc::from(kid), algorithm, der).ok()
}

/// An RSAPublicKey in DER (RFC 8017 §A.1.1); `None` for numbers of other sizes than we verify with.
fn rsa_public_key(modulus: &[u8], exponent: &[u8]) -> Option<Vec<u8>> {
    // Base64urlUInt has no leading zeros (RFC 7518 §2), but some writers add one.
    let number = |bytes: &[u8]| {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        bytes[zeros..].to_vec()
    };
    let (modulus, exponent) = (number(modulus), number(exponent));
    let size = (256..=1024).contains(&modulus.len());
    let odd = exponent.last().is_some_and(|last| last & 1 == 1) && exponent[..] != [1];
    if !size || !odd || exponent.len() > EXPONENT_BYTES_MAX {
        return None;
    }
    let body = [integer(&modulus), integer(&exponent)].concat();
    Some([der_head(0x30, body.len()), body].concat())
}

/// A DER INTEGER that is not negative.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let sign: &[u8] = if bytes[0] & 0x80 == 0 { &[] } else { &[0] };
    [&der_head(0x02, sign.len() + bytes.len()), sign, bytes].concat()
}

/// A DER tag and a length below 65536 (X.690 §8.1.3).
fn der_head(tag: u8, len: usize) -> Vec<u8> {
    match len {
        0..0x80 => vec![tag, len as u8],
        0x80..0x100 => vec![tag, 0x81, len as u8],
        _ => vec![tag, 0x82, (len >> 8) as u8, len as u8],
    }
}

/// Bytes in strict base64url.
struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        URL_SAFE_NO_PAD.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
