//! Routes: which place a host, a path and a method name.
//!
//! The most telling route wins: one that names the host before one that takes any, an exact path
//! before a prefix, a longer prefix before a shorter one. A path that is found without its method
//! is refused there; it never falls through to a shorter prefix that might be less guarded.
//!
//! Cost does not depend on the number of routes: one look-up a segment of the path.

use std::collections::HashMap;
use std::sync::Arc;

use config::Access;
use config::Authorization;
use config::Config;
use config::OnStaleRevocations;
use config::OnStoreLoss;
use config::PathPattern;
use foldhash::fast::RandomState;
use kernel::front;

/// A route as a request meets it.
#[derive(Debug)]
pub struct Route {
    /// Its name, in logs and metrics.
    pub name: Arc<str>,
    /// Its place in the configuration, from 0.
    pub index: usize,
    /// Methods it takes; empty: any.
    pub methods: Box<[String]>,
    /// Whose requests it takes.
    pub access: Access,
    /// Which upstream, by its place in the configuration.
    pub upstream: usize,
    /// How many requests one request counts for.
    pub cost: std::num::NonZeroU32,
    /// Count and report, refuse nobody.
    pub shadow: bool,
    /// Ask the store of counters each time.
    pub strict: bool,
    /// What happens when the store of counters is gone.
    pub on_store_loss: OnStoreLoss,
    /// What the upstream sees of `Authorization`.
    pub authorization: Authorization,
    /// Whether headers with `_` in their name pass.
    pub allow_underscore_headers: bool,
    /// What happens to callers with a token when revocations were not heard of for too long.
    pub on_stale_revocations: OnStaleRevocations,
}

/// What lies under a mount: ours, answered by the admin API (or, for one of them, right here).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mount {
    /// Where passwords and refresh tokens are tried: a strict limit per address.
    Login,
    /// The rest of `/auth`: a limit per address.
    Auth,
    /// `/auth/rate-limit`, answered by the gateway, which alone knows the counters.
    RateLimit,
    /// Health, job status, documents.
    Open,
}

/// Where a request leads.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// To a route.
    Route(&'a Route),
    /// To one of our own mounts.
    Mount(Mount),
    /// To a route's path, but with a method that it does not take.
    WrongMethod(&'a Route),
    /// Nowhere.
    Nowhere,
}

/// All routes, found by host, path and method.
#[derive(Debug, Default)]
pub struct RouteTable {
    routes: Vec<Route>,
    by_host: HashMap<Box<str>, Paths, RandomState>,
    any_host: Paths,
}

#[derive(Debug, Default)]
struct Paths {
    exact: HashMap<Box<str>, Vec<usize>, RandomState>,
    prefix: HashMap<Box<str>, Vec<usize>, RandomState>,
}

impl RouteTable {
    /// Indexes the routes of a configuration.
    pub fn new(config: &Config) -> Self {
        let mut table = Self::default();
        for (index, route) in config.routes.iter().enumerate() {
            table.routes.push(Route {
                name: route.name.as_str().into(),
                index,
                methods: route.methods.iter().cloned().collect(),
                access: route.access.clone(),
                upstream: route.upstream,
                cost: route.cost,
                shadow: route.shadow,
                strict: route.strict,
                on_store_loss: route.on_store_loss.unwrap_or(config.limits.on_store_loss),
                authorization: route.authorization,
                allow_underscore_headers: route.allow_underscore_headers,
                on_stale_revocations: route.on_stale_revocations,
            });
            if route.hosts.is_empty() {
                table.any_host.insert(&route.path, index);
            }
            for host in &route.hosts {
                let paths = table.by_host.entry(host.as_str().into()).or_default();
                paths.insert(&route.path, index);
            }
        }
        table
    }

    /// The routes, in the order of the configuration.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Finds the place of a request; `host` as it was sent, port and all.
    pub fn find(&self, host: &str, path: &str, method: &str) -> Place<'_> {
        if let Some(mount) = Mount::of(path, method) {
            return Place::Mount(mount);
        }
        // Whatever is configured: it is for the other half alone.
        if front::is_between_halves(path) {
            return Place::Nowhere;
        }
        let of_host = || {
            if self.by_host.is_empty() {
                return None;
            }
            self.by_host.get(&*plain_host(host))?.find(path)
        };
        let Some(candidates) = of_host().or_else(|| self.any_host.find(path)) else {
            return Place::Nowhere;
        };
        let candidates = candidates.iter().map(|&index| &self.routes[index]);
        let mut wrong_method = None;
        for route in candidates {
            if route.takes(method) {
                return Place::Route(route);
            }
            wrong_method = wrong_method.or(Some(route));
        }
        wrong_method.map_or(Place::Nowhere, Place::WrongMethod)
    }
}

impl Route {
    fn takes(&self, method: &str) -> bool {
        // A route that takes GET takes HEAD: it is GET without the body (RFC 9110 §9.3.2).
        self.methods.is_empty()
            || self.methods.iter().any(|m| m == method)
            || (method == "HEAD" && self.methods.iter().any(|m| m == "GET"))
    }
}

impl Paths {
    fn insert(&mut self, pattern: &PathPattern, index: usize) {
        let (map, path) = match pattern {
            PathPattern::Exact(path) => (&mut self.exact, path.as_str()),
            PathPattern::Prefix(path) => (&mut self.prefix, path.trim_end_matches('/')),
        };
        map.entry(path.into()).or_default().push(index);
    }

    fn find(&self, path: &str) -> Option<&Vec<usize>> {
        if let Some(found) = self.exact.get(path) {
            return Some(found);
        }
        // `/a/b/c` → `/a/b/c`, `/a/b`, `/a`, ``: whole segments only.
        let mut prefix = path;
        loop {
            if let Some(found) = self.prefix.get(prefix) {
                return Some(found);
            }
            prefix = &prefix[..memchr::memrchr(b'/', prefix.as_bytes())?];
        }
    }
}

impl Mount {
    /// The mount that owns `path`, if any.
    pub fn of(path: &str, method: &str) -> Option<Self> {
        // Most paths are none of ours, and most of those part with us in these bytes.
        if !matches!(path.as_bytes().get(1), Some(b'a' | b's' | b'm' | b'd' | b'o' | b'.')) {
            return None;
        }
        let mount = front::mount_of(path)?;
        if !front::AUTH_MOUNTS.contains(&mount) {
            return Some(Self::Open);
        }
        Some(match (&path[mount.len()..], method) {
            ("/rate-limit", "GET" | "HEAD") => Self::RateLimit,
            ("/login" | "/refresh" | "/register" | "/exchange", "POST") => Self::Login,
            // Introspection guesses nothing: only somebody with a token of their own may ask.
            ("/oauth/token" | "/oauth/revoke", "POST") => Self::Login,
            (other, "POST") if other.starts_with("/password") => Self::Login,
            _ => Self::Auth,
        })
    }
}

/// A host as it is compared: lower case, without port and trailing dot (RFC 9110 §4.2.3).
fn plain_host(host: &str) -> std::borrow::Cow<'_, str> {
    let without_port = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let plain = without_port.strip_suffix('.').unwrap_or(without_port);
    if plain.bytes().any(|b| b.is_ascii_uppercase()) {
        plain.to_ascii_lowercase().into()
    } else {
        plain.into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn route(index: usize, path: PathPattern, hosts: &[&str], methods: &[&str]) -> config::Route {
        config::Route {
            name: format!("r{index}"),
            hosts: hosts.iter().map(|h| (*h).to_owned()).collect(),
            path,
            methods: methods.iter().map(|m| (*m).to_owned()).collect(),
            upstream: 0,
            access: Access::Token,
            limits: None,
            limit_by: config::LimitBy::Caller,
            policy: None,
            cost: std::num::NonZeroU32::MIN,
            shadow: false,
            authorization: Authorization::Strip,
            allow_underscore_headers: false,
            strict: false,
            on_store_loss: None,
            on_stale_revocations: OnStaleRevocations::Allow,
        }
    }

    #[test]
    fn what_is_between_the_halves_leads_nowhere_whatever_is_configured() {
        for path in ["/", "/.doorward", "/.doorward/keys"] {
            for pattern in [PathPattern::Prefix(path.into()), PathPattern::Exact(path.into())] {
                let routes =
                    vec![route(0, pattern.clone(), &[], &[]), route(1, pattern, &["h"], &[])];
                let table = table(routes);
                for asked in
                    ["/.doorward", "/.doorward/", "/.doorward/keys", "/.doorward/revocations"]
                {
                    for method in ["GET", "POST", "OPTIONS"] {
                        let place = table.find("h", asked, method);
                        assert!(matches!(place, Place::Nowhere), "{asked}: {place:?}");
                    }
                }
            }
        }
    }

    fn table(routes: Vec<config::Route>) -> RouteTable {
        let none = |_: &str| None;
        let mut config = config::embedded(&none, std::path::Path::new("/tmp/x")).expect("default");
        config.routes = routes;
        RouteTable::new(&config)
    }

    fn name(place: Place<'_>) -> String {
        match place {
            Place::Route(route) => route.name.to_string(),
            Place::WrongMethod(route) => format!("!{}", route.name),
            Place::Mount(mount) => format!("{mount:?}"),
            Place::Nowhere => "nowhere".to_owned(),
        }
    }

    fn prefix(path: &str) -> PathPattern {
        PathPattern::Prefix(path.to_owned())
    }

    #[test]
    fn a_prefix_matches_whole_segments_and_the_longest_wins() {
        let table = table(vec![
            route(0, prefix("/"), &[], &[]),
            route(1, prefix("/api"), &[], &[]),
            route(2, prefix("/api/orders"), &[], &["GET"]),
            route(3, PathPattern::Exact("/api/orders/new".to_owned()), &[], &[]),
        ]);
        for (path, method, found) in [
            ("/", "GET", "r0"),
            ("/apikeys", "GET", "r0"),
            ("/api", "GET", "r1"),
            ("/api/", "GET", "r1"),
            ("/api/orders/7", "GET", "r2"),
            ("/api/orders/7", "HEAD", "r2"),
            ("/api/orders/7", "POST", "!r2"),
            ("/api/ordersX", "POST", "r1"),
            ("/api/orders/new", "POST", "r3"),
            ("/api/orders/new/", "GET", "r2"),
        ] {
            assert_eq!(name(table.find("h", path, method)), found, "{method} {path}");
        }
    }

    #[test]
    fn a_host_is_compared_without_case_port_and_trailing_dot() {
        let table = table(vec![
            route(0, prefix("/"), &["api.example.com"], &[]),
            route(1, prefix("/x"), &[], &[]),
        ]);
        for host in
            ["api.example.com", "API.Example.com:8080", "api.example.com.", "api.example.com.:80"]
        {
            assert_eq!(name(table.find(host, "/y", "GET")), "r0", "{host}");
        }
        assert_eq!(name(table.find("other", "/y", "GET")), "nowhere");
        assert_eq!(name(table.find("other", "/x", "GET")), "r1");
        assert_eq!(name(table.find("api.example.com.evil", "/y", "GET")), "nowhere");
    }

    #[test]
    fn a_mount_is_exact_or_by_whole_segment() {
        for (path, method, mount) in [
            ("/auth/login", "POST", Some(Mount::Login)),
            ("/api/auth/login", "POST", Some(Mount::Login)),
            ("/auth/login", "GET", Some(Mount::Auth)),
            ("/auth", "GET", Some(Mount::Auth)),
            ("/auth/rate-limit", "GET", Some(Mount::RateLimit)),
            ("/authX", "GET", None),
            ("/docs", "GET", Some(Mount::Open)),
            ("/docsX", "GET", None),
            ("/openapi.json", "GET", Some(Mount::Open)),
            ("/openapi.json/x", "GET", Some(Mount::Open)),
            ("/.well-known/jwks.json", "GET", Some(Mount::Open)),
            ("/.well-known/other", "GET", None),
            ("/monitoring/health", "GET", Some(Mount::Open)),
            ("/monitoring", "GET", None),
            ("/x/auth/login", "POST", None),
        ] {
            assert_eq!(Mount::of(path, method), mount, "{method} {path}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_index_and_a_walk_over_all_routes_find_the_same(
            patterns in prop::collection::vec(("(/[ab]{1,2}){1,3}", any::<bool>()), 1..12),
            path in "(/[ab]{1,2}){1,4}/?",
        ) {
            let mut seen = std::collections::HashSet::new();
            let routes: Vec<_> = patterns
                .into_iter()
                .filter(|pattern| seen.insert(pattern.clone()))
                .enumerate()
                .map(|(i, (path, exact))| {
                    let pattern = if exact { PathPattern::Exact(path) } else { prefix(&path) };
                    route(i, pattern, &[], &[])
                })
                .collect();
            let naive = routes
                .iter()
                .filter_map(|route| match &route.path {
                    PathPattern::Exact(exact) => (*exact == path).then_some((usize::MAX, route)),
                    PathPattern::Prefix(prefix) => {
                        let rest = path.strip_prefix(prefix.as_str())?;
                        let whole = rest.is_empty() || rest.starts_with('/');
                        whole.then_some((prefix.len(), route))
                    }
                })
                .max_by_key(|(rank, _)| *rank)
                .map_or("nowhere".to_owned(), |(_, route)| route.name.clone());
            prop_assert_eq!(name(table(routes).find("h", &path, "GET")), naive);
        }
    }
}
