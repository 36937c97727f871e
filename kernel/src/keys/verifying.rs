//! Keys that verify.

use std::fmt;
use std::sync::Arc;

use jsonwebtoken::DecodingKey;
use ring::hmac;
use ring::signature::UnparsedPublicKey;

use super::Algorithm;
use super::KeyError;
use super::parse_kid;
use crate::secret::Secret;
use crate::signer::public_key_algorithm;

/// A key that verifies.
#[derive(Clone)]
pub struct VerifyingKey {
    kid: Arc<str>,
    algorithm: Algorithm,
    material: Material,
}

#[derive(Clone)]
enum Material {
    Hmac(hmac::Key),
    Public(UnparsedPublicKey<Arc<[u8]>>),
}

impl VerifyingKey {
    /// An HMAC key; of any length, since an old system's short secret may go on verifying.
    ///
    /// # Errors
    /// [`KeyError::Kid`] for an unusable id, [`KeyError::ShortSecret`] for an empty secret.
    pub fn hs256(kid: &str, secret: &Secret) -> Result<Self, KeyError> {
        let bytes = secret.expose().as_bytes();
        if bytes.is_empty() {
            return Err(KeyError::ShortSecret { kid: kid.to_owned(), bytes: 0 });
        }
        Ok(Self {
            kid: parse_kid(kid)?,
            algorithm: Algorithm::HS256,
            material: Material::Hmac(hmac::Key::new(hmac::HMAC_SHA256, bytes)),
        })
    }

    /// A public key in PEM.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] where `pem` holds no public key for `algorithm`, of a size that we
    /// verify with.
    pub fn from_pem(kid: &str, algorithm: Algorithm, pem: &Secret) -> Result<Self, KeyError> {
        let bytes = pem.expose().as_bytes();
        let decoding = match algorithm {
            Algorithm::HS256 => return Self::hs256(kid, pem),
            Algorithm::RS256 | Algorithm::PS256 => DecodingKey::from_rsa_pem(bytes),
            Algorithm::ES256 => DecodingKey::from_ec_pem(bytes),
            Algorithm::EdDSA => DecodingKey::from_ed_pem(bytes),
        };
        let der =
            decoding.and_then(|key| key.try_get_as_bytes().map(<[u8]>::to_vec)).map_err(|_| {
                KeyError::Malformed {
                    kid: kid.to_owned(),
                    algorithm,
                    why: "expected a public key in PEM".to_owned(),
                }
            })?;
        Self::public(parse_kid(kid)?, algorithm, der)
    }

    /// A public key: an RSAPublicKey (RFC 8017 §A.1.1), an uncompressed point, or the 32 bytes of
    /// Ed25519. Its id is taken as it is, since somebody else may have chosen it.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] for anything else, and for RSA keys of other sizes than we verify
    /// with.
    pub(crate) fn public(
        kid: Arc<str>,
        algorithm: Algorithm,
        der: Vec<u8>,
    ) -> Result<Self, KeyError> {
        let Some(scheme) = public_key_algorithm(algorithm) else {
            return Err(KeyError::Malformed {
                kid: kid.to_string(),
                algorithm,
                why: "it has no public half".to_owned(),
            });
        };
        // ring looks at a key no sooner than at a signature, and then says no to all of them.
        if !is_public_key(algorithm, &der) {
            return Err(KeyError::Malformed {
                kid: kid.to_string(),
                algorithm,
                why: "expected a public key: RSA of 2048 to 8192 bits, P-256 or Ed25519".to_owned(),
            });
        }
        Ok(Self {
            kid,
            algorithm,
            material: Material::Public(UnparsedPublicKey::new(scheme, der.into())),
        })
    }

    /// Its id.
    pub fn kid(&self) -> &Arc<str> {
        &self.kid
    }

    /// Its algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether `signature` is this key's over `message`; HMAC in constant time.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Hmac(key) => hmac::verify(key, message, signature).is_ok(),
            Material::Public(key) => key.verify(message, signature).is_ok(),
        }
    }

    /// The public half as [`Self::public`] takes it; none of a secret.
    pub(super) fn public_key(&self) -> Option<&[u8]> {
        match &self.material {
            Material::Hmac(_) => None,
            Material::Public(key) => Some(key.as_ref()),
        }
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({}, {})", self.kid, self.algorithm)
    }
}

fn is_public_key(algorithm: Algorithm, der: &[u8]) -> bool {
    match algorithm {
        Algorithm::HS256 => false,
        // RSAPublicKey begins with the modulus, RSAPrivateKey with a version (RFC 8017 §A.1).
        Algorithm::RS256 | Algorithm::PS256 => matches!(
            der,
            [0x30, 0x82, _, _, 0x02, 0x82, high, low, ..]
                // With the zero byte that keeps the number positive.
                if (257..=1025).contains(&u16::from_be_bytes([*high, *low]))
        ),
        // An uncompressed point (SEC 1 §2.3.3).
        Algorithm::ES256 => der.len() == 65 && der[0] == 0x04,
        Algorithm::EdDSA => der.len() == 32,
    }
}
