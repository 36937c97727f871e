//! Keys, each bound to exactly one algorithm, and the ring of them that a process trusts.
//!
//! The algorithm always comes from the key, never from a token: that is what keeps an RSA public
//! key from being used as an HMAC secret (RFC 8725 §3.1).

use std::fmt;
use std::sync::Arc;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::EncodingKey;
use jsonwebtoken::Header;
use ring::hmac;
use ring::rsa;
use ring::signature::KeyPair;
use ring::signature::UnparsedPublicKey;
use serde::Serialize;

use crate::provider;
use crate::secret::Secret;

/// The shortest HMAC secret that may sign, in bytes (RFC 7518 §3.2).
pub const HMAC_SECRET_BYTES_MIN: usize = 32;

/// The most keys that one ring holds.
pub const KEYS_MAX: usize = 16;

/// The longest key id, in bytes.
pub const KID_BYTES_MAX: usize = 64;

/// The signature algorithms that we speak (RFC 7518 §3.1, RFC 8037 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    HS256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PSS with SHA-256.
    PS256,
    /// ECDSA with P-256 and SHA-256.
    ES256,
    /// Ed25519.
    EdDSA,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::HS256, Self::RS256, Self::PS256, Self::ES256, Self::EdDSA];

    /// Its name in a token's header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HS256 => "HS256",
            Self::RS256 => "RS256",
            Self::PS256 => "PS256",
            Self::ES256 => "ES256",
            Self::EdDSA => "EdDSA",
        }
    }

    const fn in_jsonwebtoken(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::HS256 => jsonwebtoken::Algorithm::HS256,
            Self::RS256 => jsonwebtoken::Algorithm::RS256,
            Self::PS256 => jsonwebtoken::Algorithm::PS256,
            Self::ES256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDSA => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A key that cannot be used. Never holds key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// An HMAC secret too short to sign with.
    #[error("the secret of key `{kid}` has {bytes} bytes; use at least {HMAC_SECRET_BYTES_MIN}")]
    ShortSecret {
        /// Which key.
        kid: String,
        /// How long it is.
        bytes: usize,
    },
    /// A text that is no key for its algorithm.
    #[error("key `{kid}` is no {algorithm} key: {why}")]
    Malformed {
        /// Which key.
        kid: String,
        /// What it should be a key for.
        algorithm: Algorithm,
        /// What is wrong with it.
        why: String,
    },
    /// A key id that is empty, too long or not plain.
    #[error("`{0}` is no key id: use 1 to {KID_BYTES_MAX} visible ASCII characters")]
    Kid(String),
    /// Two keys with one id.
    #[error("two keys have the id `{0}`; ids must differ")]
    SameKid(String),
    /// No key at all, or too many.
    #[error("{0} keys; use 1 to {KEYS_MAX}")]
    Count(usize),
    /// The first key can only verify.
    #[error("the first key, `{0}`, signs, so it needs a secret or a private key")]
    CannotSign(String),
    /// The signature could not be made.
    #[error("signing with key `{0}` failed")]
    Signing(String),
}

/// A key that signs, with its public or shared half.
pub struct SigningKey {
    encoding: EncodingKey,
    verifying: VerifyingKey,
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
        provider::install();
        Ok(Self {
            encoding: EncodingKey::from_secret(bytes),
            verifying: VerifyingKey::hs256(kid, secret)?,
        })
    }

    /// A private key in PEM: PKCS#1 or PKCS#8 for RSA, PKCS#8 for the curves.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] where `pem` holds no private key for `algorithm`.
    pub fn from_pem(kid: &str, algorithm: Algorithm, pem: &Secret) -> Result<Self, KeyError> {
        provider::install();
        let bytes = pem.expose().as_bytes();
        let malformed = |why: String| KeyError::Malformed { kid: kid.to_owned(), algorithm, why };
        let encoding = match algorithm {
            Algorithm::HS256 => return Self::hs256(kid, pem),
            Algorithm::RS256 | Algorithm::PS256 => EncodingKey::from_rsa_pem(bytes),
            Algorithm::ES256 => EncodingKey::from_ec_pem(bytes),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(bytes),
        }
        .map_err(|_| malformed("expected a private key in PEM".to_owned()))?;
        let der = encoding.as_bytes();
        let rejected = |e: ring::error::KeyRejected| malformed(e.to_string());
        let public = match algorithm {
            Algorithm::HS256 => Vec::new(),
            Algorithm::RS256 | Algorithm::PS256 => {
                let pair = rsa::KeyPair::from_der(der).map_err(rejected)?;
                pair.public().as_ref().to_vec()
            }
            Algorithm::ES256 => {
                let pair = provider::ecdsa(der).map_err(rejected)?;
                pair.public_key().as_ref().to_vec()
            }
            Algorithm::EdDSA => {
                let pair = provider::ed25519(der).map_err(rejected)?;
                pair.public_key().as_ref().to_vec()
            }
        };
        Ok(Self { verifying: VerifyingKey::public(kid, algorithm, public)?, encoding })
    }

    /// Its id.
    pub fn kid(&self) -> &str {
        self.verifying.kid()
    }

    /// Its algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.verifying.algorithm
    }

    /// Signs `claims` as a compact JWS (RFC 7515 §7.1).
    ///
    /// # Errors
    /// [`KeyError::Signing`] when the claims cannot be written as JSON or ring refuses the key.
    pub fn sign<T: Serialize>(&self, claims: &T) -> Result<String, KeyError> {
        let mut header = Header::new(self.algorithm().in_jsonwebtoken());
        header.kid = Some(self.kid().to_owned());
        jsonwebtoken::encode(&header, claims, &self.encoding)
            .map_err(|_| KeyError::Signing(self.kid().to_owned()))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, {})", self.kid(), self.algorithm())
    }
}

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
        provider::install();
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
        Self::public(kid, algorithm, der)
    }

    fn public(kid: &str, algorithm: Algorithm, der: Vec<u8>) -> Result<Self, KeyError> {
        Self::foreign(parse_kid(kid)?, algorithm, der)
    }

    /// A public key whose id somebody else chose: an RSAPublicKey (RFC 8017 §A.1.1), an
    /// uncompressed point, or the 32 bytes of Ed25519.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] for anything else, and for RSA keys of other sizes than we verify
    /// with.
    pub(crate) fn foreign(
        kid: Arc<str>,
        algorithm: Algorithm,
        der: Vec<u8>,
    ) -> Result<Self, KeyError> {
        let Some(scheme) = provider::public_key_algorithm(algorithm.in_jsonwebtoken()) else {
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

fn parse_kid(kid: &str) -> Result<Arc<str>, KeyError> {
    let fits = !kid.is_empty() && kid.len() <= KID_BYTES_MAX;
    if fits && kid.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(kid.into())
    } else {
        Err(KeyError::Kid(kid.chars().take(2 * KID_BYTES_MAX).collect()))
    }
}

/// A key as it stands in the configuration.
#[derive(Debug)]
pub enum Key {
    /// Signs and verifies.
    Signing(Box<SigningKey>),
    /// Only verifies.
    Verifying(VerifyingKey),
}

/// The keys that a process trusts: the first signs, all verify.
#[derive(Debug)]
pub struct KeyRing {
    signing: Box<SigningKey>,
    verifying: Vec<VerifyingKey>,
}

impl KeyRing {
    /// Puts `keys` on a ring; the first signs, all verify.
    ///
    /// # Errors
    /// [`KeyError::Count`] for none or over [`KEYS_MAX`], [`KeyError::SameKid`],
    /// [`KeyError::CannotSign`] where the first only verifies.
    pub fn new(keys: Vec<Key>) -> Result<Self, KeyError> {
        if keys.is_empty() || keys.len() > KEYS_MAX {
            return Err(KeyError::Count(keys.len()));
        }
        let mut verifying: Vec<VerifyingKey> = Vec::with_capacity(keys.len());
        let mut signing = None;
        for key in keys {
            let verifier = match key {
                Key::Signing(key) => {
                    let verifier = key.verifying.clone();
                    if verifying.is_empty() {
                        signing = Some(key);
                    }
                    verifier
                }
                Key::Verifying(key) => key,
            };
            if verifying.iter().any(|known| known.kid == verifier.kid) {
                return Err(KeyError::SameKid(verifier.kid.to_string()));
            }
            verifying.push(verifier);
        }
        let first = verifying[0].kid.to_string();
        Ok(Self { signing: signing.ok_or(KeyError::CannotSign(first))?, verifying })
    }

    /// The key that signs.
    pub fn signing(&self) -> &SigningKey {
        &self.signing
    }

    /// All keys, in the order of the configuration.
    pub fn verifying(&self) -> &[VerifyingKey] {
        &self.verifying
    }
}

#[cfg(test)]
mod tests;
