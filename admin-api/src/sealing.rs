//! Secrets at rest: sealed with AES-256-GCM, under a key that the database does not hold.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kernel::random;
use kernel::random::NoRandomness;
use kernel::secret::Secret;
use ring::aead::AES_256_GCM;
use ring::aead::Aad;
use ring::aead::LessSafeKey;
use ring::aead::NONCE_LEN;
use ring::aead::Nonce;
use ring::aead::UnboundKey;
use ring::hkdf;

/// How a sealed text begins: the one way of sealing there is.
const FORM: &str = "1.";

/// Why a text was not sealed, or not opened. Says nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Nothing for a nonce.
    #[error(transparent)]
    Random(#[from] NoRandomness),
    /// Sealed under another key, for another purpose, or changed since.
    #[error(
        "it was sealed under another `auth.key_encryption_key`, or changed since; put the old one back"
    )]
    Broken,
    /// Sealed, and there is nothing to open it with.
    #[error("it is sealed, and the configuration has no `auth.key_encryption_key`; put it back")]
    NoSeal,
}

/// Seals texts, and opens what it sealed.
pub(crate) struct Seal(LessSafeKey);

impl Seal {
    /// A seal under `secret`, from which the key is derived (HKDF-SHA256, RFC 5869): it may have any
    /// length and alphabet, as long as nobody can guess it.
    pub(crate) fn under(secret: &Secret) -> Self {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"doorward");
        let derived = salt.extract(secret.expose().as_bytes());
        let key = derived.expand(&[b"signing keys"], &AES_256_GCM);
        // ring refuses only lengths that HKDF cannot give, and 32 bytes is none of them.
        let key = key.expect("HKDF gives 32 bytes");
        Self(LessSafeKey::new(UnboundKey::from(key)))
    }

    /// Seals `text`, to be opened only for the same `purpose`.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub(crate) fn close(&self, text: &Secret, purpose: &str) -> Result<String, SealError> {
        let nonce: [u8; NONCE_LEN] = random::bytes()?;
        let mut sealed = text.expose().as_bytes().to_vec();
        let nonce_once = Nonce::assume_unique_for_key(nonce);
        self.0
            .seal_in_place_append_tag(nonce_once, Aad::from(purpose.as_bytes()), &mut sealed)
            .expect("a key is far shorter than what AES-GCM takes at one time");
        let whole = [&nonce[..], &sealed].concat();
        Ok(format!("{FORM}{}", STANDARD.encode(whole)))
    }

    /// Opens what was sealed for `purpose`.
    ///
    /// # Errors
    /// [`SealError::Broken`].
    pub(crate) fn open(&self, sealed: &str, purpose: &str) -> Result<Secret, SealError> {
        let opened = || {
            let whole = STANDARD.decode(sealed.strip_prefix(FORM)?).ok()?;
            let (nonce, sealed) = whole.split_first_chunk::<NONCE_LEN>()?;
            let (mut sealed, nonce) = (sealed.to_vec(), Nonce::assume_unique_for_key(*nonce));
            let purpose = Aad::from(purpose.as_bytes());
            let text = self.0.open_in_place(nonce, purpose, &mut sealed).ok()?;
            std::str::from_utf8(text).ok().map(Secret::new)
        };
        opened().ok_or(SealError::Broken)
    }
}

/// How the secrets that a deployment makes for itself lie in its database.
///
/// On a server they are sealed, where a seal is configured: whoever reads its backups makes no
/// tokens. A file on one machine has its seal beside it, which would keep nobody out.
pub(crate) struct AtRest {
    seal: Option<Seal>,
    closes: bool,
}

impl AtRest {
    /// As the configuration says.
    pub(crate) fn of(config: &config::Config) -> Self {
        let seal = config.auth.key_encryption_key.as_ref().map(Seal::under);
        let on_a_server = matches!(config.database, config::Database::Postgres { .. });
        Self { closes: on_a_server && seal.is_some(), seal }
    }

    /// What is kept of `secret`.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub(crate) fn close(&self, secret: &Secret, purpose: &str) -> Result<Secret, SealError> {
        match &self.seal {
            Some(seal) if self.closes => seal.close(secret, purpose).map(Secret::new),
            _ => Ok(secret.clone()),
        }
    }

    /// The secret of which `kept` is kept.
    ///
    /// # Errors
    /// [`SealError::Broken`], [`SealError::NoSeal`].
    pub(crate) fn open(&self, kept: &Secret, purpose: &str) -> Result<Secret, SealError> {
        match (&self.seal, is_sealed(kept)) {
            (_, false) => Ok(kept.clone()),
            (Some(seal), true) => seal.open(kept.expose(), purpose),
            (None, true) => Err(SealError::NoSeal),
        }
    }

    /// Whether `kept` lies open, and is to be sealed.
    pub(crate) fn is_to_be_closed(&self, kept: &Secret) -> bool {
        self.closes && !is_sealed(kept)
    }
}

/// Whether it is what a seal made, and no secret of our own making, in which there is no point.
fn is_sealed(kept: &Secret) -> bool {
    kept.expose().starts_with(FORM)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(secret: &str) -> Seal {
        Seal::under(&Secret::new(secret))
    }

    #[test]
    fn what_was_sealed_opens_under_the_same_secret_for_the_same_purpose_alone() {
        let text = Secret::new("-----BEGIN PRIVATE KEY-----");
        let sealed = seal("one").close(&text, "k1 ES256").unwrap();
        assert!(seal("one").open(&sealed, "k1 ES256").unwrap() == text);
        for (secret, purpose) in [("two", "k1 ES256"), ("one", "k2 ES256"), ("one", "")] {
            let opened = seal(secret).open(&sealed, purpose).map(|_| ());
            assert_eq!(opened, Err(SealError::Broken), "{secret} {purpose}");
        }
    }

    #[test]
    fn no_two_sealed_texts_are_alike_and_none_shows_what_is_in_it() {
        let text = Secret::new("hunter2 hunter2 hunter2 hunter2");
        let close = || seal("one").close(&text, "k1").unwrap();
        assert_ne!(close(), close());
        let bytes = STANDARD.decode(&close()[FORM.len()..]).unwrap();
        assert!(!bytes.windows(4).any(|four| four == b"hunt"));
    }

    #[test]
    fn one_changed_bit_and_what_is_no_sealed_text_are_refused() {
        let sealed = seal("one").close(&Secret::new("text"), "k1").unwrap();
        let bytes = STANDARD.decode(&sealed[FORM.len()..]).unwrap();
        for bit in 0..8 * bytes.len() {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let changed = format!("{FORM}{}", STANDARD.encode(changed));
            assert_eq!(seal("one").open(&changed, "k1").map(|_| ()), Err(SealError::Broken));
        }
        for text in ["", "1.", "2.AAAA", "1.!", &sealed[..20], &sealed[2..]] {
            assert_eq!(seal("one").open(text, "k1").map(|_| ()), Err(SealError::Broken), "{text}");
        }
    }
}
