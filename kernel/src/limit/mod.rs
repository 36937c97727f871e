//! Limits: how many requests a caller may make, and what a store of counters promises.

mod quota;

mod contract;

mod ring;

mod tally;

#[doc(hidden)]
pub mod conformance;

pub use contract::Outcome;
pub use contract::QuotaStore;
pub use contract::Subject;
pub use contract::SubjectKind;
pub use contract::WindowState;
pub use quota::Allowance;
pub use quota::PERIOD_MAX;
pub use quota::QUOTAS_MAX;
pub use quota::Quota;
pub use quota::QuotaError;
pub use ring::Reading;
pub use ring::Ring;
pub use ring::TICKS;
pub use tally::Tally;
pub use tally::WINDOWS_MAX;
