//! What is behind the gateway, and which requests go there.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use kernel::limit::Allowance;

use super::LimitBy;
use super::OnStoreLoss;

/// Equal servers behind the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Its name, as routes write it.
    pub name: String,
    /// Its servers; never empty.
    pub endpoints: Vec<Endpoint>,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long the server may be silent.
    pub read_timeout: Duration,
    /// What its servers are asked for before requests are; `None`: nothing.
    pub warm_up: Option<UpstreamWarmUp>,
}

/// What the servers of an upstream are asked for while the gateway starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamWarmUp {
    /// A path, and a query if need be.
    pub target: String,
    /// How long it is tried before the gateway does without the upstream, or ends.
    pub timeout: Duration,
    /// Whether the gateway ends then.
    pub required: bool,
}

/// One server of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `http://host:port`
    Http {
        /// A name, an IPv4 address, or an IPv6 address without brackets.
        host: String,
        /// The port; 80 where none is written.
        port: u16,
    },
    /// `https://host:port`
    Https {
        /// A name, an IPv4 address, or an IPv6 address without brackets.
        host: String,
        /// The port; 443 where none is written.
        port: u16,
    },
    /// `unix:/path`
    Unix(PathBuf),
}

/// Which requests go to which upstream, and on what terms.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Its name, in logs, metrics and limits.
    pub name: String,
    /// The hosts it is for, lower-case, without port; empty: any.
    pub hosts: Vec<String>,
    /// The paths it is for.
    pub path: PathPattern,
    /// The methods it is for, upper-case; empty: any.
    pub methods: Vec<String>,
    /// Its upstream: an index into [`Config::upstreams`](super::Config::upstreams).
    pub upstream: usize,
    /// Who may call it.
    pub access: Access,
    /// A limit of its own, beside the tier's.
    pub limits: Option<Allowance>,
    /// Whose requests are counted together under it.
    pub limit_by: LimitBy,
    /// The name of that limit's counter; routes that write the same name share one.
    pub policy: Option<String>,
    /// How many requests a request here counts as.
    pub cost: NonZeroU32,
    /// Whether limits only count and report, and refuse nobody.
    pub shadow: bool,
    /// Whether the store of counters is asked at each request.
    pub strict: bool,
    /// What becomes of the client's `Authorization` header.
    pub authorization: Authorization,
    /// Whether headers with `_` in their names reach the upstream.
    pub allow_underscore_headers: bool,
    /// What happens here when the store of counters is gone; `None`: as in [`Limits`](super::Limits).
    pub on_store_loss: Option<OnStoreLoss>,
    /// What happens here to callers with a token when revocations were not heard of for too long.
    pub on_stale_revocations: OnStaleRevocations,
}

/// The paths of a route; always canonical.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathPattern {
    /// This path and no other.
    Exact(String),
    /// This path and those below it, by whole segment; no final slash, except for `/` itself.
    Prefix(String),
}

/// Who may call a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone; a token that is sent is still checked.
    Public,
    /// Whoever has a token.
    Token,
    /// Whoever has a token with all of these scopes; never empty.
    Scopes(Vec<String>),
}

/// What happens when what is known of revocations is older than
/// [`revocation_stale_after`](super::Auth::revocation_stale_after).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStaleRevocations {
    /// By what is known: a token that was revoked since is still taken.
    Allow,
    /// No token is taken.
    Deny,
}

/// What becomes of the client's `Authorization` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// It is taken off.
    Strip,
    /// It goes on as it came.
    Original,
}
