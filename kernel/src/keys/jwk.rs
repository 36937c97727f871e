//! Public keys as JSON (RFC 7517), for whoever verifies our tokens elsewhere.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use serde_json::json;

use super::Algorithm;
use super::VerifyingKey;

/// The JWK set (RFC 7517 §5) of the public keys among `keys`; secrets are left out.
pub fn jwk_set(keys: &[VerifyingKey]) -> Value {
    json!({ "keys": keys.iter().filter_map(jwk).collect::<Vec<_>>() })
}

fn jwk(key: &VerifyingKey) -> Option<Value> {
    let public = key.public_key()?;
    let base64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let mut jwk = match key.algorithm() {
        Algorithm::HS256 => return None,
        Algorithm::RS256 | Algorithm::PS256 => {
            let (n, e) = modulus_and_exponent(public)?;
            json!({ "kty": "RSA", "n": base64(n), "e": base64(e) })
        }
        // RFC 7518 §6.2.1: the halves of the uncompressed point, after the byte that says so.
        Algorithm::ES256 => {
            let (x, y) = public.get(1..)?.split_at_checked(32)?;
            json!({ "kty": "EC", "crv": "P-256", "x": base64(x), "y": base64(y) })
        }
        // RFC 8037 §2.
        Algorithm::EdDSA => json!({ "kty": "OKP", "crv": "Ed25519", "x": base64(public) }),
    };
    jwk["kid"] = json!(**key.kid());
    jwk["alg"] = json!(key.algorithm().as_str());
    jwk["use"] = json!("sig");
    Some(jwk)
}

/// The two numbers of an RSAPublicKey (RFC 8017 §A.1.1), as RFC 7518 §6.3.1 wants them: big-endian,
/// without leading zeros.
fn modulus_and_exponent(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sequence, rest) = element(der, 0x30)?;
    let (modulus, after) = element(sequence, 0x02)?;
    let (exponent, end) = element(after, 0x02)?;
    (rest.is_empty() && end.is_empty()).then(|| (without_zeros(modulus), without_zeros(exponent)))
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

/// What a DER element with that tag holds, and what follows it (X.690 §8.1).
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[first, length], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81 => (usize::from(*rest.first()?), &rest[1..]),
        0x82 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    (first == tag).then(|| rest.split_at_checked(length))?
}
