//! The keys that sign access tokens: made, put in each other's place, and distrusted.
//!
//! A key is pending, then active, then retiring, then retired, and the time of day alone moves it on
//! from the moments that are written down: a rotation is one transaction, and every process that has
//! seen it does the same at the same time. A pending key verifies everywhere before it signs, and a
//! retiring one until the last token that it signed has expired.
//!
//! Modules in reading order; each uses only those above it.

pub(crate) mod fault;

pub(crate) mod states;

mod succession;

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use kernel::fleet::PublicKeys;
use kernel::keys::Algorithm;
use kernel::keys::KeyError;
use kernel::keys::LiveKeys;
use kernel::keys::SigningKey;
use kernel::keys::Stored;
use kernel::keys::new_private_key;
use kernel::secret::Secret;
use kernel::time::Timestamp;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;
use uuid::Uuid;

use self::fault::SigningKeyError;
use self::states::KeyState;
use self::states::ListedKey;
use self::states::Rotation;
use self::succession::distrust;
use self::succession::first;
use self::succession::there_is_room;
use self::succession::turn;
use super::audit::Deed;
use super::audit::Origin;
use super::audit::note;
use super::desk::Desk;
use crate::sealing::Seal;
use crate::store::fault::DbError;
use crate::store::signing_keys;
use crate::store::signing_keys::KeptKey;
use crate::store::sql::Room;
use crate::store::sql::Sql;
use crate::store::sql::Tx;
use crate::store::watched::Watched;

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
    /// What is in force of the database's, for gateways that run apart.
    public: watch::Sender<Arc<PublicKeys>>,
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
            public: watch::Sender::default(),
        }
    }

    /// The public keys of the database that are in force, and those that come after them.
    pub(crate) fn public(&self) -> watch::Receiver<Arc<PublicKeys>> {
        self.public.subscribe()
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
        self.desk.write_seen(distrust).await
    }

    /// Keeps the ring in force as the tables and the time of day say, until `shutdown`; what another
    /// process writes is seen within a tenth of a second.
    pub(crate) async fn follow(&self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let mut written = self.desk.database.written();
        let mut poll = interval(POLL_EVERY);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut opened = HashMap::new();
        let mut watched = Watched::of(&self.desk.database, tables);
        let mut in_force: Option<(Tables, Vec<KeyState>)> = None;
        let mut failing = false;
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                _ = written.changed() => {}
                _ = poll.tick() => {}
            }
            let outcome = match watched.look().await {
                Ok(tables) => {
                    let now = self.desk.clock.now();
                    let states = tables.kept.iter().map(|key| key.state(now)).collect();
                    let due = (tables, states);
                    match in_force.as_ref() == Some(&due) {
                        true => Ok(()),
                        false => {
                            self.put_into_force(&due.0, &mut opened).map(|()| in_force = Some(due))
                        }
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
        let state = |kid: &str| {
            let kept = tables.kept.iter().find(|kept| kept.kid == kid);
            kept.map_or_else(String::new, |kept| kept.state(now).to_string())
        };
        self.public.send_replace(Arc::new(PublicKeys::of(&stored, state)));
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

/// What a sealed key is for: nobody can pass it off as another one.
fn purpose(kid: &str, algorithm: Algorithm) -> String {
    format!("{kid} {algorithm}")
}

fn tables(sql: &Sql<'_>) -> Result<Tables, DbError> {
    Ok(Tables { kept: signing_keys::all(sql)?, distrusted: signing_keys::distrusted(sql)? })
}
