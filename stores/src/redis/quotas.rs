//! Counters of requests by subject, in Redis: what a whole fleet counts together.
//!
//! One script does everything, so that whatever happens at once happens one after the other: it
//! reads all windows of a subject, decides, and writes them back. It goes by Redis' clock, the only
//! one that all gateways share. A subject is one key, so that a cluster finds it in one slot.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use fred::types::Value;
use kernel::limit::Outcome;
use kernel::limit::QUOTAS_MAX;
use kernel::limit::Quota;
use kernel::limit::QuotaStore;
use kernel::limit::Subject;
use kernel::limit::SubjectKind;
use kernel::limit::WindowState;
use kernel::lost::StoreLost;
use kernel::time::Timestamp;

use crate::digest::Digest;
use crate::key::Key;
use crate::redis::connection::Connection;
use crate::redis::connection::Lost;
use crate::redis::connection::Script;
use crate::redis::gateways::GatewayName;
use crate::redis::gateways::Gateways;
use crate::redis::guard::Guard;
use crate::redis::key;

/// What counts. Its head says what it is given, and what it answers.
const SCRIPT: &str = include_str!("quotas.lua");

/// What the script takes for the server's own clock.
const BY_THE_SERVERS_CLOCK: i64 = -1;

/// A request to the script without its quotas; one quota of it; how one stands in the answer.
const REQUEST_BYTES: usize = 37;
const QUOTA_BYTES: usize = 8;
const STATE_BYTES: usize = 20;

/// The most holders of leases of one subject's tokens at one time; the script knows it, too.
pub const HOLDERS_MAX: u32 = 16;

/// Counters of requests by subject, in Redis.
#[derive(Debug)]
pub struct RedisQuotas {
    guard: Guard,
    namespace: Arc<str>,
    clock: Clock,
    script: Script,
    gateways: Gateways,
}

/// By which clock windows slide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Redis' own, whatever the time is here.
    OfTheServer,
    /// That of whoever calls: for tests, which hold it.
    OfTheCaller,
}

/// Tokens that somebody would like to have, to spend them without asking.
#[derive(Clone, Copy, Debug, Default)]
pub struct LeaseRequest {
    /// Who.
    pub holder: GatewayName,
    /// How many of those it was given it still has.
    pub left: u32,
    /// How many more it would like.
    pub want: u32,
    /// How many may be out at one time, over all holders.
    pub cap: u32,
    /// How long they may be spent.
    pub lasting: Duration,
}

/// What became of a request for a lease.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    /// How the subject stands, as of [`QuotaStore::acquire`]; admitted with a cost of 0 always.
    pub outcome: Outcome,
    /// How many tokens were given; where it is not 0, the call is paid out of them.
    pub granted: u32,
}

/// What the script is to do, by the letter that says so.
#[derive(Clone, Copy)]
enum Operation {
    Take = b't' as isize,
    Refund = b'r' as isize,
    Settle = b's' as isize,
    Peek = b'p' as isize,
}

/// One call of the script.
struct Call<'a> {
    operation: Operation,
    units: u32,
    lease: Option<&'a LeaseRequest>,
    /// How many of the units each window is to count, where that is not all.
    due: Option<&'a [u32]>,
}

impl RedisQuotas {
    /// Counters behind `connection`, in keys that begin with `namespace`.
    pub fn new(connection: Connection, namespace: &str, clock: Clock) -> Self {
        let meanwhile = "routes do as their on_store_loss says";
        Self {
            guard: Guard::new(connection, "the limit store", meanwhile),
            namespace: namespace.into(),
            clock,
            script: Script::new(SCRIPT),
            gateways: Gateways::new(namespace),
        }
    }

    /// Counts `cost` as [`QuotaStore::acquire`] does, out of tokens that it leases if they can be had.
    ///
    /// A `cost` of 0 is a request for tokens alone.
    ///
    /// # Errors
    /// [`StoreLost`]; tokens may have been given all the same, and are then nobody's until they
    /// expire.
    pub async fn lease(
        &self,
        subject: Subject<'_>,
        quotas: &[Quota],
        cost: u32,
        request: &LeaseRequest,
        now: Timestamp,
    ) -> Result<Lease, StoreLost> {
        let call =
            Call { operation: Operation::Take, units: cost, lease: Some(request), due: None };
        self.run(call, &self.name_of(&subject), quotas, now).await
    }

    /// Gives `left` tokens of the subject called `name` back, and the lease with them.
    ///
    /// # Errors
    /// [`StoreLost`]; then they expire.
    pub async fn give_back(
        &self,
        name: &str,
        quotas: &[Quota],
        request: &LeaseRequest,
        now: Timestamp,
    ) -> Result<(), StoreLost> {
        let call = Call {
            operation: Operation::Refund,
            units: request.left,
            lease: Some(request),
            due: None,
        };
        self.run(call, name, quotas, now).await.map(drop)
    }

    /// Counts what was let in of the subject called `name` while there was no answer, whatever the limit:
    /// in the window of each of `quotas` as many units as are `due` there.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn settle(
        &self,
        name: &str,
        quotas: &[Quota],
        due: &[u32],
        now: Timestamp,
    ) -> Result<(), StoreLost> {
        let units = due.iter().copied().max().unwrap_or_default();
        let call = Call { operation: Operation::Settle, units, lease: None, due: Some(due) };
        self.run(call, name, quotas, now).await.map(drop)
    }

    /// What `subject` is called in Redis.
    pub fn name_of(&self, subject: &Subject<'_>) -> String {
        let digest = Digest::if_long(subject);
        self.name_of_key(&Key::of(subject, digest.as_ref()))
    }

    /// What the subject of `key` is called in Redis.
    pub(crate) fn name_of_key(&self, key: &Key<'_>) -> String {
        key::of(&self.namespace, key)
    }

    /// Says that the gateway called `name` is there; returns how many have within the last minute.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn announce(&self, name: &GatewayName) -> Result<u32, StoreLost> {
        let announced = self.gateways.announce(self.guard.connection(), name);
        Ok(self.guard.ask(announced).await?)
    }

    /// Says that the gateway called `name` goes.
    ///
    /// # Errors
    /// [`StoreLost`]; then it is forgotten within a minute.
    pub async fn leave(&self, name: &GatewayName) -> Result<(), StoreLost> {
        Ok(self.guard.ask(self.gateways.leave(self.guard.connection(), name)).await?)
    }

    /// Whether Redis is given a rest, because it has failed.
    pub fn rests(&self) -> bool {
        self.guard.rests()
    }

    /// Looks after Redis while it fails, for as long as this runs; without it, what has failed
    /// thrice is never asked again. `recovered` is told whenever it works again.
    pub async fn keep(&self, recovered: impl FnMut()) {
        self.guard.keep(|| self.probe(), recovered).await;
    }

    /// A call that writes, as those of requests do: a server that only answers is of no use.
    async fn probe(&self) -> Result<(), Lost> {
        let probe = Subject { policy: "(probe)", kind: SubjectKind::Route, id: "" };
        let quota = Quota::new("probe", i64::from(u32::MAX), Duration::from_secs(1));
        let Ok(quota) = quota else { return Ok(()) };
        let call = Call { operation: Operation::Settle, units: 1, lease: None, due: Some(&[1]) };
        self.ask(&call, &self.name_of(&probe), &[quota], Timestamp::default()).await.map(drop)
    }

    async fn run(
        &self,
        call: Call<'_>,
        name: &str,
        quotas: &[Quota],
        now: Timestamp,
    ) -> Result<Lease, StoreLost> {
        if quotas.is_empty() {
            return Ok(Lease { outcome: Outcome::new(true, []), granted: 0 });
        }
        if quotas.len() > QUOTAS_MAX {
            return Ok(Lease { outcome: refused_for_ever(quotas), granted: 0 });
        }
        let answer = self.guard.ask(self.ask(&call, name, quotas, now)).await?;
        let bytes = answer.as_bytes().unwrap_or_default();
        read(bytes, quotas)
            .ok_or_else(|| StoreLost::Answer(Nonsense(bytes.to_vec(), quotas.len()).into()))
    }

    async fn ask(
        &self,
        call: &Call<'_>,
        name: &str,
        quotas: &[Quota],
        now: Timestamp,
    ) -> Result<Value, Lost> {
        let request = vec![Value::Bytes(self.request(call, quotas, now).into())];
        self.guard.connection().run(&self.script, name, request).await
    }

    /// What the script's head says that it is given.
    fn request(&self, call: &Call<'_>, quotas: &[Quota], now: Timestamp) -> Vec<u8> {
        let now_ms = match self.clock {
            Clock::OfTheServer => BY_THE_SERVERS_CLOCK,
            Clock::OfTheCaller => now.as_millis() as i64,
        };
        let none = LeaseRequest::default();
        let lease = call.lease.unwrap_or(&none);
        let lasting_ms = u32::try_from(lease.lasting.as_millis()).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(REQUEST_BYTES + QUOTA_BYTES * quotas.len());
        bytes.push(call.operation as u8);
        bytes.extend(now_ms.to_be_bytes());
        bytes.extend(call.units.to_be_bytes());
        bytes.extend(lease.holder);
        for number in [lease.left, lease.want, lease.cap, lasting_ms] {
            bytes.extend(number.to_be_bytes());
        }
        for (at, quota) in quotas.iter().enumerate() {
            // Periods end long before: `PERIOD_MAX`.
            let seconds = u32::try_from(quota.per().as_secs()).unwrap_or(u32::MAX);
            let requests = match call.due {
                None => quota.requests(),
                Some(due) => due.get(at).copied().unwrap_or(call.units),
            };
            bytes.extend(requests.to_be_bytes());
            bytes.extend(seconds.to_be_bytes());
        }
        bytes
    }
}

impl QuotaStore for RedisQuotas {
    async fn acquire(
        &self,
        subject: Subject<'_>,
        quotas: &[Quota],
        cost: NonZeroU32,
        now: Timestamp,
    ) -> Result<Outcome, StoreLost> {
        let call = Call { operation: Operation::Take, units: cost.get(), lease: None, due: None };
        self.run(call, &self.name_of(&subject), quotas, now).await.map(|lease| lease.outcome)
    }

    async fn refund(
        &self,
        subject: Subject<'_>,
        quotas: &[Quota],
        cost: NonZeroU32,
        now: Timestamp,
    ) -> Result<(), StoreLost> {
        let call = Call { operation: Operation::Refund, units: cost.get(), lease: None, due: None };
        self.run(call, &self.name_of(&subject), quotas, now).await.map(drop)
    }

    async fn peek(
        &self,
        subject: Subject<'_>,
        quotas: &[Quota],
        now: Timestamp,
    ) -> Result<Outcome, StoreLost> {
        let call = Call { operation: Operation::Peek, units: 1, lease: None, due: None };
        self.run(call, &self.name_of(&subject), quotas, now).await.map(|lease| lease.outcome)
    }
}

/// An answer of the script that is not as its head says.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no answer to {1} quotas")]
struct Nonsense(Vec<u8>, usize);

/// Reads the script's answer, as its head describes it.
fn read(answer: &[u8], quotas: &[Quota]) -> Option<Lease> {
    let (&[admitted, ref granted @ ..], windows) = answer.split_first_chunk::<5>()?;
    let (windows, []) = windows.as_chunks::<STATE_BYTES>() else { return None };
    if windows.len() != quotas.len() {
        return None;
    }
    let mut states = [WindowState::default(); QUOTAS_MAX];
    for ((state, quota), window) in states.iter_mut().zip(quotas).zip(windows) {
        let (remaining, times) = window.split_first_chunk()?;
        let (retry_ms, reset_ms) = times.split_first_chunk()?;
        *state = WindowState {
            limit: quota.requests(),
            remaining: u32::from_be_bytes(*remaining),
            retry_ms: match i64::from_be_bytes(*retry_ms) {
                -1 => None,
                retry_ms => Some(u64::try_from(retry_ms).ok()?),
            },
            reset_ms: u64::try_from(i64::from_be_bytes(*reset_ms.first_chunk()?)).ok()?,
        };
    }
    let outcome = Outcome::new(admitted == 1, states.into_iter().take(quotas.len()));
    Some(Lease { outcome, granted: u32::from_be_bytes(*granted) })
}

fn refused_for_ever(quotas: &[Quota]) -> Outcome {
    let refused = |quota: &Quota| WindowState {
        limit: quota.requests(),
        retry_ms: None,
        ..WindowState::default()
    };
    Outcome::new(false, quotas.iter().map(refused))
}

#[cfg(test)]
mod tests;
