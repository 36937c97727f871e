//! Limits that no tier decides.

use std::sync::Arc;

use kernel::limit::Quota;
use kernel::tier::Tier;

/// Limits that no tier decides, and how all are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The tier of a token that names none, or one unknown here.
    pub default_tier: Tier,
    /// How counters are kept.
    pub mode: Mode,
    /// What happens when the store of counters is gone.
    pub on_store_loss: OnStoreLoss,
    /// For callers of public routes who send no token, per address.
    pub anonymous: Arc<[Quota]>,
    /// For `/auth/*`, per address.
    pub auth: Arc<[Quota]>,
    /// For signing in, refreshing and resetting, per address.
    pub login: Arc<[Quota]>,
    /// The most counters kept in memory.
    pub keys_max: usize,
}

/// How counters are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Leased where the limit is large enough, else exact.
    Auto,
    /// One question to the store for each request.
    Exact,
    /// Tokens taken ahead, spent without asking.
    Leased,
}

/// What happens to requests when the store of counters is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStoreLoss {
    /// This gateway counts its own share.
    Local,
    /// All pass.
    Open,
    /// None passes.
    Closed,
}

/// Whose requests are counted together under a limit of a route's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitBy {
    /// Those of a user, or, where nobody is known, of an address.
    Caller,
    /// Those of an address, whoever calls from there.
    Address,
    /// All.
    Route,
}
