//! Keys that sign.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::EncodingKey;
use ring::rand::SystemRandom;
use ring::signature::ECDSA_P256_SHA256_FIXED_SIGNING;
use ring::signature::EcdsaKeyPair;
use ring::signature::Ed25519KeyPair;
use serde::Serialize;

use super::Algorithm;
use super::HMAC_SECRET_BYTES_MIN;
use super::KeyError;
use super::VerifyingKey;
use super::parse_kid;
use crate::secret::Secret;
use crate::signer::Signer;

/// A key that signs, with its public or shared half; cheap to clone.
#[derive(Clone)]
pub struct SigningKey {
    signer: Arc<Signer>,
    verifying: VerifyingKey,
    /// What every token of it begins with: the header, and the point after it.
    beginning: Arc<str>,
}

/// The header of a token that we sign, in the order in which it is written.
#[derive(Serialize)]
struct Header<'a> {
    typ: &'static str,
    alg: &'static str,
    kid: &'a str,
}

impl SigningKey {
    /// An HMAC key.
    ///
    /// # Errors
    /// [`KeyError::ShortSecret`] under [`HMAC_SECRET_BYTES_MIN`] bytes.
    pub fn hs256(kid: &str, secret: &Secret) -> Result<Self, KeyError> {
        let bytes = secret.expose().as_bytes();
        if bytes.len() < HMAC_SECRET_BYTES_MIN {
            return Err(KeyError::ShortSecret { kid: kid.to_owned(), bytes: bytes.len() });
        }
        Self::read(kid, Algorithm::HS256, bytes, |_| VerifyingKey::hs256(kid, secret))
    }

    /// A private key in PEM: PKCS#1 or PKCS#8 for RSA, PKCS#8 for the curves.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] where `pem` holds no private key for `algorithm`.
    pub fn from_pem(kid: &str, algorithm: Algorithm, pem: &Secret) -> Result<Self, KeyError> {
        let bytes = pem.expose().as_bytes();
        let key = match algorithm {
            Algorithm::HS256 => return Self::hs256(kid, pem),
            Algorithm::RS256 | Algorithm::PS256 => EncodingKey::from_rsa_pem(bytes),
            Algorithm::ES256 => EncodingKey::from_ec_pem(bytes),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(bytes),
        };
        let key = key.map_err(|_| KeyError::Malformed {
            kid: kid.to_owned(),
            algorithm,
            why: "expected a private key in PEM".to_owned(),
        })?;
        Self::read(kid, algorithm, key.as_bytes(), |signer| {
            let public = signer.public_key().unwrap_or_default();
            VerifyingKey::public(parse_kid(kid)?, algorithm, public.to_vec())
        })
    }

    fn read(
        kid: &str,
        algorithm: Algorithm,
        key: &[u8],
        verifying: impl FnOnce(&Signer) -> Result<VerifyingKey, KeyError>,
    ) -> Result<Self, KeyError> {
        let signer = Signer::new(algorithm, key).map_err(|e| KeyError::Malformed {
            kid: kid.to_owned(),
            algorithm,
            why: e.to_string(),
        })?;
        let verifying = verifying(&signer)?;
        let header = Header { typ: "JWT", alg: algorithm.as_str(), kid: verifying.kid() };
        let header = serde_json::to_vec(&header).map_err(|_| KeyError::Signing(kid.to_owned()))?;
        let beginning = format!("{}.", URL_SAFE_NO_PAD.encode(header)).into();
        Ok(Self { signer: Arc::new(signer), verifying, beginning })
    }

    /// Its id.
    pub fn kid(&self) -> &str {
        self.verifying.kid()
    }

    /// Its algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.verifying.algorithm()
    }

    /// Its half that verifies.
    pub fn verifying(&self) -> &VerifyingKey {
        &self.verifying
    }

    /// Signs `claims` as a compact JWS (RFC 7515 §7.1).
    ///
    /// # Errors
    /// [`KeyError::Signing`] when the claims cannot be written as JSON or ring refuses the key.
    pub fn sign<T: Serialize>(&self, claims: &T) -> Result<String, KeyError> {
        let failed = || KeyError::Signing(self.kid().to_owned());
        let claims = serde_json::to_vec(claims).map_err(|_| failed())?;
        let mut token = self.beginning.to_string();
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = self.signer.sign(token.as_bytes()).map_err(|_| failed())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, {})", self.kid(), self.algorithm())
    }
}

/// Makes a private key for `algorithm`, as PEM.
///
/// # Errors
/// [`KeyError::NotMade`] for HS256 and RSA: a shared secret belongs in the configuration of all
/// who share it, and ring makes no RSA keys.
pub fn new_private_key(algorithm: Algorithm) -> Result<Secret, KeyError> {
    let random = SystemRandom::new();
    let made = match algorithm {
        Algorithm::ES256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random),
        Algorithm::EdDSA => Ed25519KeyPair::generate_pkcs8(&random),
        Algorithm::HS256 | Algorithm::RS256 | Algorithm::PS256 => {
            return Err(KeyError::NotMade(algorithm));
        }
    };
    let base64 = STANDARD.encode(made.map_err(|_| KeyError::Random)?);
    let mut pem = "-----BEGIN PRIVATE KEY-----\n".to_owned();
    // Lines of 64 characters (RFC 7468 §3); base64 is ASCII, so no cut is within a character.
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    Ok(Secret::new(pem))
}
