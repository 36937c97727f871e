//! The secrets that sign refresh tokens: made here, kept here, never given to a gateway.
//!
//! A gateway that is taken over can then make no refresh token, and a change of the keys that sign
//! access tokens ends no session.

use std::sync::Arc;

use kernel::keys::KEYS_MAX;
use kernel::keys::Key;
use kernel::keys::KeyError;
use kernel::keys::KeyRing;
use kernel::keys::SigningKey;
use kernel::random::unguessable;
use kernel::secret::Secret;
use kernel::time::Timestamp;

use super::database::Database;
use super::fault::DbError;
use super::open::OpenError;
use super::secrets::SecretError;
use super::sql::Room;
use super::sql::Tx;
use super::values::params;
use crate::sealing::AtRest;

/// The refresh keys: the newest signs, all verify.
pub(crate) struct RefreshKeys {
    ring: KeyRing,
    older: Vec<SigningKey>,
}

impl RefreshKeys {
    /// Reads them, making a first one in a new database.
    ///
    /// # Errors
    /// [`OpenError`], for the operator.
    pub(crate) async fn load(
        database: &Database,
        at_rest: &Arc<AtRest>,
        now: Timestamp,
    ) -> Result<Self, OpenError> {
        let at_rest = Arc::clone(at_rest);
        let rows = database.write(move |tx| {
            tx.alone_in(Room::Firsts)?;
            let rows = read(tx)?;
            if rows.is_empty() {
                let kid = format!("refresh-{}", now.as_millis());
                let secret = unguessable().map_err(DbError::from)?;
                tx.execute(
                    "INSERT INTO refresh_keys (kid, secret, created_at) VALUES (?1, ?2, ?3)",
                    params![&kid, &at_rest.close(&secret, &kid)?, now],
                )?;
                return Ok(vec![(kid, secret)]);
            }
            rows.into_iter().map(|(kid, kept)| opened(tx, kid, &kept, &at_rest)).collect()
        });
        let rows = rows.await.map_err(|error: SecretError| error.of(database))?;
        Self::of(&rows).map_err(OpenError::Keys)
    }

    fn of(rows: &[(String, Secret)]) -> Result<Self, KeyError> {
        let key = |(kid, secret): &(String, Secret)| SigningKey::hs256(kid, secret);
        let ring = rows
            .iter()
            .map(|row| Ok(Key::Signing(Box::new(key(row)?))))
            .collect::<Result<Vec<_>, KeyError>>()?;
        Ok(Self {
            ring: KeyRing::new(ring)?,
            older: rows.iter().skip(1).map(key).collect::<Result<_, _>>()?,
        })
    }

    /// What verifies.
    pub(crate) fn ring(&self) -> &KeyRing {
        &self.ring
    }

    /// The key `kid`, else the one that signs now.
    pub(crate) fn signing(&self, kid: &str) -> &SigningKey {
        let older = self.older.iter().find(|key| key.kid() == kid);
        older.unwrap_or(self.ring.signing())
    }
}

fn read(tx: &Tx<'_>) -> Result<Vec<(String, Secret)>, DbError> {
    let newest_first = "SELECT kid, secret FROM refresh_keys ORDER BY created_at DESC LIMIT ?1";
    tx.rows(newest_first, params![KEYS_MAX as u64], |row| {
        Ok((row.text("kid")?, Secret::new(row.text("secret")?)))
    })
}

/// A key as it is used, of one as it is kept; seals it where it lies open and is not to.
fn opened(
    tx: &Tx<'_>,
    kid: String,
    kept: &Secret,
    at_rest: &AtRest,
) -> Result<(String, Secret), SecretError> {
    let secret = at_rest.open(kept, &kid)?;
    if at_rest.is_to_be_closed(kept) {
        tx.execute(
            "UPDATE refresh_keys SET secret = ?2 WHERE kid = ?1",
            params![&kid, &at_rest.close(&secret, &kid)?],
        )?;
    }
    Ok((kid, secret))
}
