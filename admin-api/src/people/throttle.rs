//! How often passwords may be tried, before anything is hashed.
//!
//! Attempts count against the account as it was named, against the address they come from, and
//! against both together; those that succeed are given back. Nothing here knows whether an account
//! exists, so nothing that it says can tell. An account's owner on a device known from before has
//! a count of their own: whoever tries it from everywhere else locks out only strangers.
//!
//! The counts are kept by the kernel's contract, so a process that restarts its flow, a name that
//! is tried in turns with others, or an address that rests for a second gain nothing.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use kernel::limit::Quota;
use kernel::limit::QuotaStore;
use kernel::limit::Subject;
use kernel::limit::SubjectKind;
use kernel::lost::StoreLost;
use kernel::time::Timestamp;

use crate::prefix::Prefix;

/// Who tries to be whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt<'a> {
    /// The account, as it was named, in its one spelling.
    pub(crate) account: &'a str,
    /// How often an administrator has unlocked it: each time all counts begin anew.
    pub(crate) unlocks: u64,
    /// Where they are.
    pub(crate) from: Prefix,
    /// The device, where it has proved that the account's owner signed in on it.
    pub(crate) device: Option<&'a str>,
}

/// Why something is not tried.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Throttled {
    /// Too often, in the last while.
    #[error("too many attempts; one more is looked at in {} ms", .0.as_millis())]
    For(Duration),
    /// Nobody knows how often.
    #[error("the attempts could not be counted")]
    Uncounted(#[from] StoreLost),
}

/// What an attempt was counted on, so that it can be taken back.
#[must_use = "an attempt that succeeds is to be forgiven"]
pub(crate) struct Counted(Vec<Count>);

struct Count {
    policy: &'static str,
    kind: SubjectKind,
    id: String,
    quotas: Arc<[Quota]>,
}

impl Count {
    fn subject(&self) -> Subject<'_> {
        Subject { policy: self.policy, kind: self.kind, id: &self.id }
    }
}

/// The counts, in `S`.
pub(crate) struct Throttle<S> {
    store: S,
    quotas: config::Throttle,
}

impl<S: QuotaStore> Throttle<S> {
    /// Keeps counts in `store`.
    pub(crate) fn new(store: S, quotas: config::Throttle) -> Self {
        Self { store, quotas }
    }

    /// Counts an attempt to sign in.
    ///
    /// # Errors
    /// [`Throttled`]; then it was not counted.
    pub(crate) async fn sign_in(
        &self,
        attempt: Attempt<'_>,
        now: Timestamp,
    ) -> Result<Counted, Throttled> {
        let Attempt { account, unlocks, from, device } = attempt;
        if let Some(device) = device {
            let id = format!("{unlocks} {device}");
            return self.count([self.of("login-device", id, &self.quotas.device)], now).await;
        }
        // The narrowest first: what it refuses, the others never hear of.
        let counts = [
            self.of("login-pair", format!("{unlocks} {from} {account}"), &self.quotas.pair),
            self.of("login-account", format!("{unlocks} {account}"), &self.quotas.account),
            self.from("login-address", from, &self.quotas.address),
        ];
        self.count(counts, now).await
    }

    /// Counts an attempt to show that one knows one's own password, signed in already.
    ///
    /// # Errors
    /// [`Throttled`].
    pub(crate) async fn change(&self, user_id: &str, now: Timestamp) -> Result<Counted, Throttled> {
        self.count([self.of("password", user_id.to_owned(), &self.quotas.device)], now).await
    }

    /// Counts somebody who registers, or asks for a mail, or shows a token that was mailed.
    ///
    /// # Errors
    /// [`Throttled`].
    pub(crate) async fn stranger(
        &self,
        from: Prefix,
        now: Timestamp,
    ) -> Result<Counted, Throttled> {
        self.count([self.from("stranger", from, &self.quotas.register)], now).await
    }

    /// Counts a browser that is sent to a provider.
    ///
    /// # Errors
    /// [`Throttled`].
    pub(crate) async fn departure(
        &self,
        from: Prefix,
        now: Timestamp,
    ) -> Result<Counted, Throttled> {
        self.count([self.from("provider", from, &self.quotas.provider)], now).await
    }

    /// Counts a mail to `address`.
    ///
    /// # Errors
    /// [`Throttled`].
    pub(crate) async fn mail(&self, address: &str, now: Timestamp) -> Result<Counted, Throttled> {
        self.count([self.of("reset-mail", address.to_owned(), &self.quotas.reset)], now).await
    }

    /// Takes an attempt back that succeeded, or that nothing came of through no fault of its own.
    pub(crate) async fn forgive(&self, counted: Counted, now: Timestamp) {
        for count in &counted.0 {
            let taken = self.store.refund(count.subject(), &count.quotas, NonZeroU32::MIN, now);
            if let Err(error) = taken.await {
                // It goes by itself, later.
                tracing::warn!("an attempt that succeeded goes on counting: {error}");
            }
        }
    }

    fn of(&self, policy: &'static str, id: String, quotas: &Arc<[Quota]>) -> Count {
        Count { policy, kind: SubjectKind::User, id, quotas: Arc::clone(quotas) }
    }

    fn from(&self, policy: &'static str, from: Prefix, quotas: &Arc<[Quota]>) -> Count {
        let id = from.to_string();
        Count { policy, kind: SubjectKind::Address, id, quotas: Arc::clone(quotas) }
    }

    /// Counts on all of `counts`, or on none.
    async fn count<const N: usize>(
        &self,
        counts: [Count; N],
        now: Timestamp,
    ) -> Result<Counted, Throttled> {
        let mut counted = Counted(Vec::with_capacity(N));
        for count in counts {
            let outcome =
                self.store.acquire(count.subject(), &count.quotas, NonZeroU32::MIN, now).await;
            let refused = match outcome {
                Ok(outcome) if outcome.admitted => None,
                // A quota is at least one, so there is a moment at which one more fits.
                Ok(outcome) => {
                    Some(Throttled::For(Duration::from_millis(outcome.retry_ms().unwrap_or(0))))
                }
                Err(error) => Some(error.into()),
            };
            if let Some(refused) = refused {
                self.forgive(counted, now).await;
                return Err(refused);
            }
            counted.0.push(count);
        }
        Ok(counted)
    }
}

#[cfg(test)]
mod tests;
