//! What is to be loaded, and how patiently.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::fault::Fault;
use super::standing::Standing;
use super::standing::State;
use super::standing::Weight;
use super::warm::Warm;

/// How long one attempt may take where nobody says.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// How often a resource is tried before it counts as one that cannot be had, where nobody says for how
/// long: at once, and after 1, 2, 4, 8 and 16 seconds.
pub const TRIES_MAX: u32 = 6;

/// The longest pause before another attempt.
pub const PAUSE_MAX: Duration = Duration::from_secs(16);

/// Puts a loaded value in its place.
pub(super) type Put = Box<dyn FnOnce() + Send>;

type Loading = Pin<Box<dyn Future<Output = Result<Put, Fault>> + Send>>;

/// Something that is loaded once, while the process starts.
pub struct Resource {
    pub(super) name: Arc<str>,
    pub(super) weight: Weight,
    pub(super) needs: Vec<Arc<str>>,
    pub(super) timeout: Duration,
    pub(super) patience: Patience,
    pub(super) load: Arc<dyn Fn() -> Loading + Send + Sync>,
}

/// When a resource counts as one that cannot be had.
#[derive(Clone, Copy, Debug)]
pub(super) enum Patience {
    /// After so many attempts.
    Times(u32),
    /// When an attempt fails so long after the first one began.
    For(Duration),
}

impl Resource {
    /// What the process cannot do without, and the place where it will be.
    pub fn required<T, L>(
        name: &str,
        load: impl Fn() -> L + Send + Sync + 'static,
    ) -> (Self, Warm<T>)
    where
        T: Send + Sync + 'static,
        L: Future<Output = Result<T, Fault>> + Send + 'static,
    {
        Self::new(name, Weight::Required, load)
    }

    /// What the process can do without, and the place where it will be.
    pub fn optional<T, L>(
        name: &str,
        load: impl Fn() -> L + Send + Sync + 'static,
    ) -> (Self, Warm<T>)
    where
        T: Send + Sync + 'static,
        L: Future<Output = Result<T, Fault>> + Send + 'static,
    {
        Self::new(name, Weight::Optional, load)
    }

    /// The same for either weight.
    ///
    /// `load` is called for each attempt. One that takes too long is dropped: what it does on a thread
    /// that blocks goes on there, and its result is lost.
    pub fn new<T, L>(
        name: &str,
        weight: Weight,
        load: impl Fn() -> L + Send + Sync + 'static,
    ) -> (Self, Warm<T>)
    where
        T: Send + Sync + 'static,
        L: Future<Output = Result<T, Fault>> + Send + 'static,
    {
        let name = Arc::from(name);
        let warm = Warm::new(Arc::clone(&name));
        let place = warm.clone();
        let load = move || -> Loading {
            let (place, loading) = (place.clone(), load());
            Box::pin(async move {
                let value = loading.await?;
                Ok(Box::new(move || place.put(value)) as Put)
            })
        };
        let patience = Patience::Times(TRIES_MAX);
        let load = Arc::new(load);
        (Self { name, weight, needs: Vec::new(), timeout: TIMEOUT, patience, load }, warm)
    }

    /// The same, loaded after the resources called `needs`.
    pub fn after(mut self, needs: &[&str]) -> Self {
        self.needs.extend(needs.iter().map(|need| Arc::from(*need)));
        self
    }

    /// The same, with `timeout` for an attempt.
    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same, tried at most `times`, and at least once.
    pub fn tried(mut self, times: u32) -> Self {
        self.patience = Patience::Times(times);
        self
    }

    /// The same, tried for `patience`: the last attempt begins when that is over.
    pub fn tried_for(mut self, patience: Duration) -> Self {
        self.patience = Patience::For(patience);
        self
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Patience {
    /// How long to wait before the attempt after the `attempts` that were made within `so_far`; `None`
    /// where there is to be none.
    pub(super) fn pause(self, attempts: u32, so_far: Duration) -> Option<Duration> {
        match self {
            Self::Times(times) => (attempts < times).then(|| pause_after(attempts)),
            Self::For(patience) => {
                let left = patience.saturating_sub(so_far);
                (!left.is_zero()).then(|| pause_after(attempts).min(left))
            }
        }
    }
}

/// 1, 2, 4, 8, 16 seconds, and so on, up to [`PAUSE_MAX`].
pub(super) fn pause_after(attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1);
    let seconds = 1_u64.checked_shl(doublings).unwrap_or(u64::MAX);
    Duration::from_secs(seconds).min(PAUSE_MAX)
}

impl Standing {
    /// A resource that nobody has begun to load.
    pub(super) fn of(resource: &Resource) -> Self {
        Self {
            name: Arc::clone(&resource.name),
            needs: resource.needs.clone(),
            state: State::Waiting,
            attempts: 0,
            took: Duration::ZERO,
        }
    }
}
