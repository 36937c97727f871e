//! The request's path, in one paragraph.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use config::Access;
use http::HeaderMap;
use http::HeaderName;
use http::header::ACCESS_CONTROL_REQUEST_METHOD;
use http::header::AUTHORIZATION;
use http::header::CONTENT_LENGTH;
use http::header::COOKIE;
use http::header::ORIGIN;
use http::header::TRANSFER_ENCODING;
use http::header::UPGRADE;
use kernel::revocation::RevocationError;
use kernel::revocation::RevocationSet;
use kernel::time::Timestamp;

use crate::auth::Authenticator;
use crate::auth::Identity;
use crate::auth::Needs;
use crate::limit::Grant;
use crate::limit::Limiter;
use crate::old_service::Heard;
use crate::old_service::Line;
use crate::patience::Patience;
use crate::refusal::Refusal;
use crate::revocation;
use crate::revocation::Stale;
use crate::revocation::Visitor;
use crate::routing::Mount;
use crate::routing::Place;
use crate::routing::Route;
use crate::routing::RouteTable;
use crate::target::Target;

/// The parts of a request that decide; nothing else of it does.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `GET`, …
    pub method: &'a str,
    /// The request target as it was sent.
    pub target: &'a [u8],
    /// The one `Host` header.
    pub host: &'a str,
    /// All headers.
    pub headers: &'a HeaderMap,
    /// The client's address.
    pub client: IpAddr,
}

/// Leave to go on.
#[derive(Debug)]
pub enum Admission<'a> {
    /// To a back end.
    Route {
        /// Which route.
        route: &'a Route,
        /// On whose behalf.
        visitor: Visitor,
        /// What was taken for it.
        grant: Grant,
    },
    /// To one of our own mounts, whose endpoints guard themselves.
    Mount {
        /// What was taken for it.
        grant: Grant,
    },
    /// To nowhere: the answer is how the caller stands with its quota.
    Quota {
        /// Whose.
        visitor: Visitor,
        /// How it stands.
        grant: Grant,
    },
}

/// Decides about requests.
pub struct Gatekeeper {
    /// Where they lead.
    pub routes: RouteTable,
    /// Who sends them.
    pub authenticator: Authenticator,
    /// Who no longer may.
    pub revocations: Arc<RevocationSet>,
    /// Who else is asked about that: the service that Doorward replaces, where it runs beside.
    pub old_service: Option<Line>,
    /// How old what is known of that may be, where a route says so.
    pub stale_after: Duration,
    /// How many.
    pub limiter: Limiter,
}

impl Gatekeeper {
    /// Admits a request, or says why not.
    ///
    /// Every place but the public ones needs a token, and what has no route is refused as 404 only
    /// to somebody known: an unknown path tells nobody that it is unknown.
    ///
    /// # Errors
    /// [`Refusal`]; then nothing was taken from a caller's quota, nor from a route's. (A mount's
    /// limit by address is taken first: it is there to bound what a stranger makes us do.)
    pub async fn admit(
        &self,
        request: &Request<'_>,
        now: Timestamp,
    ) -> Result<Admission<'_>, Refusal> {
        let target = Target::parse(request.target)?;
        let place = self.routes.find(request.host, target.path(), request.method);
        if let Place::Mount(mount) = place {
            return self.admit_to_mount(mount, request, now).await;
        }
        let identity = match needs(&place, request) {
            Needed::Preflight => Identity::Anonymous,
            Needed::Credential(needs) => {
                self.authenticator.identify(needs, request.headers, now).await?
            }
        };
        let mut patience = Patience::default();
        let (visitor, heard) = self.unrevoked(identity, request.headers, &mut patience).await?;
        let route = open_to(place, &visitor)?;
        self.check_age(route, &visitor, heard, now)?;
        let grant = self.limiter.take(route, &visitor, request.client, &mut patience, now).await?;
        Ok(Admission::Route { route, visitor, grant })
    }

    async fn admit_to_mount(
        &self,
        mount: Mount,
        request: &Request<'_>,
        now: Timestamp,
    ) -> Result<Admission<'_>, Refusal> {
        let mut patience = Patience::default();
        let taken = self.limiter.take_for_mount(mount, request.client, &mut patience, now);
        let grant = taken.await?;
        if mount != Mount::RateLimit {
            return Ok(Admission::Mount { grant });
        }
        let identity = self.authenticator.identify(Needs::Token, request.headers, now).await?;
        let (visitor, _) = self.unrevoked(identity, request.headers, &mut patience).await?;
        let peeked = self.limiter.peek(&visitor, request.client, &mut patience, now).await;
        let grant = peeked.map_err(crate::limit::LimitError::from)?;
        Ok(Admission::Quota { visitor, grant })
    }

    /// A visitor of whom nothing was taken back, neither here nor, where it runs beside, by the service
    /// that Doorward replaces; and how lately that was heard of.
    async fn unrevoked(
        &self,
        identity: Identity,
        headers: &HeaderMap,
        patience: &mut Patience,
    ) -> Result<(Visitor, Heard), RevocationError> {
        let visitor = revocation::check(&self.revocations, identity)?;
        let heard = match (&self.old_service, &visitor) {
            (Some(line), Visitor::Caller(_, known)) => {
                line.hear(&known.word, headers, patience).await?
            }
            (None, _) | (_, Visitor::Anonymous) => Heard::Lately,
        };
        Ok((visitor, heard))
    }

    /// Checks that what is known of revocations is as new as `route` asks for.
    fn check_age(
        &self,
        route: &Route,
        visitor: &Visitor,
        heard: Heard,
        now: Timestamp,
    ) -> Result<(), Stale> {
        let (set, on_stale) = (&self.revocations, route.on_stale_revocations);
        revocation::check_age(set, heard, visitor, on_stale, self.stale_after, now)
    }
}

enum Needed {
    Preflight,
    Credential(Needs),
}

fn needs(place: &Place<'_>, request: &Request<'_>) -> Needed {
    match place {
        // A browser sends no credential with its preflight (Fetch §4.8); any other OPTIONS is a
        // request like all others.
        Place::Route(_) if is_preflight(request) => Needed::Preflight,
        Place::Route(route) | Place::WrongMethod(route) => {
            Needed::Credential(Needs::from(&route.access))
        }
        Place::Mount(_) | Place::Nowhere => Needed::Credential(Needs::Token),
    }
}

/// Whether a browser would send this before a request across origins, and nothing beside it: what
/// has a body, a credential or another protocol in mind is a request like all others.
fn is_preflight(request: &Request<'_>) -> bool {
    let has = |name: &HeaderName| request.headers.contains_key(name);
    request.method == "OPTIONS"
        && has(&ORIGIN)
        && has(&ACCESS_CONTROL_REQUEST_METHOD)
        && !NOT_IN_A_PREFLIGHT.iter().any(has)
}

/// What no browser puts into a preflight (Fetch §4.8).
static NOT_IN_A_PREFLIGHT: [HeaderName; 5] =
    [AUTHORIZATION, COOKIE, TRANSFER_ENCODING, UPGRADE, CONTENT_LENGTH];

/// The route of a place, if it is one and `visitor` may use it.
fn open_to<'a>(place: Place<'a>, visitor: &Visitor) -> Result<&'a Route, Refusal> {
    let route = match place {
        Place::Route(route) => route,
        Place::WrongMethod(route) => return Err(Refusal::Method(route.methods.to_vec())),
        Place::Mount(_) | Place::Nowhere => return Err(Refusal::NoRoute),
    };
    match (&route.access, visitor) {
        (Access::Scopes(required), Visitor::Caller(caller, _)) => {
            let has = |scope: &String| caller.scopes().iter().any(|s| **s == **scope);
            if required.iter().all(has) { Ok(route) } else { Err(Refusal::Scope(required.clone())) }
        }
        _ => Ok(route),
    }
}
