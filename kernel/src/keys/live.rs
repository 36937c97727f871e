//! The ring that is in force now, swapped whole while requests go on.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use parking_lot::RwLock;

use super::KeyRing;
use super::SigningKey;
use super::VerifyingKey;

/// Keys beside those of the configuration, and what is no longer trusted of either.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// The key that signs; `None`: the configuration's first.
    pub signing: Option<SigningKey>,
    /// All that verify, the one that signs among them. Of two with one id the configuration's
    /// counts.
    pub verifying: Vec<VerifyingKey>,
    /// Ids of keys that verify nothing any more, wherever they are kept.
    pub distrusted: Vec<String>,
}

/// The ring that is in force now.
///
/// What was verified with one ring is good only while [`version`](Self::version) stays what it was
/// when that ring was taken; asking for it costs one load.
pub struct LiveKeys {
    configured: KeyRing,
    version: AtomicU64,
    ring: RwLock<Arc<KeyRing>>,
}

impl LiveKeys {
    /// The keys of the configuration, in force until [`Self::install`] says more.
    pub fn new(configured: KeyRing) -> Self {
        let ring = RwLock::new(Arc::new(configured.clone()));
        Self { configured, version: AtomicU64::new(0), ring }
    }

    /// The keys of the configuration alone.
    pub fn configured(&self) -> &KeyRing {
        &self.configured
    }

    /// The ring.
    pub fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.ring.read())
    }

    /// The ring, and the version that it has.
    pub fn versioned(&self) -> (Arc<KeyRing>, u64) {
        let ring = self.ring.read();
        (Arc::clone(&ring), self.version())
    }

    /// Raised whenever a key begins or ceases to verify.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Puts `stored` beside the keys of the configuration, in place of what was put there before.
    pub fn install(&self, stored: Stored) {
        let Stored { signing, verifying, distrusted } = stored;
        let mut all = self.configured.verifying.clone();
        for key in verifying {
            if all.iter().all(|known| known.kid() != key.kid()) {
                all.push(key);
            }
        }
        all.retain(|key| distrusted.iter().all(|kid| **kid != **key.kid()));
        let signing = signing.map_or_else(|| self.configured.signing.clone(), Box::new);
        let mut ring = self.ring.write();
        let kids = |keys: &[VerifyingKey]| -> Vec<Arc<str>> {
            keys.iter().map(|key| Arc::clone(key.kid())).collect()
        };
        // An id stands for one key for ever: where they are as they were, so are the keys.
        let is_changed = kids(&ring.verifying) != kids(&all);
        *ring = Arc::new(KeyRing { signing, verifying: all });
        if is_changed {
            // Under the lock: whoever takes the new ring takes the new version with it.
            self.version.fetch_add(1, Ordering::Release);
        }
    }
}

impl fmt::Debug for LiveKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LiveKeys({:?})", self.ring())
    }
}
