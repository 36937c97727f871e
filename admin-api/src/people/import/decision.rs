//! What becomes of one arrival: added, left as they are, or refused.

use std::collections::HashSet;

use kernel::secret::Secret;
use kernel::tier::Tier;
use kernel::time::Timestamp;
use ring::digest::SHA256;
use ring::digest::digest;
use uuid::Uuid;

use super::Import;
use super::Removed;
use super::arrival::Arrival;
use super::fault::RowFault;
use crate::passwords::stored::Stored;
use crate::people::changes::check_not_the_last;
use crate::people::person::NewUser;
use crate::people::person::UserError;
use crate::people::roles::USER;
use crate::people::users::Users;
use crate::store::fault::DbError;
use crate::store::removed;
use crate::store::removed::Removable;
use crate::store::sql::Sql;
use crate::store::users;
use crate::store::users::By;
use crate::store::users::User;
use crate::store::users::import::is_anothers;

/// What becomes of somebody.
pub(super) enum Decision {
    /// They are new.
    Add(User, Option<Secret>),
    /// They are here, and all that was said of them is so.
    Keep,
    /// They are here, and something else is said of them.
    Differ(Box<Difference>),
    /// They cannot be here.
    Refuse(RowFault),
}

/// Somebody as they are here.
struct Found {
    user: User,
    hash: Option<Secret>,
}

/// Somebody who is said to be otherwise than they are here.
pub(super) struct Difference {
    /// As they are.
    pub(super) before: User,
    /// As they are said to be.
    pub(super) user: User,
    /// Their hash, where it is another one.
    pub(super) hash: Option<Secret>,
    /// In what.
    pub(super) fields: Vec<&'static str>,
}

/// The ids, names and addresses of the rows so far.
#[derive(Default)]
pub(crate) struct Seen(HashSet<u128>);

impl Seen {
    fn key(kind: &str, text: &str) -> u128 {
        let sum = digest(&SHA256, format!("{kind} {text}").as_bytes());
        let bytes = sum.as_ref().first_chunk().copied();
        u128::from_be_bytes(bytes.expect("a SHA-256 has 32 bytes"))
    }

    /// Whether an earlier row is of the person `id`.
    pub(super) fn has_id(&self, id: &str) -> bool {
        self.0.contains(&Self::key("id", id))
    }

    /// Takes an account in; gives whether it is the first time.
    pub(super) fn takes_account(&mut self, account: &str) -> bool {
        self.0.insert(Self::key("account", account))
    }

    /// What a row is told apart by.
    fn marks<'t>(id: Option<&'t str>, names: &[&'t str]) -> Vec<(u128, &'t str)> {
        let id = id.map(|id| (Self::key("id", id), id));
        let names = names.iter().map(|name| (Self::key("name", name), *name));
        id.into_iter().chain(names).collect()
    }

    /// What of a row's own an earlier one has.
    fn repeated<'t>(&self, marks: &[(u128, &'t str)]) -> Option<&'t str> {
        marks.iter().find(|(key, _)| self.0.contains(key)).map(|(_, text)| *text)
    }
}

/// Decides about one arrival; reads only.
///
/// # Errors
/// [`DbError`].
pub(super) fn decide(
    sql: &Sql<'_>,
    people: &Users,
    import: &Import,
    seen: &mut Seen,
    who: Arrival,
    now: Timestamp,
) -> Result<Decision, DbError> {
    let names: Vec<_> =
        [Some(&*who.username), who.email.as_deref()].into_iter().flatten().collect();
    let marks = Seen::marks(who.id.as_deref(), &names);
    // First: what is in the database may be there by the earlier row, and is not in a dry run.
    if let Some(text) = seen.repeated(&marks) {
        return Ok(Decision::Refuse(RowFault::Twice(text.to_owned())));
    }
    let decided = match find(sql, &who)? {
        Some(found) => differ(sql, people, import, &who, found)?,
        None => add(sql, people, import, &who, now)?,
    };
    if decided.is_ok() {
        seen.0.extend(marks.into_iter().map(|(key, _)| key));
    }
    Ok(decided.unwrap_or_else(Decision::Refuse))
}

fn find(sql: &Sql<'_>, who: &Arrival) -> Result<Option<Found>, DbError> {
    let user = match &who.id {
        Some(id) => users::find(sql, By::Id, id)?,
        None => users::find(sql, By::Username, &who.username)?,
    };
    let found = |user: User| Ok(Found { hash: users::hash_of(sql, &user.id)?, user });
    user.map(found).transpose()
}

fn add(
    sql: &Sql<'_>,
    people: &Users,
    import: &Import,
    who: &Arrival,
    now: Timestamp,
) -> Result<Result<Decision, RowFault>, DbError> {
    let told = who.id.as_deref().map_or(Removable::Username(&who.username), Removable::Id);
    if import.removed == Removed::StayAway && removed::has(sql, told)? {
        return Ok(Err(RowFault::Removed));
    }
    let tier = match tier(people, import, who) {
        Ok(tier) => tier.unwrap_or_else(|| import.unsaid_tier.clone()),
        Err(fault) => return Ok(Err(fault)),
    };
    let user = User {
        id: who.id.clone().unwrap_or_else(|| Uuid::now_v7().to_string()),
        username: who.username.clone(),
        email: who.email.clone(),
        full_name: who.full_name.clone(),
        tier,
        role: role(people, who).unwrap_or_else(|| USER.to_owned()),
        scopes: who.scopes.clone().unwrap_or_default(),
        is_active: who.is_active.unwrap_or(true),
        is_verified: who.is_verified.unwrap_or(false),
        epoch: 0,
        last_login: who.last_login,
        created_at: who.created_at.unwrap_or(now),
        version: 0,
    };
    Ok(check(sql, people, &user, who.hash.as_ref())?
        .map(|()| Decision::Add(user, who.hash.clone())))
}

fn differ(
    sql: &Sql<'_>,
    people: &Users,
    import: &Import,
    who: &Arrival,
    found: Found,
) -> Result<Result<Decision, RowFault>, DbError> {
    let Found { user: before, hash: ours } = found;
    let tier = match tier(people, import, who) {
        Ok(tier) => tier,
        Err(fault) => return Ok(Err(fault)),
    };
    let email = who.email.clone().or_else(|| before.email.clone());
    // Of a new address only who says so now knows that it is theirs.
    let is_verified = who.is_verified.unwrap_or(before.is_verified && email == before.email);
    let user = User {
        username: who.username.clone(),
        email,
        full_name: who.full_name.clone().or_else(|| before.full_name.clone()),
        tier: tier.unwrap_or_else(|| before.tier.clone()),
        role: role(people, who).unwrap_or_else(|| before.role.clone()),
        scopes: who.scopes.clone().unwrap_or_else(|| before.scopes.clone()),
        is_active: who.is_active.unwrap_or(before.is_active),
        is_verified,
        ..before.clone()
    };
    let hash = who.hash.clone().filter(|theirs| is_news(theirs, ours.as_ref()));
    let fields = [
        ("user name", user.username != before.username),
        ("e-mail address", user.email != before.email),
        ("full name", user.full_name != before.full_name),
        ("tier", user.tier != before.tier),
        ("role", user.role != before.role),
        ("scopes", user.scopes != before.scopes),
        ("active", user.is_active != before.is_active),
        ("verified", user.is_verified != before.is_verified),
        ("password", hash.is_some()),
    ];
    let fields: Vec<_> = fields.into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect();
    if fields.is_empty() {
        return Ok(Ok(Decision::Keep));
    }
    if let Err(error) = check_not_the_last(sql, &before, Some(&user)) {
        return RowFault::of(error).map(Err);
    }
    let checked = check(sql, people, &user, hash.as_ref())?;
    Ok(checked.map(|()| Decision::Differ(Box::new(Difference { before, user, hash, fields }))))
}

/// Whether `theirs` is a password that was set after the one we have. A hash of ours was made at a
/// sign-in here, or set here, and nothing over there is newer than that as far as we can know.
fn is_news(theirs: &Secret, ours: Option<&Secret>) -> bool {
    let is_made_here =
        |hash: &Secret| Stored::parse(hash.expose()).is_ok_and(|stored| stored.is_current());
    ours.is_none_or(|ours| ours != theirs && !is_made_here(ours))
}

fn check(
    sql: &Sql<'_>,
    people: &Users,
    user: &User,
    hash: Option<&Secret>,
) -> Result<Result<(), RowFault>, DbError> {
    let new = NewUser {
        email: user.email.clone(),
        full_name: user.full_name.clone(),
        role: user.role.clone(),
        scopes: user.scopes.clone(),
        // Not looked at: it is known by its hash alone.
        ..NewUser::new(user.username.clone(), Secret::new(""), user.tier.clone())
    };
    if let Some(error) = people.faults_beside_password(&new).into_iter().next() {
        return RowFault::of(error).map(Err);
    }
    if let Some(Err(unreadable)) = hash.map(|hash| Stored::parse(hash.expose())) {
        return Ok(Err(unreadable.into()));
    }
    for text in [Some(&user.username), user.email.as_ref()].into_iter().flatten() {
        if is_anothers(sql, text, &user.id)? {
            return Ok(Err(RowFault::User(UserError::Taken(text.clone()))));
        }
    }
    Ok(Ok(()))
}

/// The tier that is said, where any is. SQLAlchemy keeps the name of an enumeration's member, which
/// is often in capitals.
fn tier(people: &Users, import: &Import, who: &Arrival) -> Result<Option<Tier>, RowFault> {
    let Some(said) = &who.tier else { return Ok(None) };
    let known = |tier: &Tier| people.check_tier(tier).is_ok();
    let tier = Tier::parse(&said.to_ascii_lowercase());
    match (tier, &import.unknown_tier) {
        (Ok(tier), _) if known(&tier) => Ok(Some(tier)),
        (_, Some(instead)) => Ok(Some(instead.clone())),
        // Whoever checks the person names the tiers that there are.
        (Ok(tier), None) => Ok(Some(tier)),
        (Err(_), None) => Ok(Some(Tier::parse(said)?)),
    }
}

/// The role that is said, where any is; as with tiers.
fn role(people: &Users, who: &Arrival) -> Option<String> {
    let said = who.role.as_ref()?;
    let lower = said.to_ascii_lowercase();
    let known = |role: &str| people.desk.roles.names().any(|name| name == role);
    Some(if known(said) || !known(&lower) { said.clone() } else { lower })
}
