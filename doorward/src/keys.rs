//! The key ring: of the configuration, or of a secret that was made and is kept in the data
//! directory.

use std::sync::Arc;

use admin_api::LOCAL_KID;
use anyhow::Context;
use config::Config;
use config::Database;
use kernel::keys::Algorithm;
use kernel::keys::HMAC_SECRET_BYTES_MIN;
use kernel::keys::Key;
use kernel::keys::KeyError;
use kernel::keys::KeyRing;
use kernel::keys::LiveKeys;
use kernel::keys::SigningKey;
use kernel::keys::VerifyingKey;
use kernel::random::unguessable;

use crate::data_dir::DataDir;

/// The file of the secret that signs, where the configuration has no key.
const SECRET_FILE: &str = "signing-secret";

/// The file of the secret that keys in the database are sealed under, where the configuration has
/// none.
const SEAL_FILE: &str = "key-encryption-key";

/// The ring that `config` describes; where it names no key, one is made, once.
///
/// # Errors
/// One clear text; never with key material in it.
pub(crate) fn ring(config: &Config, data_dir: &DataDir) -> anyhow::Result<Arc<LiveKeys>> {
    let ring = match configured(config)? {
        Some(ring) => ring,
        None => {
            let secret = data_dir.secret(SECRET_FILE, || Ok(unguessable()?))?;
            let key = SigningKey::hs256(LOCAL_KID, &secret).with_context(|| {
                format!("the secret in `{}` cannot sign", data_dir.join(SECRET_FILE).display())
            })?;
            KeyRing::new(vec![Key::Signing(Box::new(key))])?
        }
    };
    let keys = Arc::new(LiveKeys::new(ring));
    test(&keys)?;
    Ok(keys)
}

/// The ring of a gateway that runs apart: what `config` names, of which no key has to sign. Where
/// none can, there is one beside them that nobody else knows.
///
/// # Errors
/// As [`ring`].
pub(crate) fn ring_at_the_edge(config: &Config) -> anyhow::Result<Arc<LiveKeys>> {
    let signs = config.auth.keys.first().is_some_and(can_sign);
    let all = all(config, signs)?;
    let ring = if signs {
        KeyRing::new(all)
    } else {
        let kid = format!("edge-{}", unguessable()?.expose());
        KeyRing::beside(SigningKey::hs256(&kid, &unguessable()?)?, all)
    };
    let keys = Arc::new(LiveKeys::new(ring.context("[[auth.keys]]")?));
    test(&keys)?;
    Ok(keys)
}

fn can_sign(key: &config::Key) -> bool {
    key.private_key.is_some()
        || key.secret.as_ref().is_some_and(|secret| secret.expose().len() >= HMAC_SECRET_BYTES_MIN)
}

/// Signs and verifies once with the keys in force.
///
/// # Errors
/// Where that fails.
pub(crate) fn test(keys: &LiveKeys) -> anyhow::Result<()> {
    kernel::selftest::run(&keys.ring(), kernel::time::now())
        .context("the cryptography does not work here, so nothing is served")
}

/// Sees to it that keys in the database have something to be sealed under: what is made here serves
/// the one machine that a database in a file serves.
///
/// # Errors
/// One clear text; never with key material in it.
pub(crate) fn provide_seal(config: &mut Config, data_dir: &DataDir) -> anyhow::Result<()> {
    let is_shared = matches!(config.database, Database::Postgres { .. });
    if config.auth.key_encryption_key.is_none() && !is_shared {
        config.auth.key_encryption_key = Some(data_dir.secret(SEAL_FILE, || Ok(unguessable()?))?);
    }
    Ok(())
}

/// The ring of the keys in `config`; `None` where there are none.
///
/// # Errors
/// A key that cannot be used.
pub(crate) fn configured(config: &Config) -> anyhow::Result<Option<KeyRing>> {
    if config.auth.keys.is_empty() {
        return Ok(None);
    }
    KeyRing::new(all(config, true)?).map(Some).context("[[auth.keys]]")
}

/// The keys in `config`; the first of them has to sign where it `signs`.
fn all(config: &Config, signs: bool) -> anyhow::Result<Vec<Key>> {
    let keys = config.auth.keys.iter().enumerate();
    keys.map(|(at, key)| self::key(key, signs && at == 0).context("[[auth.keys]]")).collect()
}

fn key(key: &config::Key, signs: bool) -> Result<Key, KeyError> {
    let algorithm = key.alg;
    let kid = &*key.kid;
    let missing = || KeyError::CannotSign(kid.to_owned());
    if algorithm == Algorithm::HS256 {
        let secret = key.secret.as_ref().ok_or_else(missing)?;
        // An old, short secret may go on verifying; only the first one has to sign.
        return if signs {
            Ok(Key::Signing(Box::new(SigningKey::hs256(kid, secret)?)))
        } else {
            Ok(Key::Verifying(VerifyingKey::hs256(kid, secret)?))
        };
    }
    match (&key.private_key, &key.public_key) {
        (Some(private), _) => {
            Ok(Key::Signing(Box::new(SigningKey::from_pem(kid, algorithm, private)?)))
        }
        (None, Some(public)) => Ok(Key::Verifying(VerifyingKey::from_pem(kid, algorithm, public)?)),
        (None, None) => Err(missing()),
    }
}
