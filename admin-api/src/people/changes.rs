//! What becomes of people: changed, kept out, let in, deleted.
//!
//! Each act is one transaction: the change, its note in the audit log, and what edges must know of
//! it, which comes last so that the counter of revocations is held for as short as can be.

use std::fmt::Write;

use kernel::claims::scopes_fit;
use kernel::revocation::Entry;
use kernel::secret::Secret;
use kernel::tier::Tier;
use kernel::time::Timestamp;

use super::audit::Actor;
use super::audit::Deed;
use super::audit::note;
use super::logout::end_everything;
use super::person::UserChange;
use super::person::UserError;
use super::person::Who;
use super::person::check_email;
use super::person::check_full_name;
use super::person::check_scopes;
use super::roles::ADMIN;
use super::roles::Roles;
use super::users::Users;
use crate::store::fault::DbError;
use crate::store::mailed_tokens;
use crate::store::mailed_tokens::Purpose;
use crate::store::revocations;
use crate::store::sessions::End;
use crate::store::sql::Room;
use crate::store::sql::Sql;
use crate::store::sql::Tx;
use crate::store::unlocks;
use crate::store::users;
use crate::store::users::User;

impl Users {
    /// Changes a person, if they are at `version` (`None`: whatever they are at).
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn change(
        &self,
        who: Who,
        change: UserChange,
        version: Option<u64>,
    ) -> Result<User, UserError> {
        self.check_change(&change)?;
        let now = self.desk.clock.now();
        let until = self.desk.issuer.all_until(now);
        let (desk, origin) = (self.desk.clone(), self.origin.clone());
        let act = move |tx: &Tx<'_>| {
            tx.alone_in(Room::Names)?;
            let before = who.find(tx)?;
            check_version(&before, version)?;
            let mut user = change.of(&before);
            if user == before {
                return Ok::<_, UserError>((user, None));
            }
            check_fits(tx, &desk.roles, &before, &user)?;
            if before.is_active && !user.is_active {
                end_everything(tx, &mut user, End::Disabled, now, until)?;
            } else {
                users::update(tx, &mut user, now)?;
            }
            let deed = deed(&before, &user);
            note(tx, &origin, deed, Actor::from(&user), differences(&before, &user), now)?;
            // The last act of the transaction: who has seen it has seen the others.
            let seq = if concerns_edges(&before, &user) {
                Some(record_override(tx, &desk.roles, &user, now, until)?)
            } else {
                None
            };
            Ok((user, seq))
        };
        self.desk.write_seen(act).await
    }

    /// Deletes a person and all that is theirs alone, if they are at `version`; no token that
    /// they hold is taken any more.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn delete(&self, who: Who, version: Option<u64>) -> Result<User, UserError> {
        let now = self.desk.clock.now();
        let until = self.desk.issuer.all_until(now);
        let origin = self.origin.clone();
        let act = move |tx: &Tx<'_>| {
            tx.alone_in(Room::Names)?;
            let mut user = who.find(tx)?;
            check_version(&user, version)?;
            check_not_the_last(tx, &user, None)?;
            note(tx, &origin, Deed::UserDeleted, Actor::from(&user), None, now)?;
            let seq = end_everything(tx, &mut user, End::Deleted, now, until)?;
            users::delete(tx, &user, now)?;
            Ok((user, Some(seq)))
        };
        self.desk.write_seen(act).await
    }

    /// Ends all sessions of a person, who may sign in anew; no token that they hold is taken any
    /// more.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn end_sessions(&self, who: Who) -> Result<User, UserError> {
        self.shut_out(who, Deed::SessionsEnded, |_, _, _| Ok(())).await
    }

    /// Gives a person another password, and lets them try it at once; all sessions end, and no token
    /// that they hold is taken any more.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn set_password(&self, who: Who, new: Secret) -> Result<User, UserError> {
        let user = self.find(who.clone()).await?;
        let policy = self.desk.passwords.policy();
        let new = policy.accept(&new, &user.username, user.email.as_deref())?;
        let hash = self.desk.passwords.hash(new, None).await?;
        let set = move |tx: &Tx<'_>, user: &User, now: Timestamp| {
            users::set_password(tx, &user.id, &hash, now)?;
            // A link that was mailed before would undo it.
            mailed_tokens::forget_of(tx, Purpose::ResetPassword, &user.id)?;
            unlocks::add(tx, &user.id, now)
        };
        self.shut_out(who, Deed::PasswordSet, set).await
    }

    /// Ends all sessions of a person, once `also` is done to them.
    async fn shut_out(
        &self,
        who: Who,
        deed: Deed,
        also: impl FnOnce(&Tx<'_>, &User, Timestamp) -> Result<(), DbError> + Send + 'static,
    ) -> Result<User, UserError> {
        let now = self.desk.clock.now();
        let until = self.desk.issuer.all_until(now);
        let origin = self.origin.clone();
        let act = move |tx: &Tx<'_>| {
            let mut user = who.find(tx)?;
            note(tx, &origin, deed, Actor::from(&user), None, now)?;
            also(tx, &user, now)?;
            let seq = end_everything(tx, &mut user, End::Administrator, now, until)?;
            Ok((user, Some(seq)))
        };
        self.desk.write_seen(act).await
    }

    /// Lets a person try again who failed to sign in too often, wherever they are.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn unlock(&self, who: Who) -> Result<User, UserError> {
        let now = self.desk.clock.now();
        let origin = self.origin.clone();
        let act = move |tx: &Tx<'_>| {
            let user = who.find(tx)?;
            note(tx, &origin, Deed::UserUnlocked, Actor::from(&user), None, now)?;
            unlocks::add(tx, &user.id, now)?;
            Ok::<_, UserError>(user)
        };
        self.desk.database.write(act).await
    }

    /// Gives a person another tier, for the tokens they hold as well.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn set_tier(&self, username: &str, tier: Tier) -> Result<User, UserError> {
        let change = UserChange { tier: Some(tier), ..UserChange::default() };
        self.change(Who::Name(username.to_owned()), change, None).await
    }

    /// Keeps a person out: no sign-in, no refresh, and no token they hold is taken any more.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn disable(&self, username: &str) -> Result<User, UserError> {
        let change = UserChange { is_active: Some(false), ..UserChange::default() };
        self.change(Who::Name(username.to_owned()), change, None).await
    }

    /// Lets a person in again; they have to sign in anew.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn enable(&self, username: &str) -> Result<User, UserError> {
        let change = UserChange { is_active: Some(true), ..UserChange::default() };
        self.change(Who::Name(username.to_owned()), change, None).await
    }

    fn check_change(&self, change: &UserChange) -> Result<(), UserError> {
        if let Some(Some(email)) = &change.email {
            check_email(email)?;
        }
        if let Some(Some(name)) = &change.full_name {
            check_full_name(name)?;
        }
        if let Some(tier) = &change.tier {
            self.check_tier(tier)?;
        }
        if let Some(role) = &change.role {
            self.check_role(role)?;
        }
        change.scopes.as_deref().map_or(Ok(()), check_scopes)
    }
}

fn check_version(user: &User, version: Option<u64>) -> Result<(), UserError> {
    match version {
        Some(version) if version != user.version => Err(UserError::Stale),
        _ => Ok(()),
    }
}

/// Checks what only a look at the others, and at the whole person, can tell.
fn check_fits(tx: &Tx<'_>, roles: &Roles, before: &User, user: &User) -> Result<(), UserError> {
    if let Some(email) = &user.email
        && before.email.as_ref() != Some(email)
        && users::is_taken(tx, email)?
    {
        return Err(UserError::Taken(email.clone()));
    }
    if !scopes_fit(roles.allowed(&user.role, &user.scopes).into_iter()) {
        return Err(UserError::Scopes);
    }
    check_not_the_last(tx, before, Some(user))
}

/// Checks that somebody is left to manage the others once `before` is `after`; `None`: gone.
pub(super) fn check_not_the_last(
    sql: &Sql<'_>,
    before: &User,
    after: Option<&User>,
) -> Result<(), UserError> {
    let manages = |user: &User| user.role == ADMIN && user.is_active;
    let stays = after.is_some_and(manages);
    if manages(before) && !stays && !users::is_there_another(sql, ADMIN, &before.id)? {
        return Err(UserError::LastAdministrator(before.username.clone()));
    }
    Ok(())
}

fn deed(before: &User, user: &User) -> Deed {
    match (before.is_active, user.is_active) {
        (true, false) => Deed::UserDisabled,
        (false, true) => Deed::UserEnabled,
        _ => Deed::UserChanged,
    }
}

/// What differs, for people; of addresses and names only that they do.
fn differences(before: &User, user: &User) -> Option<String> {
    let mut text = String::new();
    let mut differ = |name: &str, from: &str, to: &str| {
        if from != to {
            let gap = if text.is_empty() { "" } else { "; " };
            // Writing to a text cannot fail.
            let _ = write!(text, "{gap}{name}: `{from}` to `{to}`");
        }
    };
    differ("tier", before.tier.as_str(), user.tier.as_str());
    differ("role", &before.role, &user.role);
    differ("scopes", &before.scopes.join(" "), &user.scopes.join(" "));
    let verified = |user: &User| if user.is_verified { "yes" } else { "no" };
    differ("verified", verified(before), verified(user));
    for (name, is_new) in
        [("e-mail", before.email != user.email), ("full name", before.full_name != user.full_name)]
    {
        if is_new {
            let gap = if text.is_empty() { "" } else { "; " };
            let _ = write!(text, "{gap}{name}");
        }
    }
    Some(text).filter(|text| !text.is_empty())
}

/// Whether tokens that were made before say something else than is so now.
fn concerns_edges(before: &User, user: &User) -> bool {
    (&before.tier, &before.role, &before.scopes, before.is_active)
        != (&user.tier, &user.role, &user.scopes, user.is_active)
}

/// Says how `user` stands now: the tier, whether they may come in, and all the scopes that they
/// may have. Of these a token keeps those it has.
pub(super) fn record_override(
    tx: &Tx<'_>,
    roles: &Roles,
    user: &User,
    now: Timestamp,
    until: Timestamp,
) -> Result<u64, DbError> {
    let scopes = roles.allowed(&user.role, &user.scopes);
    let entry = Entry::UserOverride {
        user_id: user.id.clone(),
        tier: Some(user.tier.clone()),
        scopes: Some(scopes.into_iter().map(str::to_owned).collect()),
        active: user.is_active,
        until,
    };
    revocations::record(tx, &entry, now)
}
