//! Who is who: the user that a provider's word stands for.
//!
//! Whoever comes back is known by issuer and subject, nothing else. An address makes two people one
//! only where both sides know that it is theirs: else somebody could open an account in another's
//! name, at either end, and wait for its owner.

use kernel::tier::Tier;
use kernel::time::Timestamp;
use uuid::Uuid;

use super::audit::Actor;
use super::audit::Deed;
use super::audit::Origin;
use super::audit::note;
use super::names::address_spelled;
use super::newcomers;
use super::newcomers::NAMELESS;
use super::person::check_names;
use super::turned_away::ArrivalError;
use crate::providers::attested::Attested;
use crate::store::fault::DbError;
use crate::store::oauth_accounts;
use crate::store::oauth_accounts::Account;
use crate::store::oauth_flows::Linking;
use crate::store::sessions;
use crate::store::sql::Room;
use crate::store::sql::Tx;
use crate::store::users;
use crate::store::users::By;
use crate::store::users::User;

/// A provider's address in the one spelling that ours are kept in; `None` for one that is none, or
/// that another spelling would make somebody else's: what only looks like a letter is one here, and
/// may be another mailbox there.
pub(super) fn as_kept(email: &str) -> Option<String> {
    let spelled = address_spelled(email);
    let is_it = email.is_ascii() || spelled == email;
    let fits = check_names(NAMELESS, Some(email)).is_empty();
    (is_it && fits).then(|| spelled.into_owned())
}

/// Who set out signed in, if they still are.
pub(super) fn still_there(tx: &Tx<'_>, linking: &Linking) -> Result<User, ArrivalError> {
    let user = users::find(tx, By::Id, &linking.user_id)?;
    let user = user.filter(|user| user.is_active && user.epoch == linking.epoch);
    let session = sessions::find(tx, &linking.session_id)?;
    let is_over = session.is_none_or(|session| session.ended_at.is_some());
    user.filter(|_| !is_over).ok_or(ArrivalError::State)
}

/// The user whom `who` is, or is from now on, of `tier` if they are new.
pub(super) fn find_or_add(
    tx: &Tx<'_>,
    who: &Attested,
    tier: &Tier,
    (origin, provider): (&Origin, &str),
    now: Timestamp,
) -> Result<User, ArrivalError> {
    if let Some(user) = known(tx, who, now)? {
        return Ok(user);
    }
    tx.alone_in(Room::Names)?;
    // They may have come in by another tab meanwhile.
    if let Some(user) = known(tx, who, now)? {
        return Ok(user);
    }
    let namesake = match &who.verified_email {
        Some(email) => users::find(tx, By::Email, email)?,
        None => None,
    };
    let user = match namesake {
        Some(user) if !user.is_active => return Err(ArrivalError::Inactive),
        Some(user) if !user.is_verified => return Err(ArrivalError::AddressTaken),
        Some(user) => {
            tracing::info!(
                user.id = %user.id,
                "an account at {provider} was linked: both sides know the address"
            );
            user
        }
        None => {
            let user = newcomers::person(tx, who, tier, now)?;
            users::insert(tx, &user, None, now)?;
            let (origin, way) = (origin.clone().by(&user), provider.to_owned());
            note(tx, &origin, Deed::UserCreated, Actor::from(&user), Some(way), now)?;
            tracing::info!(user.id = %user.id, "{} came by {provider}", user.username);
            user
        }
    };
    add_account(tx, &user, who, provider, origin, now)?;
    Ok(user)
}

/// The user to whom the account of `who` is linked.
fn known(tx: &Tx<'_>, who: &Attested, now: Timestamp) -> Result<Option<User>, DbError> {
    let find = || oauth_accounts::find(tx, &who.issuer, &who.subject);
    let Some(account) = find()? else { return Ok(None) };
    // Holds the user, as whoever unlinks does first.
    let user = users::find(tx, By::Id, &account.user_id)?;
    if find()?.is_none_or(|now| now.user_id != account.user_id) {
        return Ok(None);
    }
    oauth_accounts::used(tx, &account.id, who.verified_email.as_deref(), now)?;
    Ok(user)
}

/// Links the account of `who` to `user`.
pub(super) fn add_account(
    tx: &Tx<'_>,
    user: &User,
    who: &Attested,
    provider: &str,
    origin: &Origin,
    now: Timestamp,
) -> Result<Account, DbError> {
    let account = Account {
        id: Uuid::now_v7().to_string(),
        user_id: user.id.clone(),
        provider: provider.to_owned(),
        issuer: who.issuer.clone(),
        subject: who.subject.clone(),
        email: who.verified_email.clone(),
        linked_at: now,
        last_used_at: now,
    };
    oauth_accounts::insert(tx, &account)?;
    let (origin, way) = (origin.clone().by(user), provider.to_owned());
    note(tx, &origin, Deed::AccountLinked, Actor::from(user), Some(way), now)?;
    Ok(account)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_only_looks_like_anothers_is_nobodys() {
        for (email, kept) in [
            ("ann@example.com", Some("ann@example.com")),
            ("Ann@Example.COM", Some("Ann@example.com")),
            ("j\u{fc}rgen@example.com", Some("j\u{fc}rgen@example.com")),
            ("\u{ff41}nn@example.com", None),
            ("ann@example\u{ff0e}com", None),
            ("ann@\u{24d4}xample.com", None),
            ("ann", None),
            ("ann @example.com", None),
            ("ann@example.com\n", None),
            ("", None),
        ] {
            assert_eq!(as_kept(email).as_deref(), kept, "{email}");
        }
    }
}
