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
use std::sync::Arc;

use config::Config;
use config::LimitBy;
use config::Mode;
use config::OnStoreLoss;
use foldhash::fast::RandomState;
use http::HeaderValue;
use kernel::limit::Allowance;
use kernel::limit::Outcome;
use kernel::limit::Quota;
use kernel::limit::Subject;
use kernel::limit::SubjectKind;
use kernel::lost::StoreLost;
use kernel::time::Timestamp;
use stores::shared::Figures;
use stores::shared::SharedQuotas;

pub mod counters;

pub mod standing;

use self::counters::Counters;
use self::counters::Terms;
use self::standing::Standing;
use self::standing::advertise;
use crate::client::limit_key;
use crate::patience::Patience;
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

/// What a route itself allows.
struct OwnLimit {
    policy: Arc<Policy>,
    by: LimitBy,
    /// What the route is called as a subject; routes that share a counter share this name.
    name: Box<str>,
}

/// A policy that a request falls under, and whose requests it is counted with.
#[derive(Clone, Copy)]
struct Claim<'a> {
    policy: &'a Arc<Policy>,
    kind: SubjectKind,
    id: &'a str,
}

impl<'a> Claim<'a> {
    fn of_address(policy: &'a Arc<Policy>, client: IpAddr, buffer: &'a mut AddressText) -> Self {
        Self { policy, kind: SubjectKind::Address, id: buffer.write(limit_key(client)) }
    }

    fn subject(&self) -> Subject<'a> {
        Subject { policy: &self.policy.name, kind: self.kind, id: self.id }
    }
}

/// The claims of one request, in the order in which they are told.
type Claims<'a> = [Option<Claim<'a>>; POLICIES_MAX];

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
    /// Whose quota it is: a user's id, an address, or a route's name.
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
    counters: Counters,
    mode: Mode,
    on_store_loss: OnStoreLoss,
    tiers: HashMap<Box<str>, TierPlan, RandomState>,
    default_tier: Box<str>,
    anonymous: Arc<Policy>,
    auth: Arc<Policy>,
    login: Arc<Policy>,
    routes: Vec<Option<OwnLimit>>,
}

impl Limiter {
    /// A limiter for a configuration, which counts where `counters` are.
    pub fn new(config: &Config, counters: Counters) -> Self {
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
            let policy = Policy::new(&format!("route:{name}"), route.limits.clone()?);
            Some(OwnLimit {
                policy: Arc::new(policy),
                by: route.limit_by,
                name: name.as_str().into(),
            })
        };
        Self {
            counters,
            mode: config.limits.mode,
            on_store_loss: config.limits.on_store_loss,
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
        patience: &mut Patience,
        now: Timestamp,
    ) -> Result<Grant, LimitError> {
        let own = self.routes.get(route.index).and_then(Option::as_ref);
        let (mut of_visitor, mut of_client) = (AddressText::default(), AddressText::default());
        let of_tier = self.claim(visitor, client, &mut of_visitor);
        let of_route = own.map(|OwnLimit { policy, by, name }| match by {
            LimitBy::Caller => Claim { policy, ..of_tier },
            LimitBy::Address => Claim::of_address(policy, client, &mut of_client),
            LimitBy::Route => Claim { policy, kind: SubjectKind::Route, id: name },
        });
        let terms = Terms::of(self.mode, route.strict, route.on_store_loss);
        match self.take_all([Some(of_tier), of_route], route.cost, terms, patience, now).await {
            Err(LimitError::OverQuota(over)) if route.shadow => {
                Ok(Grant { shadowed: Some(over), ..Grant::default() })
            }
            Err(LimitError::Store(_)) if route.shadow => Ok(Grant::default()),
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
        patience: &mut Patience,
        now: Timestamp,
    ) -> Result<Grant, LimitError> {
        let policies = match mount {
            Mount::Login => [Some(&self.auth), Some(&self.login)],
            Mount::Auth | Mount::RateLimit => [Some(&self.auth), None],
            Mount::Open => return Ok(Grant::default()),
        };
        let mut buffer = AddressText::default();
        let id = buffer.write(limit_key(client));
        let by_address = |policy| Claim { policy, kind: SubjectKind::Address, id };
        let claims = policies.map(|policy| policy.map(by_address));
        let terms = Terms::of(self.mode, mount == Mount::Login, self.on_store_loss);
        self.take_all(claims, NonZeroU32::MIN, terms, patience, now).await
    }

    /// How a visitor stands with its tier, without taking anything.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn peek(
        &self,
        visitor: &Visitor,
        client: IpAddr,
        patience: &mut Patience,
        now: Timestamp,
    ) -> Result<Grant, StoreLost> {
        let mut buffer = AddressText::default();
        let claim = self.claim(visitor, client, &mut buffer);
        let Allowance::Limited(quotas) = &claim.policy.allowance else {
            return Ok(Grant { unlimited: true, ..Grant::default() });
        };
        let peeked =
            self.counters.peek(claim.subject(), quotas, self.on_store_loss, patience, now).await;
        let taken = Taken { policy: Arc::clone(claim.policy), outcome: peeked? };
        Ok(Grant { taken: [Some(taken), None], ..Grant::default() })
    }

    /// Drops counters that have run empty; calls do so as well as they come by.
    pub fn sweep(&self, now: Timestamp) {
        self.counters.sweep(now);
    }

    /// How many counters are held, and how many had to make room while they still counted.
    pub fn counters(&self) -> (usize, u64) {
        self.counters.keys()
    }

    /// How the fleet's store of counters does; none where requests are counted in this process.
    pub fn fleet(&self) -> Option<Figures> {
        self.counters.shared().map(SharedQuotas::figures)
    }

    /// The plan that a caller of `tier` is held to.
    pub fn plan_of(&self, tier: Option<&str>) -> &TierPlan {
        tier.and_then(|tier| self.tier(tier)).unwrap_or_else(|| self.default_tier())
    }

    /// What a visitor falls under, wherever it goes.
    fn claim<'a>(
        &'a self,
        visitor: &'a Visitor,
        client: IpAddr,
        buffer: &'a mut AddressText,
    ) -> Claim<'a> {
        match visitor {
            Visitor::Anonymous => Claim::of_address(&self.anonymous, client, buffer),
            Visitor::Caller(caller, _) => Claim {
                policy: &self.plan_of(caller.tier()).policy,
                kind: SubjectKind::User,
                id: caller.user_id(),
            },
        }
    }

    async fn take_all(
        &self,
        claims: Claims<'_>,
        cost: NonZeroU32,
        terms: Terms,
        patience: &mut Patience,
        now: Timestamp,
    ) -> Result<Grant, LimitError> {
        let mut grant = Grant::default();
        // What is given back is the oldest, so a quota that gives and takes back at every refusal
        // of the other would never recover: one without room is asked first.
        let order = match claims {
            [Some(_), Some(last)] if !self.has_room(&last, cost, now) => [1, 0],
            _ => [0, 1],
        };
        for at in order {
            let Some(claim) = claims[at] else { continue };
            let Allowance::Limited(quotas) = &claim.policy.allowance else {
                grant.unlimited = true;
                continue;
            };
            let acquired =
                self.counters.acquire(claim.subject(), quotas, cost, terms, patience, now).await;
            let outcome = match acquired {
                Ok(outcome) => outcome,
                Err(lost) => {
                    self.give_back(&grant.taken, &claims, cost, terms, now);
                    return Err(lost.into());
                }
            };
            if !outcome.admitted {
                self.give_back(&mem::take(&mut grant.taken), &claims, cost, terms, now);
            }
            grant.taken[at] = Some(Taken { policy: Arc::clone(claim.policy), outcome });
            if !outcome.admitted {
                return Err(LimitError::OverQuota(Box::new(grant.over_quota(claim.id, now))));
            }
        }
        Ok(grant)
    }

    fn has_room(&self, claim: &Claim<'_>, cost: NonZeroU32, now: Timestamp) -> bool {
        let Allowance::Limited(quotas) = &claim.policy.allowance else {
            return true;
        };
        self.counters.has_room(claim.subject(), quotas, cost, now)
    }

    /// A later policy refused, or could not be asked: what the earlier ones gave was not used.
    fn give_back(
        &self,
        taken: &[Option<Taken>; POLICIES_MAX],
        claims: &Claims<'_>,
        cost: NonZeroU32,
        terms: Terms,
        now: Timestamp,
    ) {
        for (taken, claim) in taken.iter().zip(claims) {
            if let (Some(_), Some(claim)) = (taken, claim)
                && let Allowance::Limited(quotas) = &claim.policy.allowance
            {
                self.counters.refund(claim.subject(), quotas, cost, terms, now);
            }
        }
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
