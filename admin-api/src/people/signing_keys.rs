//! The keys that sign access tokens: made, put in each other's place, and distrusted.
//!
//! A key is pending, then active, then retiring, then retired, and the time of day alone moves it on
//! from the moments that are written down: a rotation is one transaction, and every process that has
//! seen it does the same at the same time. A pending key verifies everywhere before it signs, and a
//! retiring one until the last token that it signed has expired.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use kernel::keys::Algorithm;
use kernel::keys::KEYS_MAX;
use kernel::keys::KeyError;
use kernel::keys::LiveKeys;
use kernel::keys::SigningKey;
use kernel::keys::Stored;
use kernel::keys::new_private_key;
use kernel::revocation::DISTRUSTED_KEYS_MAX;
use kernel::revocation::Entry;
use kernel::secret::Secret;
use kernel::time::Timestamp;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;
use uuid::Uuid;

use super::audit::Deed;
use super::audit::Origin;
use super::audit::note;
use super::desk::Desk;
use crate::sealing::Seal;
use crate::sealing::SealError;
use crate::store::fault::DbError;
use crate::store::revocations;
use crate::store::signing_keys;
use crate::store::signing_keys::KeptKey;
use crate::store::sql::Room;
use crate::store::sql::Sql;
use crate::store::sql::Tx;

/// How long others may go by a copy of the published keys.
pub const JWKS_MAX_AGE: Duration = Duration::from_secs(5 * 60);

/// How long a key verifies before it signs, at the least: ten times what the slowest process takes
/// to see it, for clocks differ.
pub const SEEN_EVERYWHERE: Duration = Duration::from_secs(1);

/// How much longer than its last token a key goes on verifying, for the same reason.
const RETIRES_LATE: Duration = Duration::from_secs(60);

/// How long a retired key stays on the list.
const KEPT_FOR: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// How often it is looked whether the keys changed, or another one's time has come.
const POLL_EVERY: Duration = Duration::from_millis(40);

/// How far a key has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Verifies, and does not sign yet.
    Pending,
    /// Signs and verifies.
    Active,
    /// Verifies what it signed before.
    Retiring,
    /// Verifies nothing more.
    Retired,
    /// Nothing that it signed is believed, in force or not.
    Distrusted,
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
            Self::Distrusted => "distrusted",
        })
    }
}

/// A key, for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedKey {
    /// Its id.
    pub kid: String,
    /// What it is for.
    pub algorithm: Algorithm,
    /// How far it has come.
    pub state: KeyState,
    /// Whether new tokens are signed with it.
    pub signs: bool,
    /// Whether it stands in the configuration, not in the database.
    pub is_configured: bool,
    /// When it signs, where that is yet to come.
    pub signs_from: Option<Timestamp>,
    /// Until when it verifies, where that is known.
    pub verifies_until: Option<Timestamp>,
}

/// What a rotation brings about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The key that is to sign.
    pub kid: String,
    /// From when.
    pub signs_from: Timestamp,
    /// Whether it will: where the configuration says `auth.stored_key_alg`.
    pub is_to_sign: bool,
    /// The key whose place it takes, and until when that one goes on verifying.
    pub predecessor: Option<(String, Timestamp)>,
}

/// Why a key was not made, moved on or distrusted. Each text stands alone, for the operator.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// The database.
    #[error("the database did not do it")]
    Database(#[from] DbError),
    /// A key that cannot be made or read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A key that cannot be sealed or opened.
    #[error("the key `{kid}` in the database cannot be used: {why}")]
    Sealed {
        /// Which.
        kid: String,
        /// Why.
        why: SealError,
    },
    /// Nothing to seal it under.
    #[error(
        "keys in the database are sealed under `auth.key_encryption_key`, and the configuration has \
         none"
    )]
    NoSeal,
    /// Too many.
    #[error(
        "there are {KEYS_MAX} keys in the database already; rotate, and wait until one retires"
    )]
    Many,
    /// One rotation at a time.
    #[error("a rotation is under way: `{kid}` signs from {}s on", signs_from.as_secs())]
    UnderWay {
        /// Which key is to sign.
        kid: String,
        /// From when.
        signs_from: Timestamp,
    },
    /// No such key.
    #[error("no key `{kid}`; there are {}", .known.join(", "))]
    Unknown {
        /// What was asked for.
        kid: String,
        /// What there is.
        known: Vec<String>,
    },
    /// It signs, and only the configuration says what else could.
    #[error(
        "`{0}` signs, and stands in the configuration: put another key above it in `[[auth.keys]]`, \
         restart, and distrust it then"
    )]
    Signs(String),
    /// It was made in the data directory, and nothing else can sign.
    #[error(
        "`{0}` was made in the data directory, and signs: remove the file `signing-secret` there and \
         restart, and another one is made"
    )]
    Local(String),
    /// Too many distrusted.
    #[error("{DISTRUSTED_KEYS_MAX} keys are distrusted already, and no gateway remembers more")]
    ManyDistrusted,
}

/// The id of a key that was made in the data directory.
pub const LOCAL_KID: &str = "local";

/// The keys that sign access tokens.
pub struct SigningKeys {
    desk: Arc<Desk>,
    keys: Arc<LiveKeys>,
    seal: Option<Seal>,
    algorithm: Option<Algorithm>,
    /// How long a token lives at the most.
    lifetime_max: Duration,
}

/// The tables as they were at the last look.
#[derive(Clone, Default, PartialEq, Eq)]
struct Tables {
    kept: Vec<KeptKey>,
    distrusted: Vec<String>,
}

impl SigningKeys {
    /// Keys as `auth` says, put into force in `keys`.
    pub(crate) fn new(desk: Arc<Desk>, keys: Arc<LiveKeys>, auth: &config::Auth) -> Self {
        Self {
            desk,
            keys,
            seal: auth.key_encryption_key.as_ref().map(Seal::under),
            algorithm: auth.stored_key_alg,
            lifetime_max: auth.lifetime_max + auth.leeway,
        }
    }

    /// Puts into force what the database holds; makes a first key where one has to sign.
    ///
    /// # Errors
    /// [`SigningKeyError`].
    pub(crate) async fn load(&self) -> Result<(), SigningKeyError> {
        if let Some(algorithm) = self.algorithm {
            let now = self.desk.clock.now();
            let fresh = self.make(algorithm, now)?;
            self.desk.database.write(move |tx| first(tx, fresh, now)).await?;
        }
        let tables = self.desk.database.read(tables).await?;
        self.put_into_force(&tables, &mut HashMap::new())
    }

    /// Makes a pending key for `algorithm`, else for that of the configuration.
    ///
    /// # Errors
    /// [`SigningKeyError`].
    pub async fn generate(&self, algorithm: Option<Algorithm>) -> Result<String, SigningKeyError> {
        let now = self.desk.clock.now();
        let key = self.make(self.algorithm_or(algorithm), now)?;
        self.keep(key, now).await
    }

    /// Takes in the private key `pem` as a pending key.
    ///
    /// # Errors
    /// [`SigningKeyError`].
    pub async fn import(
        &self,
        algorithm: Algorithm,
        pem: &Secret,
    ) -> Result<String, SigningKeyError> {
        let now = self.desk.clock.now();
        if algorithm == Algorithm::HS256 {
            return Err(KeyError::NotMade(algorithm).into());
        }
        let key = self.sealed(algorithm, pem, now)?;
        self.keep(key, now).await
    }

    async fn keep(&self, key: KeptKey, now: Timestamp) -> Result<String, SigningKeyError> {
        let kid = key.kid.clone();
        let keep = move |tx: &Tx<'_>| {
            tx.alone_in(Room::Firsts)?;
            signing_keys::forget(tx, now.minus(KEPT_FOR))?;
            there_is_room(&signing_keys::all(tx)?, now)?;
            note(tx, &Origin::default(), Deed::KeyAdded, None, Some(key.kid.clone()), now)?;
            Ok::<_, SigningKeyError>(signing_keys::insert(tx, &key)?)
        };
        self.desk.database.write(keep).await?;
        Ok(kid)
    }

    /// Has the oldest pending key, or a new one, take the place of the one that signs, as soon as
    /// everybody can have seen it: others who go by a copy of the published keys for `published_for`,
    /// and every Doorward.
    ///
    /// # Errors
    /// [`SigningKeyError`].
    pub async fn rotate(&self, published_for: Duration) -> Result<Rotation, SigningKeyError> {
        let now = self.desk.clock.now();
        let fresh = self.make(self.algorithm_or(None), now)?;
        let outlives = self.lifetime_max + RETIRES_LATE;
        let turn = move |tx: &Tx<'_>| {
            note(tx, &Origin::default(), Deed::KeyRotated, None, None, now)?;
            turn(tx, fresh, published_for, outlives, now)
        };
        let turned = self.desk.database.write(turn).await?;
        Ok(Rotation { is_to_sign: self.algorithm.is_some(), ..turned })
    }

    /// All keys, those of the configuration first, then by age.
    ///
    /// # Errors
    /// [`SigningKeyError`].
    pub async fn list(&self) -> Result<Vec<ListedKey>, SigningKeyError> {
        let now = self.desk.clock.now();
        let Tables { kept, distrusted } = self.desk.database.read(tables).await?;
        let ring = self.keys.ring();
        let state = |kid: &str, state| match distrusted.iter().any(|known| known == kid) {
            true => KeyState::Distrusted,
            false => state,
        };
        let configured = self.keys.configured().verifying().iter().map(|key| {
            let signs = ring.signing().kid() == &**key.kid();
            ListedKey {
                kid: key.kid().to_string(),
                algorithm: key.algorithm(),
                state: state(key.kid(), if signs { KeyState::Active } else { KeyState::Retiring }),
                signs,
                is_configured: true,
                signs_from: None,
                verifies_until: None,
            }
        });
        let kept = kept.into_iter().map(|key| ListedKey {
            algorithm: key.algorithm,
            state: state(&key.kid, key.state(now)),
            signs: ring.signing().kid() == key.kid,
            is_configured: false,
            signs_from: key.active_from.filter(|from| *from > now),
            verifies_until: key.retired_from,
            kid: key.kid,
        });
        Ok(configured.chain(kept).collect())
    }

    /// Distrusts the key `kid`: every token that it signed is refused from now on, and another one
    /// signs at once where it did. Gives the one that does.
    ///
    /// # Errors
    /// [`SigningKeyError`].
    pub async fn revoke(&self, kid: &str) -> Result<Option<String>, SigningKeyError> {
        let now = self.desk.clock.now();
        let configured = self.keys.configured();
        let is_configured = configured.verifying().iter().any(|key| **key.kid() == *kid);
        if self.algorithm.is_none() && configured.signing().kid() == kid {
            let kid = kid.to_owned();
            return Err(match kid == LOCAL_KID {
                true => SigningKeyError::Local(kid),
                false => SigningKeyError::Signs(kid),
            });
        }
        let mut known: Vec<String> =
            configured.verifying().iter().map(|key| format!("`{}`", key.kid())).collect();
        let successor = match self.algorithm {
            Some(algorithm) => Some(self.make(algorithm, now)?),
            None => None,
        };
        let kid = kid.to_owned();
        let distrust = move |tx: &Tx<'_>| {
            tx.alone_in(Room::Firsts)?;
            let kept = signing_keys::all(tx)?;
            if !is_configured && kept.iter().all(|key| key.kid != kid) {
                known.extend(kept.iter().map(|key| format!("`{}`", key.kid)));
                return Err(SigningKeyError::Unknown { kid, known });
            }
            note(tx, &Origin::default(), Deed::KeyDistrusted, None, Some(kid.clone()), now)?;
            distrust(tx, &kid, kept, successor, now)
        };
        let (seq, successor) = self.desk.database.write(distrust).await?;
        self.desk.progress.reaches(seq).await;
        Ok(successor)
    }

    /// Keeps the ring in force as the tables and the time of day say, until `shutdown`; what another
    /// process writes is seen within a tenth of a second.
    pub(crate) async fn follow(&self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let mut written = self.desk.database.written();
        let mut poll = interval(POLL_EVERY);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut opened = HashMap::new();
        let mut seen: Option<(Option<i64>, Tables)> = None;
        let mut in_force: Option<(Tables, Vec<KeyState>)> = None;
        let mut failing = false;
        loop {
            let is_written = tokio::select! {
                biased;
                () = &mut shutdown => break,
                _ = written.changed() => true,
                _ = poll.tick() => false,
            };
            let before = seen.take().filter(|_| !is_written);
            let looked = self.desk.database.watch(move |sql| {
                // The version first: what is committed in between is looked for again.
                let version = sql.data_version()?;
                match before {
                    Some((seen, at)) if version.is_some() && seen == version => Ok((version, at)),
                    _ => Ok((version, tables(sql)?)),
                }
            });
            let outcome = match looked.await {
                Ok((version, tables)) => {
                    let now = self.desk.clock.now();
                    let states = tables.kept.iter().map(|key| key.state(now)).collect();
                    let due = (tables.clone(), states);
                    let is_new = in_force.as_ref() != Some(&due);
                    seen = Some((version, tables));
                    match is_new {
                        true => {
                            self.put_into_force(&due.0, &mut opened).map(|()| in_force = Some(due))
                        }
                        false => Ok(()),
                    }
                }
                Err(error) => Err(error.into()),
            };
            match outcome {
                Ok(()) if failing => tracing::info!("signing keys are followed again"),
                // Once per outage: at this pace a line each time would fill the disk.
                Err(ref error) if !failing => {
                    tracing::error!(%error, "signing keys cannot be read; those in force stay so");
                }
                _ => {}
            }
            failing = outcome.is_err();
        }
    }

    /// Puts a ring into force as `tables` and the time of day say, without keys that cannot be
    /// opened; `opened` are those that were before.
    ///
    /// # Errors
    /// [`SigningKeyError`] for the last key that could not be opened.
    fn put_into_force(
        &self,
        tables: &Tables,
        opened: &mut HashMap<String, SigningKey>,
    ) -> Result<(), SigningKeyError> {
        let now = self.desk.clock.now();
        let verifies = |key: &&KeptKey| {
            key.state(now) != KeyState::Retired && !tables.distrusted.contains(&key.kid)
        };
        let mut stored = Stored { distrusted: tables.distrusted.clone(), ..Stored::default() };
        let mut signs_since = None;
        let mut broken = None;
        for kept in tables.kept.iter().filter(verifies) {
            let key = match opened.get(&kept.kid) {
                Some(key) => Ok(key.clone()),
                None => self.open(kept),
            };
            let key = match key {
                Ok(key) => key,
                // The others, and what is distrusted, must not wait for it.
                Err(error) => {
                    broken = Some(error);
                    continue;
                }
            };
            stored.verifying.push(key.verifying().clone());
            let is_later = kept.active_from >= signs_since;
            if self.algorithm.is_some() && kept.state(now) == KeyState::Active && is_later {
                signs_since = kept.active_from;
                stored.signing = Some(key.clone());
            }
            opened.insert(kept.kid.clone(), key);
        }
        opened.retain(|kid, _| stored.verifying.iter().any(|key| **key.kid() == **kid));
        let before = self.keys.ring().signing().kid().to_owned();
        self.keys.install(stored);
        let ring = self.keys.ring();
        if ring.signing().kid() != before {
            tracing::info!("the key `{}` signs from now on", ring.signing().kid());
        }
        broken.map_or(Ok(()), Err)
    }

    fn algorithm_or(&self, asked: Option<Algorithm>) -> Algorithm {
        asked.or(self.algorithm).unwrap_or(Algorithm::ES256)
    }

    /// A new key, not yet kept.
    fn make(&self, algorithm: Algorithm, now: Timestamp) -> Result<KeptKey, SigningKeyError> {
        self.sealed(algorithm, &new_private_key(algorithm)?, now)
    }

    fn sealed(
        &self,
        algorithm: Algorithm,
        pem: &Secret,
        now: Timestamp,
    ) -> Result<KeptKey, SigningKeyError> {
        let seal = self.seal.as_ref().ok_or(SigningKeyError::NoSeal)?;
        let kid = Uuid::now_v7().to_string();
        // Whatever is kept can be used.
        SigningKey::from_pem(&kid, algorithm, pem)?;
        let sealed = seal.close(pem, &purpose(&kid, algorithm));
        let sealed = sealed.map_err(|why| SigningKeyError::Sealed { kid: kid.clone(), why })?;
        Ok(KeptKey {
            kid,
            algorithm,
            sealed,
            created_at: now,
            active_from: None,
            retiring_from: None,
            retired_from: None,
        })
    }

    fn open(&self, kept: &KeptKey) -> Result<SigningKey, SigningKeyError> {
        let seal = self.seal.as_ref().ok_or(SigningKeyError::NoSeal)?;
        let pem = seal.open(&kept.sealed, &purpose(&kept.kid, kept.algorithm));
        let pem = pem.map_err(|why| SigningKeyError::Sealed { kid: kept.kid.clone(), why })?;
        Ok(SigningKey::from_pem(&kept.kid, kept.algorithm, &pem)?)
    }
}

impl KeptKey {
    /// How far it has come by `now`.
    fn state(&self, now: Timestamp) -> KeyState {
        let has_come = |moment: Option<Timestamp>| moment.is_some_and(|moment| moment <= now);
        match () {
            () if has_come(self.retired_from) => KeyState::Retired,
            () if has_come(self.retiring_from) => KeyState::Retiring,
            () if has_come(self.active_from) => KeyState::Active,
            () => KeyState::Pending,
        }
    }
}

/// What a sealed key is for: nobody can pass it off as another one.
fn purpose(kid: &str, algorithm: Algorithm) -> String {
    format!("{kid} {algorithm}")
}

fn tables(sql: &Sql<'_>) -> Result<Tables, DbError> {
    Ok(Tables { kept: signing_keys::all(sql)?, distrusted: signing_keys::distrusted(sql)? })
}

fn there_is_room(kept: &[KeptKey], now: Timestamp) -> Result<(), SigningKeyError> {
    let live = kept.iter().filter(|key| key.state(now) != KeyState::Retired).count();
    if live < KEYS_MAX { Ok(()) } else { Err(SigningKeyError::Many) }
}

/// The oldest key that waits for its turn; else `fresh`, which is kept then.
fn next_in_line(
    tx: &Tx<'_>,
    kept: &[KeptKey],
    fresh: KeptKey,
    now: Timestamp,
) -> Result<KeptKey, SigningKeyError> {
    let waits = |key: &&KeptKey| key.active_from.is_none() && key.state(now) == KeyState::Pending;
    if let Some(key) = kept.iter().find(waits) {
        return Ok(key.clone());
    }
    there_is_room(kept, now)?;
    signing_keys::insert(tx, &fresh)?;
    Ok(fresh)
}

/// Has a key sign where none does and none is about to.
fn first(tx: &Tx<'_>, fresh: KeptKey, now: Timestamp) -> Result<(), SigningKeyError> {
    tx.alone_in(Room::Firsts)?;
    let kept = signing_keys::all(tx)?;
    let is_provided_for = kept.iter().any(|key| {
        key.active_from.is_some() && matches!(key.state(now), KeyState::Pending | KeyState::Active)
    });
    if is_provided_for {
        return Ok(());
    }
    let mut key = next_in_line(tx, &kept, fresh, now)?;
    key.active_from = Some(now);
    Ok(signing_keys::update(tx, &key)?)
}

fn turn(
    tx: &Tx<'_>,
    fresh: KeptKey,
    published_for: Duration,
    outlives: Duration,
    now: Timestamp,
) -> Result<Rotation, SigningKeyError> {
    tx.alone_in(Room::Firsts)?;
    signing_keys::forget(tx, now.minus(KEPT_FOR))?;
    let kept = signing_keys::all(tx)?;
    let under_way = |key: &&KeptKey| key.active_from.is_some_and(|from| from > now);
    if let Some(next) = kept.iter().find(under_way) {
        let (kid, signs_from) = (next.kid.clone(), next.active_from.unwrap_or(now));
        return Err(SigningKeyError::UnderWay { kid, signs_from });
    }
    let mut next = next_in_line(tx, &kept, fresh, now)?;
    let signs_from = now.plus(SEEN_EVERYWHERE).max(next.created_at.plus(published_for));
    next.active_from = Some(signs_from);
    signing_keys::update(tx, &next)?;
    let until = signs_from.plus(outlives);
    let mut predecessor = None;
    for mut before in kept.into_iter().filter(|key| key.state(now) == KeyState::Active) {
        before.retiring_from = Some(signs_from);
        before.retired_from = Some(until);
        signing_keys::update(tx, &before)?;
        predecessor = Some((before.kid, until));
    }
    Ok(Rotation { kid: next.kid, signs_from, is_to_sign: true, predecessor })
}

/// Distrusts `kid` and, where it signed, has another one sign; gives the number of the revocation
/// and who that is.
fn distrust(
    tx: &Tx<'_>,
    kid: &str,
    mut kept: Vec<KeptKey>,
    fresh: Option<KeptKey>,
    now: Timestamp,
) -> Result<(Option<u64>, Option<String>), SigningKeyError> {
    let distrusted = signing_keys::distrusted(tx)?;
    if distrusted.iter().any(|known| known == kid) {
        return Ok((None, None));
    }
    if distrusted.len() >= DISTRUSTED_KEYS_MAX {
        return Err(SigningKeyError::ManyDistrusted);
    }
    let mut successor = None;
    if let Some(at) = kept.iter().position(|key| key.kid == kid) {
        let mut key = kept.remove(at);
        // Whoever was to sign after it, or in its place.
        let signed = key.active_from.is_some()
            && matches!(key.state(now), KeyState::Active | KeyState::Pending);
        key.retiring_from = Some(key.retiring_from.map_or(now, |from| from.min(now)));
        key.retired_from = Some(now);
        signing_keys::update(tx, &key)?;
        if let (true, Some(fresh)) = (signed, fresh) {
            successor = Some(succeed(tx, &kept, fresh, now)?);
        }
    }
    signing_keys::distrust(tx, kid, now)?;
    let entry = Entry::Key { kid: kid.to_owned() };
    Ok((Some(revocations::record(tx, &entry, now)?), successor))
}

/// The key that signs at once where the one that did is gone.
fn succeed(
    tx: &Tx<'_>,
    kept: &[KeptKey],
    fresh: KeptKey,
    now: Timestamp,
) -> Result<String, SigningKeyError> {
    let still_signs = |key: &&KeptKey| key.state(now) == KeyState::Active;
    let is_next = |key: &&KeptKey| key.state(now) == KeyState::Pending && key.active_from.is_some();
    if let Some(mut active) = kept.iter().find(still_signs).cloned() {
        // The one that was to take its place is gone: it stays.
        active.retiring_from = None;
        active.retired_from = None;
        signing_keys::update(tx, &active)?;
        return Ok(active.kid);
    }
    let mut next = match kept.iter().find(is_next) {
        Some(next) => next.clone(),
        None => next_in_line(tx, kept, fresh, now)?,
    };
    next.active_from = Some(now);
    signing_keys::update(tx, &next)?;
    Ok(next.kid)
}
