//! The question that follows authentication: was this token, its session, its user or its key
//! taken back since?

use std::sync::Arc;
use std::time::Duration;

use config::OnStaleRevocations;
use kernel::caller::Caller;
use kernel::revocation::RevocationError;
use kernel::revocation::RevocationSet;
use kernel::time::Timestamp;

use crate::auth::Identity;
use crate::auth::Known;
use crate::old_service::Heard;

/// Who is calling, with nothing left to ask.
///
/// A [`Caller`] comes out of the revocation set alone, so this cannot be made by skipping it.
#[derive(Clone, Debug)]
pub enum Visitor {
    /// Nobody in particular.
    Anonymous,
    /// A caller, and what a back end is told of it.
    Caller(Caller, Arc<Known>),
}

/// Checks an identity against the set; nobody has nothing that could be revoked.
///
/// # Errors
/// [`RevocationError`].
pub fn check(set: &RevocationSet, identity: Identity) -> Result<Visitor, RevocationError> {
    match identity {
        Identity::Anonymous => Ok(Visitor::Anonymous),
        Identity::Known(token, known) => Ok(Visitor::Caller(set.check(token)?, known)),
    }
}

/// What is known of revocations is older than a route allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("revocations were not heard of for too long")]
pub struct Stale;

/// Whether what is known of revocations is older than `stale_after`: those of ours, or what was
/// [`Heard`] of the service that Doorward replaces.
fn is_any_stale(set: &RevocationSet, heard: Heard, stale_after: Duration, now: Timestamp) -> bool {
    let theirs = match heard {
        Heard::Lately => false,
        Heard::Before(None) => true,
        Heard::Before(Some(age)) => age > stale_after,
    };
    theirs || is_stale(set.heard_at(), stale_after, now)
}

/// Whether what was complete at `heard_at` is older than `stale_after`.
pub fn is_stale(heard_at: Timestamp, stale_after: Duration, now: Timestamp) -> bool {
    now.since(heard_at) > stale_after
}

/// Checks that `set` was known to be complete no longer ago than `stale_after`, and the old service
/// heard of, where the route that `visitor` goes to asks for it. Nobody in particular has nothing that
/// could be revoked.
///
/// # Errors
/// [`Stale`].
pub fn check_age(
    set: &RevocationSet,
    heard: Heard,
    visitor: &Visitor,
    on_stale: OnStaleRevocations,
    stale_after: Duration,
    now: Timestamp,
) -> Result<(), Stale> {
    match (on_stale, visitor) {
        (OnStaleRevocations::Deny, Visitor::Caller(..))
            if is_any_stale(set, heard, stale_after, now) =>
        {
            Err(Stale)
        }
        (OnStaleRevocations::Allow | OnStaleRevocations::Deny, _) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use kernel::keys::Key;
    use kernel::keys::KeyRing;
    use kernel::keys::LiveKeys;
    use kernel::keys::SigningKey;
    use kernel::secret::Secret;
    use kernel::token::Profile;

    use super::*;
    use crate::auth::Authenticator;
    use crate::auth::Needs;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const BOUND: Duration = Duration::from_secs(30);

    #[test]
    fn what_is_known_is_stale_past_the_bound_and_not_at_it() {
        assert!(!is_stale(NOW.minus(BOUND), BOUND, NOW));
        assert!(is_stale(NOW.minus(BOUND + Duration::from_millis(1)), BOUND, NOW));
        // A clock that was put back.
        assert!(!is_stale(NOW.plus(BOUND), BOUND, NOW));
        // Never heard of.
        assert!(is_stale(Timestamp::default(), BOUND, NOW));
    }

    /// Somebody with a token, and the set that let them in.
    async fn somebody() -> (RevocationSet, Visitor) {
        let key = SigningKey::hs256("k1", &Secret::new("k".repeat(32))).expect("a key");
        let ring = KeyRing::new(vec![Key::Signing(Box::new(key))]).expect("a ring");
        let profile = Profile {
            issuer: "doorward".into(),
            audience: None,
            leeway: Duration::ZERO,
            lifetime_max: Duration::from_secs(3600),
            accept_legacy: false,
        };
        let keys = Arc::new(LiveKeys::new(ring));
        let authenticator = Authenticator::new(keys, Arc::default(), profile, 0, true);
        let identity = authenticator.identify(Needs::Token, &HeaderMap::new(), NOW).await;
        let set = RevocationSet::default();
        set.apply_snapshot(0, &[], NOW);
        let visitor = check(&set, identity.expect("the test user")).expect("nothing is revoked");
        (set, visitor)
    }

    #[tokio::test]
    async fn a_route_that_denies_lets_a_caller_in_at_the_bound_and_not_past_it() {
        let (set, visitor) = somebody().await;
        let [at, past] = [BOUND, BOUND + Duration::from_millis(1)].map(|age| NOW.plus(age));
        let check = |on_stale, now| check_age(&set, Heard::Lately, &visitor, on_stale, BOUND, now);
        let deny = |now| check(OnStaleRevocations::Deny, now);
        assert_eq!(deny(at), Ok(()));
        assert_eq!(deny(past), Err(Stale));
        assert_eq!(check(OnStaleRevocations::Allow, past), Ok(()));
        // Heard of again.
        set.apply_snapshot(0, &[], past);
        assert_eq!(deny(past), Ok(()));
    }

    #[test]
    fn nobody_in_particular_is_held_to_no_age() {
        let set = RevocationSet::default();
        let deny = OnStaleRevocations::Deny;
        let heard = Heard::Before(None);
        assert_eq!(check_age(&set, heard, &Visitor::Anonymous, deny, BOUND, NOW), Ok(()));
    }

    #[test]
    fn an_old_service_that_is_not_heard_of_is_stale_past_the_bound_or_if_it_never_was() {
        let set = RevocationSet::default();
        set.apply_snapshot(0, &[], NOW);
        let past = BOUND + Duration::from_millis(1);
        for (heard, stale) in [
            (Heard::Lately, false),
            (Heard::Before(Some(BOUND)), false),
            (Heard::Before(Some(past)), true),
            (Heard::Before(None), true),
        ] {
            assert_eq!(is_any_stale(&set, heard, BOUND, NOW), stale, "{heard:?}");
        }
        assert!(is_any_stale(&set, Heard::Lately, BOUND, NOW.plus(past)));
    }
}
