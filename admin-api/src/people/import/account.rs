//! Accounts at providers by which people of the old deployment signed in.

use kernel::id_token::SUBJECT_BYTES_MAX;
use kernel::time::Timestamp;
use uuid::Uuid;

use super::Removed;
use super::arrival::at;
use super::arrival::given;
use super::arrival::id;
use super::decision::Seen;
use super::fault::RowFault;
use crate::people::users::Users;
use crate::providers::oidc::GOOGLE;
use crate::providers::registry::Name;
use crate::store::fault::DbError;
use crate::store::oauth_accounts;
use crate::store::oauth_accounts::Account;
use crate::store::old_people::OldAccount;
use crate::store::removed;
use crate::store::removed::Removable;
use crate::store::sql::Sql;
use crate::store::users;
use crate::store::users::By;

/// By what GitHub's people are told apart from others'; it has no issuer.
const GITHUB: &str = "https://github.com";

/// One account of a source: where it stands, and whose it is.
#[derive(Debug)]
pub(crate) struct ToldAccount {
    /// `account of user `17` at `google``.
    pub(crate) at: String,
    pub(crate) link: Result<Link, RowFault>,
}

/// Who signs in as whom.
#[derive(Debug)]
pub(crate) struct Link {
    user_id: String,
    provider: String,
    subject: String,
    linked_at: Option<Timestamp>,
}

impl ToldAccount {
    /// Of a row of an old deployment's table.
    pub(super) fn of(row: OldAccount) -> Self {
        let named = |text: &Option<String>| text.clone().unwrap_or_default();
        let at = format!("account of user `{}` at `{}`", named(&row.user_id), named(&row.provider));
        Self { at, link: link(row) }
    }
}

fn link(row: OldAccount) -> Result<Link, RowFault> {
    let user_id = id(&given(row.user_id).ok_or(RowFault::NoId)?)?;
    let (Some(provider), Some(subject)) = (given(row.provider), given(row.provider_user_id)) else {
        return Err(RowFault::Nobodys);
    };
    if subject.len() > SUBJECT_BYTES_MAX || subject.chars().any(char::is_control) {
        return Err(RowFault::Nobodys);
    }
    let linked_at = at("created_at", given(row.created_at))?;
    Ok(Link { user_id, provider: provider.to_ascii_lowercase(), subject, linked_at })
}

/// What becomes of an account.
pub(super) enum AccountDecision {
    /// It is linked.
    Add(Account),
    /// It is linked already.
    Keep,
    /// It cannot be.
    Refuse(RowFault),
}

/// Decides about one account; reads only.
///
/// # Errors
/// [`DbError`].
pub(super) fn decide_account(
    sql: &Sql<'_>,
    people: &Users,
    removed: Removed,
    seen: &mut Seen,
    link: Link,
    now: Timestamp,
) -> Result<AccountDecision, DbError> {
    let Some((provider, issuer)) = provider(people, &link.provider) else {
        return Ok(AccountDecision::Refuse(RowFault::Provider(link.provider)));
    };
    if !seen.takes_account(&format!("{issuer} {}", link.subject)) {
        return Ok(AccountDecision::Refuse(RowFault::Twice(link.subject)));
    }
    if let Some(account) = oauth_accounts::find(sql, &issuer, &link.subject)? {
        let is_theirs = account.user_id == link.user_id;
        let theirs = if is_theirs { Ok(AccountDecision::Keep) } else { Err(RowFault::Anothers) };
        return Ok(theirs.unwrap_or_else(AccountDecision::Refuse));
    }
    let account = Removable::Account { issuer: &issuer, subject: &link.subject };
    if removed == Removed::StayAway && removed::has(sql, account)? {
        return Ok(AccountDecision::Refuse(RowFault::Removed));
    }
    // In a dry run its owner may be known by an earlier row alone.
    if !seen.has_id(&link.user_id) && users::find(sql, By::Id, &link.user_id)?.is_none() {
        return Ok(AccountDecision::Refuse(RowFault::NoOwner(link.user_id)));
    }
    let linked_at = link.linked_at.unwrap_or(now);
    Ok(AccountDecision::Add(Account {
        id: Uuid::now_v7().to_string(),
        user_id: link.user_id,
        provider: provider.to_string(),
        issuer,
        subject: link.subject,
        email: None,
        linked_at,
        last_used_at: linked_at,
    }))
}

/// The provider that was called `said` there, and its issuer: the configured one, or what everybody
/// calls Google and GitHub.
fn provider(people: &Users, said: &str) -> Option<(Name, String)> {
    let (name, known) = match said {
        "google" => (Name::Google, Some(GOOGLE[0])),
        "github" => (Name::Github, Some(GITHUB)),
        other => (Name::Oidc(other.to_owned()), None),
    };
    let configured = people.desk.providers.find(&name).map(|provider| provider.issuer());
    let issuer = configured.or(known)?.to_owned();
    Some((name, issuer))
}
