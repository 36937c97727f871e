//! Keys, claims and tokens that the tests of this crate share.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::ECDSA_P256_SHA256_FIXED_SIGNING;
use ring::signature::EcdsaKeyPair;

use crate::claims::Claims;
use crate::claims::TokenType;
use crate::keys::Algorithm;
use crate::keys::Key;
use crate::keys::KeyRing;
use crate::keys::SigningKey;
use crate::keys::VerifyingKey;
use crate::secret::Secret;
use crate::time::Timestamp;
use crate::token::InForce;
use crate::token::Profile;
use crate::token::verify;

pub(crate) const NOW_S: u64 = 1_800_000_000;

pub(crate) const NOW: Timestamp = Timestamp::from_secs(NOW_S);

pub(crate) const ISSUER: &str = "https://door.example";

/// The secret of the key `k1`, which signs wherever a test does not care.
pub(crate) const SECRET: &str = "for tests only: thirty-two bytes";

/// A test key: made for this file with `openssl genpkey -algorithm RSA`, since ring makes none, and
/// good for nothing else.
pub(crate) const RSA_PKCS8_PEM: &str = "\
-----BEGIN PRIVATE KEY-----
MIIEuwIBADANBgkqhkiG9w0BAQEFAASCBKUwggShAgEAAoIBAQDVv50kWcBH+nof
4jHqaiunQoWdR8A0iJbYH2RrmWxvISUdVKMn6xv+LoY3ngtM8TMpZVyQOY6FQ4hJ
pFuRGpM2cR7MTaSDfGhphucyLF+zQYboCGHdLiUainwUNphpFePzckouplbSXbWC
A1VYyVjWr2lie2n9oETtVsxeq335IA2MFt87fsQcpQF4ce+X+gjKOkB6I9ldakgx
Fyy470qx4Ww+5F5eFwQufK63JHBLepXlDcQj1iBBgtDdy9b61PxOW3qvpCxdf/RF
nnoB6uriT5V+9Y2LmaayDDj4DDLTNuqqJ7J1Y+HLWAxPQcqgodQY8Ca3/HePW7hK
qY/t0wcHAgMBAAECggEAFTj4NkK/B6aD96Ryxk6SVQIS2CHmoJCrQXwkcVaDYKlO
0RG1PWJnnh4qb10+y/3q0YJh5WQBlZO19XHfMZIM6cvjfe97lR6GE2w0ilPDkL3B
0kn6xYYuYus7FJqzGUP2JRbE7MrRNgPd4LHKCI29R1uVQBT22hrOnS4QDppCYLiy
hIIOqrKl0mv+mVYxoB5pHvMLIRLA3XXhtMY2m/p7rdmJ4Mj3RxggwKTxnYnBYtvc
uArjxLpkvGBWdwnVWGZrN3xhHtlsBHrCgesl9KbEFHyW1sIyacXi1LK5GOozhLvO
6isXNofPPJBsL9dFmBIPzku9NIR2dnC54Cup3DwY6QKBgQDyXkijRxrlr7/L1sgy
yIuNYDiPgywPLyuG04OyphtBs5UPV4l92xm64XqxOQYD+LE+4zEvBDxxxKnx/YQz
8Jpzq2L+WSjF7mjXF7EG/OiU0/UNC/NQF/5kn4KcUNJqJ98ISlOaUDWnFcOmLGIy
OnFq/cPXXZkPuJ62m4eSpUwRUwKBgQDhxUApl2l5blu1IG6Re284XFkvcgj8GPiP
7QVlm6gul2jlkOMJvW+e9TU0Hr0X6PxD7haAcceniH1T02c2rqYwb16YJM+O9dij
lc36/odS0e/dBXqApjppvunZ4k5Xwnaz/aFJ2XIkqbY0KUSl/4T2QIbbKlM8mwJk
1KThPH14/QKBgQDqWM/TUIVpYS4KYnrg35hP8qG94g9P/0QO8aV9r67bMFEIrJN8
5cVTNYH0qjZu0KBRNkvwMiBfwNCx83dI4XP2M9lcJcmO2J72mynIn/IjNW7UVqHE
5+5KTRF1I5DQpAy7b2K26qd2D01F99RazLetxAEA1LeSw+hymJ/V445RkQJ/AqVN
Gy+rDME+UeEPaqUHqKFsaiHr+QhR4V3lsksgrWsYz5fjETonFLXK6dFyZdVVH3aq
zNaIgG4ZCeJwUzO4vtiPQzkrNYGsCD65KzfQXigXp39o8BkCljqmguckA+NDgNh4
C2WA8O0MNZBGPavA4yHecrMMRqmKXaQgSoNq9QKBgHdnbGD98nhlhS1tFbVGDJfk
CmYwOhrDWQ0RxFxRHDLlQiVQDDd8dhqGS+JNKnUtPnlpQh2OoX1Dn0aUZOWd9gO3
0z9O6ExEiK75W7OehKtdVL1qq/uKb4HZkQMu7fK66n5QN6UAfm3oLTTKksc2RssG
5h3IZszyDnQqOP36TfZs
-----END PRIVATE KEY-----
";

/// How many bytes of PKCS#8 stand before the RSAPrivateKey in [`RSA_PKCS8_PEM`].
const RSA_PKCS8_HEAD: usize = 26;

/// What stands before an RSAPublicKey of 2048 bits in a SubjectPublicKeyInfo (RFC 5280 §4.1).
pub(crate) const RSA_SPKI_HEAD: &[u8] =
    b"\x30\x82\x01\x22\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\
    \x05\x00\x03\x82\x01\x0f\x00";

pub(crate) fn profile() -> Profile {
    Profile {
        issuer: Arc::from(ISSUER),
        audience: None,
        leeway: Duration::ZERO,
        lifetime_max: Duration::from_secs(3600),
        accept_legacy: false,
    }
}

pub(crate) fn claims() -> Claims {
    Claims {
        sub: "u1".to_owned(),
        user_id: "u1".to_owned(),
        username: "ann".to_owned(),
        tier: "free".to_owned(),
        scopes: vec!["orders:read".to_owned()],
        scope: "orders:read".to_owned(),
        token_type: TokenType::Access,
        iss: ISSUER.to_owned(),
        aud: None,
        iat: NOW_S,
        exp: NOW_S + 1800,
        jti: "t1".to_owned(),
        sid: "s1".to_owned(),
        ep: 0,
    }
}

/// `der` between the lines that say `label` (RFC 7468).
pub(crate) fn pem(label: &str, der: &[u8]) -> Secret {
    let base64 = STANDARD.encode(der);
    let lines: Vec<&str> =
        base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let text = lines.join("\n");
    Secret::new(format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n"))
}

pub(crate) fn rsa_pkcs1() -> Vec<u8> {
    let base64: String = RSA_PKCS8_PEM.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(base64).unwrap()[RSA_PKCS8_HEAD..].to_vec()
}

pub(crate) fn p256_pkcs8() -> Vec<u8> {
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    key.as_ref().to_vec()
}

/// As `openssl` writes it: PKCS#8 without the public half (RFC 8410 §7).
pub(crate) fn ed25519_pkcs8() -> Vec<u8> {
    let head = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
    [&head[..], &[7; 32]].concat()
}

/// A private key in PEM, or the secret.
pub(crate) fn private(algorithm: Algorithm) -> Secret {
    match algorithm {
        Algorithm::HS256 => Secret::new(SECRET),
        Algorithm::RS256 | Algorithm::PS256 => Secret::new(RSA_PKCS8_PEM),
        Algorithm::ES256 => pem("PRIVATE KEY", &p256_pkcs8()),
        Algorithm::EdDSA => pem("PRIVATE KEY", &ed25519_pkcs8()),
    }
}

pub(crate) fn signing_key(kid: &str, algorithm: Algorithm) -> SigningKey {
    SigningKey::from_pem(kid, algorithm, &private(algorithm)).unwrap()
}

/// A ring of one key, `k1`.
pub(crate) fn ring_of(algorithm: Algorithm) -> KeyRing {
    KeyRing::new(vec![Key::Signing(Box::new(signing_key("k1", algorithm)))]).unwrap()
}

pub(crate) fn hs256(kid: &str, secret: &str) -> Key {
    Key::Verifying(VerifyingKey::hs256(kid, &Secret::new(secret)).unwrap())
}

/// The first two parts of a compact JWS, of exactly these texts.
pub(crate) fn signing_input(header: &str, payload: &str) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
}

/// `signing_input` with a signature of `secret`.
pub(crate) fn signed_hs256(signing_input: &str, secret: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let tag = hmac::sign(&key, signing_input.as_bytes());
    format!("{signing_input}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// A token of the key `k1` of [`ring_of`] HS256, with exactly this payload.
pub(crate) fn token_saying(payload: &str) -> String {
    let input = signing_input(r#"{"alg":"HS256","kid":"k1"}"#, payload);
    signed_hs256(&input, SECRET.as_bytes())
}

pub(crate) fn decoded(part: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(part).unwrap()
}

pub(crate) fn verified(claims: &Claims) -> InForce {
    let keys = ring_of(Algorithm::HS256);
    let token = keys.signing().sign(claims).unwrap();
    let verified = Arc::new(verify(&token, &keys, &profile(), NOW).unwrap());
    verified.in_force(&profile(), NOW).unwrap()
}
