//! The secrets that sign refresh tokens: made here, kept here, never given to a gateway.
//!
//! A gateway that is taken over can then make no refresh token, and a change of the keys that sign
//! access tokens ends no session.

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
use super::sql::Room;
use super::sql::Tx;
use super::values::params;

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
    pub(crate) async fn load(database: &Database, now: Timestamp) -> Result<Self, OpenError> {
        let rows = database
            .write(move |tx| {
                tx.alone_in(Room::Firsts)?;
                let rows = read(tx)?;
                if !rows.is_empty() {
                    return Ok(rows);
                }
                tx.execute(
                    "INSERT INTO refresh_keys (kid, secret, created_at) VALUES (?1, ?2, ?3)",
                    params![format!("refresh-{}", now.as_millis()), &unguessable()?, now],
                )?;
                read(tx)
            })
            .await
            .map_err(|e: DbError| OpenError::database(database.place(), e))?;
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
