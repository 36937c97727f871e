//! The keys of the provider, and the tokens they sign.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::rsa;
use ring::rsa::PublicKeyComponents;
use ring::signature::ECDSA_P256_SHA256_FIXED_SIGNING;
use ring::signature::EcdsaKeyPair;
use ring::signature::KeyPair;
use ring::signature::RSA_PKCS1_SHA256;
use serde_json::Value;
use serde_json::json;

/// A key of 2048 bits, made for tests with `openssl genpkey`, since ring makes no RSA keys; good for
/// nothing else.
pub const RSA_PEM: &str = include_str!("test_only_rsa.pem");

/// A key that signs id tokens.
pub(super) enum Key {
    Rsa(Box<rsa::KeyPair>),
    P256(Box<EcdsaKeyPair>),
}

impl Key {
    /// The first key, `k1`: RS256.
    pub(super) fn rsa() -> Self {
        let base64: String = RSA_PEM.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = STANDARD.decode(base64).expect("the file holds base64");
        Self::Rsa(Box::new(rsa::KeyPair::from_pkcs8(&der).expect("the file holds a key")))
    }

    /// A fresh key: ES256.
    pub(super) fn p256() -> Self {
        let random = SystemRandom::new();
        let scheme = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(scheme, &random).expect("a key can be made");
        let pair = EcdsaKeyPair::from_pkcs8(scheme, pkcs8.as_ref(), &random);
        Self::P256(Box::new(pair.expect("a key that was just made")))
    }

    /// Its name among algorithms.
    pub(super) fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::P256(_) => "ES256",
        }
    }

    /// Its public half, as a JWK set lists it.
    pub(super) fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Rsa(pair) => {
                let PublicKeyComponents::<Vec<u8>> { n, e } = pair.public().into();
                json!({
                    "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid,
                    "n": base64url(n), "e": base64url(e),
                })
            }
            Self::P256(pair) => {
                let point = pair.public_key().as_ref();
                json!({
                    "kty": "EC", "use": "sig", "crv": "P-256", "kid": kid,
                    "x": base64url(&point[1..33]), "y": base64url(&point[33..]),
                })
            }
        }
    }

    /// A compact JWS of exactly this header and these claims.
    pub(super) fn sign(&self, header: &Value, claims: &Value) -> String {
        let input = unsigned(header, claims);
        let random = SystemRandom::new();
        let signature = match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, input.as_bytes(), &mut signature)
                    .expect("an RSA key signs");
                signature
            }
            Self::P256(pair) => {
                let signature = pair.sign(&random, input.as_bytes());
                signature.expect("a P-256 key signs").as_ref().to_vec()
            }
        };
        format!("{input}.{}", base64url(signature))
    }
}

/// The first two parts of a compact JWS.
pub(super) fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()))
}

pub(super) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
