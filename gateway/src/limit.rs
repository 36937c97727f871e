//! Limits: which quotas a request falls under, and taking from them.
//!
//! The key and the tier come from a [`Visitor`], so from a verified token or from the socket;
//! there is no request without one, and none that is limited by nothing at all unless its tier
//! says `unlimited`.

use std::collections::HashMap;
use std::io::Write;
use std::mem;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::num::NonZeroUsize;
use std::sync::Arc;

use config::Config;
use foldhash::fast::RandomState;
use http::HeaderValue;
use kernel::limit::Allowance;
use kernel::limit::Outcome;
use kernel::limit::Quota;
use kernel::limit::QuotaStore;
use kernel::limit::StoreLost;
use kernel::limit::Subject;
use kernel::limit::SubjectKind;
use kernel::time::Timestamp;
use stores::memory::KEYS_MAX;
use stores::memory::MemoryQuotas;

pub mod standing;

use self::standing::Standing;
use self::standing::advertise;
use crate::client::limit_key;
use crate::revocation::Visitor;
use crate::routing::Mount;
use crate::routing::Route;

/// The most policies that one request falls under: its tier's and its route's.
pub const POLICIES_MAX: usize = 2;

/// A policy: a name to count under, and what it allows.
#[derive(Debug)]
pub struct Policy {
    name: Arc<str>,
    allowance: Allowance,
    /// `RateLimit-Policy`; none for unlimited.
    advertised: Option<HeaderValue>,
}

impl Policy {
    fn new(name: &str, allowance: Allowance) -> Self {
        let advertised = match &allowance {
            Allowance::Unlimited => None,
            Allowance::Limited(quotas) => Some(advertise(quotas)),
        };
        Self { name: name.into(), allowance, advertised }
    }
}

/// A tier, ready for use.
#[derive(Debug)]
pub struct TierPlan {
    /// Its name, as `X-User-Tier` has it.
    pub name: HeaderValue,
    policy: Arc<Policy>,
}

impl TierPlan {
    /// Its name.
    pub fn as_str(&self) -> &str {
        // Tier names are plain ASCII.
        self.name.to_str().unwrap_or_default()
    }
}

/// What one policy said to one request.
#[derive(Debug)]
struct Taken {
    policy: Arc<Policy>,
    outcome: Outcome,
}

/// What a request took from its quotas; empty where it falls under none.
#[derive(Debug, Default)]
pub struct Grant {
    taken: [Option<Taken>; POLICIES_MAX],
    unlimited: bool,
    shadowed: Option<Box<OverQuota>>,
}

/// Why a request may not go on.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// A quota is spent.
    #[error("a quota is spent")]
    OverQuota(Box<OverQuota>),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreLost),
}

/// A spent quota, and when to come again.
#[derive(Debug)]
pub struct OverQuota {
    /// Whose quota it is: a user's id, or an address.
    pub subject: String,
    /// What the headers say.
    pub standing: Standing,
    /// The names of the quotas that are spent.
    pub violated: Vec<String>,
    /// `Retry-After`, in seconds, at least 1; none where waiting will not help.
    pub retry_after_s: Option<u64>,
}

/// Holds each caller to its limits.
pub struct Limiter {
    quotas: MemoryQuotas,
    tiers: HashMap<Box<str>, TierPlan, RandomState>,
    default_tier: Box<str>,
    anonymous: Arc<Policy>,
    auth: Arc<Policy>,
    login: Arc<Policy>,
    routes: Vec<Option<Arc<Policy>>>,
}

impl Limiter {
    /// A limiter for a configuration, counting in memory.
    pub fn new(config: &Config) -> Self {
        let limited = |name: &str, quotas: &Arc<[Quota]>| {
            Arc::new(Policy::new(name, Allowance::Limited(Arc::clone(quotas))))
        };
        let plan = |(tier, allowance): (&kernel::tier::Tier, &Allowance)| {
            let plan = TierPlan {
                name: crate::auth::header_text(tier.as_str()),
                policy: Arc::new(Policy::new("tier", allowance.clone())),
            };
            (tier.as_str().into(), plan)
        };
        let of_route = |route: &config::Route| {
            let name = route.policy.as_ref().unwrap_or(&route.name);
            let allowance = route.limits.clone()?;
            Some(Arc::new(Policy::new(&format!("route:{name}"), allowance)))
        };
        Self {
            quotas: MemoryQuotas::new(
                NonZeroUsize::new(config.limits.keys_max).unwrap_or(KEYS_MAX),
            ),
            tiers: config.tiers.iter().map(plan).collect(),
            default_tier: config.limits.default_tier.as_str().into(),
            anonymous: limited("anonymous", &config.limits.anonymous),
            auth: limited("auth", &config.limits.auth),
            login: limited("login", &config.limits.login),
            routes: config.routes.iter().map(of_route).collect(),
        }
    }

    /// The plan of a visitor's tier; `None` for a tier that is not configured.
    pub fn tier(&self, name: &str) -> Option<&TierPlan> {
        self.tiers.get(name)
    }

    /// The plan that counts where a caller's own tier is missing or unknown.
    pub fn default_tier(&self) -> &TierPlan {
        // The configuration refuses a default tier that is not among the tiers.
        &self.tiers[&self.default_tier]
    }

    /// Takes what a request to `route` costs.
    ///
    /// # Errors
    /// [`LimitError::OverQuota`]: nothing was taken from any quota. A route in shadow grants all
    /// the same, and the grant says what would have been refused.
    pub async fn take(
        &self,
        route: &Route,
        visitor: &Visitor,
        client: IpAddr,
        now: Timestamp,
    ) -> Result<Grant, LimitError> {
        let tier_policy = match visitor {
            Visitor::Anonymous => &self.anonymous,
            Visitor::Caller(caller, _) => &self.plan_of(caller.tier()).policy,
        };
        let route_policy = self.routes.get(route.index).and_then(Option::as_ref);
        let mut buffer = AddressText::default();
        let (kind, id) = subject_of(visitor, client, &mut buffer);
        let taken = self.take_all([Some(tier_policy), route_policy], kind, id, route.cost, now);
        match taken.await {
            Err(LimitError::OverQuota(over)) if route.shadow => {
                Ok(Grant { shadowed: Some(over), ..Grant::default() })
            }
            taken => taken,
        }
    }

    /// Takes what a request to one of our own mounts costs: per address, never a user's quota.
    ///
    /// # Errors
    /// As [`Limiter::take`].
    pub async fn take_for_mount(
        &self,
        mount: Mount,
        client: IpAddr,
        now: Timestamp,
    ) -> Result<Grant, LimitError> {
        let policies = match mount {
            Mount::Login => [Some(&self.auth), Some(&self.login)],
            Mount::Auth | Mount::RateLimit => [Some(&self.auth), None],
            Mount::Open => return Ok(Grant::default()),
        };
        let mut buffer = AddressText::default();
        let id = buffer.write(limit_key(client));
        self.take_all(policies, SubjectKind::Address, id, NonZeroU32::MIN, now).await
    }

    /// How a visitor stands with its tier, without taking anything.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn peek(
        &self,
        visitor: &Visitor,
        client: IpAddr,
        now: Timestamp,
    ) -> Result<Grant, StoreLost> {
        let policy = match visitor {
            Visitor::Anonymous => &self.anonymous,
            Visitor::Caller(caller, _) => &self.plan_of(caller.tier()).policy,
        };
        let Allowance::Limited(quotas) = &policy.allowance else {
            return Ok(Grant { unlimited: true, ..Grant::default() });
        };
        let mut buffer = AddressText::default();
        let (kind, id) = subject_of(visitor, client, &mut buffer);
        let subject = Subject { policy: &policy.name, kind, id };
        let outcome = self.quotas.peek(subject, quotas, now).await?;
        let taken = Taken { policy: Arc::clone(policy), outcome };
        Ok(Grant { taken: [Some(taken), None], ..Grant::default() })
    }

    /// Drops counters that have run empty; calls do so as well as they come by.
    pub fn sweep(&self, now: Timestamp) {
        self.quotas.sweep(now);
    }

    /// How many counters are held, and how many had to make room while they still counted.
    pub fn counters(&self) -> (usize, u64) {
        (self.quotas.keys(), self.quotas.displaced())
    }

    /// The plan that a caller of `tier` is held to.
    pub fn plan_of(&self, tier: Option<&str>) -> &TierPlan {
        tier.and_then(|tier| self.tier(tier)).unwrap_or_else(|| self.default_tier())
    }

    async fn take_all(
        &self,
        policies: [Option<&Arc<Policy>>; POLICIES_MAX],
        kind: SubjectKind,
        id: &str,
        cost: NonZeroU32,
        now: Timestamp,
    ) -> Result<Grant, LimitError> {
        let mut grant = Grant::default();
        // What is given back is the oldest, so a quota that gives and takes back at every refusal
        // of the other would never recover: one without room is asked first.
        let order = match policies {
            [Some(_), Some(last)] if !self.has_room(last, kind, id, cost, now).await? => [1, 0],
            _ => [0, 1],
        };
        for at in order {
            let Some(policy) = policies[at] else { continue };
            let Allowance::Limited(quotas) = &policy.allowance else {
                grant.unlimited = true;
                continue;
            };
            let subject = Subject { policy: &policy.name, kind, id };
            let outcome = self.quotas.acquire(subject, quotas, cost, now).await?;
            let refused = !outcome.admitted;
            let before = refused.then(|| mem::take(&mut grant.taken));
            grant.taken[at] = Some(Taken { policy: Arc::clone(policy), outcome });
            if let Some(before) = before {
                self.give_back(&before, kind, id, cost, now).await?;
                return Err(LimitError::OverQuota(Box::new(grant.over_quota(id, now))));
            }
        }
        Ok(grant)
    }

    async fn has_room(
        &self,
        policy: &Policy,
        kind: SubjectKind,
        id: &str,
        cost: NonZeroU32,
        now: Timestamp,
    ) -> Result<bool, StoreLost> {
        let Allowance::Limited(quotas) = &policy.allowance else {
            return Ok(true);
        };
        let subject = Subject { policy: &policy.name, kind, id };
        let outcome = self.quotas.peek(subject, quotas, now).await?;
        Ok(outcome.windows().iter().all(|window| window.remaining >= cost.get()))
    }

    /// A later policy refused: what the earlier ones gave was not used.
    async fn give_back(
        &self,
        taken: &[Option<Taken>],
        kind: SubjectKind,
        id: &str,
        cost: NonZeroU32,
        now: Timestamp,
    ) -> Result<(), StoreLost> {
        for Taken { policy, .. } in taken.iter().flatten() {
            if let Allowance::Limited(quotas) = &policy.allowance {
                let subject = Subject { policy: &policy.name, kind, id };
                self.quotas.refund(subject, quotas, cost, now).await?;
            }
        }
        Ok(())
    }
}

fn subject_of<'a>(
    visitor: &'a Visitor,
    client: IpAddr,
    buffer: &'a mut AddressText,
) -> (SubjectKind, &'a str) {
    match visitor {
        Visitor::Anonymous => (SubjectKind::Address, buffer.write(limit_key(client))),
        Visitor::Caller(caller, _) => (SubjectKind::User, caller.user_id()),
    }
}

/// The longest address as text: a v4 address in v6 clothes, all digits written out.
const ADDRESS_TEXT_BYTES_MAX: usize = 45;

/// An address as text, without the heap.
struct AddressText {
    bytes: [u8; ADDRESS_TEXT_BYTES_MAX],
}

impl Default for AddressText {
    fn default() -> Self {
        Self { bytes: [0; ADDRESS_TEXT_BYTES_MAX] }
    }
}

impl AddressText {
    fn write(&mut self, address: IpAddr) -> &str {
        let room = self.bytes.len();
        let mut rest = &mut self.bytes[..];
        let written = write!(rest, "{address}").is_ok();
        let len = if written { room - rest.len() } else { 0 };
        std::str::from_utf8(&self.bytes[..len]).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
