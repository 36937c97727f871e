//! `jsonwebtoken`'s cryptography, done by ring.
//!
//! jsonwebtoken 10.3 and later compiles without a crypto backend and panics at the first use; its
//! own backends would bring a second crypto library. This file is the backend: five algorithms,
//! one library, the same one that speaks TLS.

use std::sync::Once;

use jsonwebtoken::Algorithm;
use jsonwebtoken::EncodingKey;
use jsonwebtoken::crypto::CryptoProvider;
use jsonwebtoken::crypto::JwtSigner;
use jsonwebtoken::crypto::KeyUtils;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::errors::new_error;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::rsa;
use ring::signature as sig;
use signature::Error as SignatureError;
use signature::Signer;

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    // Ours verify by themselves (`keys`): nobody may verify beside them.
    verifier_factory: |_, _| Err(new_error(ErrorKind::UnsupportedAlgorithm)),
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes ring the process' backend; called by every constructor of a key that needs it, so it can't be forgotten.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Somebody else's provider may stand already; the self-test at start proves that it works.
        let _ = PROVIDER.install_default();
    });
}

enum RingSigner {
    Hmac(hmac::Key),
    Rsa(Algorithm, Box<rsa::KeyPair>),
    Ecdsa(Box<sig::EcdsaKeyPair>),
    Ed25519(Box<sig::Ed25519KeyPair>),
}

fn signer(
    algorithm: &Algorithm,
    key: &EncodingKey,
) -> jsonwebtoken::errors::Result<Box<dyn JwtSigner>> {
    let der = key.as_bytes();
    let bad = |e: ring::error::KeyRejected| new_error(ErrorKind::Provider(e.to_string()));
    let signer = match algorithm {
        Algorithm::HS256 => RingSigner::Hmac(hmac::Key::new(hmac::HMAC_SHA256, der)),
        Algorithm::RS256 | Algorithm::PS256 => {
            RingSigner::Rsa(*algorithm, Box::new(rsa::KeyPair::from_der(der).map_err(bad)?))
        }
        Algorithm::ES256 => RingSigner::Ecdsa(Box::new(ecdsa(der).map_err(bad)?)),
        Algorithm::EdDSA => RingSigner::Ed25519(Box::new(ed25519(der).map_err(bad)?)),
        _ => return Err(new_error(ErrorKind::UnsupportedAlgorithm)),
    };
    Ok(Box::new(signer))
}

pub(crate) fn ecdsa(pkcs8: &[u8]) -> Result<sig::EcdsaKeyPair, ring::error::KeyRejected> {
    sig::EcdsaKeyPair::from_pkcs8(
        &sig::ECDSA_P256_SHA256_FIXED_SIGNING,
        pkcs8,
        &SystemRandom::new(),
    )
}

pub(crate) fn ed25519(pkcs8: &[u8]) -> Result<sig::Ed25519KeyPair, ring::error::KeyRejected> {
    sig::Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8)
}

impl Signer<Vec<u8>> for RingSigner {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        let random = SystemRandom::new();
        match self {
            Self::Hmac(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            Self::Rsa(algorithm, pair) => {
                let padding: &'static dyn sig::RsaEncoding = match algorithm {
                    Algorithm::PS256 => &sig::RSA_PSS_SHA256,
                    _ => &sig::RSA_PKCS1_SHA256,
                };
                let mut out = vec![0; pair.public().modulus_len()];
                pair.sign(padding, &random, message, &mut out)
                    .map_err(|_| SignatureError::new())?;
                Ok(out)
            }
            Self::Ecdsa(pair) => pair
                .sign(&random, message)
                .map(|s| s.as_ref().to_vec())
                .map_err(|_| SignatureError::new()),
            Self::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }
}

impl JwtSigner for RingSigner {
    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Hmac(_) => Algorithm::HS256,
            Self::Rsa(algorithm, _) => *algorithm,
            Self::Ecdsa(_) => Algorithm::ES256,
            Self::Ed25519(_) => Algorithm::EdDSA,
        }
    }
}

/// How ring verifies an asymmetric `algorithm`; RSA keys of 2048 to 8192 bits.
pub(crate) fn public_key_algorithm(
    algorithm: Algorithm,
) -> Option<&'static dyn sig::VerificationAlgorithm> {
    match algorithm {
        Algorithm::RS256 => Some(&sig::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::PS256 => Some(&sig::RSA_PSS_2048_8192_SHA256),
        Algorithm::ES256 => Some(&sig::ECDSA_P256_SHA256_FIXED),
        Algorithm::EdDSA => Some(&sig::ED25519),
        _ => None,
    }
}
