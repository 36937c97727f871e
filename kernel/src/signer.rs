//! Signatures by ring, the library that speaks TLS: five algorithms, and keys that are parsed once.

use ring::error::KeyRejected;
use ring::error::Unspecified;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::rsa;
use ring::signature as sig;
use ring::signature::KeyPair;

use crate::algorithm::Algorithm;

/// A key that signs, ready for use: parsing one costs as much as a signature does.
pub(crate) enum Signer {
    Hmac(hmac::Key),
    Rsa(&'static dyn sig::RsaEncoding, Box<rsa::KeyPair>),
    Ecdsa(Box<sig::EcdsaKeyPair>),
    Ed25519(Box<sig::Ed25519KeyPair>),
}

impl Signer {
    /// Reads a secret, or a private key in DER: PKCS#1 for RSA, PKCS#8 for the curves.
    pub(crate) fn new(algorithm: Algorithm, key: &[u8]) -> Result<Self, KeyRejected> {
        let rsa = |encoding| Ok(Self::Rsa(encoding, Box::new(rsa::KeyPair::from_der(key)?)));
        match algorithm {
            Algorithm::HS256 => Ok(Self::Hmac(hmac::Key::new(hmac::HMAC_SHA256, key))),
            Algorithm::RS256 => rsa(&sig::RSA_PKCS1_SHA256),
            Algorithm::PS256 => rsa(&sig::RSA_PSS_SHA256),
            Algorithm::ES256 => Ok(Self::Ecdsa(Box::new(ecdsa(key)?))),
            Algorithm::EdDSA => Ok(Self::Ed25519(Box::new(ed25519(key)?))),
        }
    }

    /// The public half as ring verifies with it; none of a secret.
    pub(crate) fn public_key(&self) -> Option<&[u8]> {
        match self {
            Self::Hmac(_) => None,
            Self::Rsa(_, pair) => Some(pair.public().as_ref()),
            Self::Ecdsa(pair) => Some(pair.public_key().as_ref()),
            Self::Ed25519(pair) => Some(pair.public_key().as_ref()),
        }
    }

    /// Signs `message`; the curves' signatures have a fixed size (RFC 7518 §3.4).
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let random = SystemRandom::new();
        match self {
            Self::Hmac(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            Self::Rsa(encoding, pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(*encoding, &random, message, &mut signature)?;
                Ok(signature)
            }
            Self::Ecdsa(pair) => Ok(pair.sign(&random, message)?.as_ref().to_vec()),
            Self::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }
}

pub(crate) fn ecdsa(pkcs8: &[u8]) -> Result<sig::EcdsaKeyPair, KeyRejected> {
    sig::EcdsaKeyPair::from_pkcs8(
        &sig::ECDSA_P256_SHA256_FIXED_SIGNING,
        pkcs8,
        &SystemRandom::new(),
    )
}

pub(crate) fn ed25519(pkcs8: &[u8]) -> Result<sig::Ed25519KeyPair, KeyRejected> {
    sig::Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8)
}

/// How ring verifies an asymmetric `algorithm`; RSA keys of 2048 to 8192 bits.
pub(crate) fn public_key_algorithm(
    algorithm: Algorithm,
) -> Option<&'static dyn sig::VerificationAlgorithm> {
    match algorithm {
        Algorithm::HS256 => None,
        Algorithm::RS256 => Some(&sig::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::PS256 => Some(&sig::RSA_PSS_2048_8192_SHA256),
        Algorithm::ES256 => Some(&sig::ECDSA_P256_SHA256_FIXED),
        Algorithm::EdDSA => Some(&sig::ED25519),
    }
}
