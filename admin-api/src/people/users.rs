//! What an operator does to people.

use std::collections::BTreeSet;
use std::sync::Arc;

use kernel::claims::scopes_fit;
use kernel::tier::Tier;
use uuid::Uuid;

use super::audit::Actor;
use super::audit::Deed;
use super::audit::Origin;
use super::audit::note;
use super::desk::Desk;
use super::names::address_spelled;
use super::names::spelled;
use super::person::NewUser;
use super::person::UserError;
use super::person::Who;
use super::person::check_full_name;
use super::person::check_names;
use super::person::check_scopes;
use crate::passwords::policy::NewPassword;
use crate::passwords::policy::Weakness;
use crate::prefix::Prefix;
use crate::store::audit;
use crate::store::audit::Act;
use crate::store::audit::ActFilter;
use crate::store::sql::Room;
use crate::store::users;
use crate::store::users::By;
use crate::store::users::User;
use crate::store::users::UserFilter;

/// The longest list of people that is given at one time.
pub const LIST_MAX: u32 = 1000;

/// The people of this Doorward.
///
/// What is done here is in force at every edge within a tenth of a second, in this process and
/// in any other that has the same database open.
#[derive(Clone)]
pub struct Users {
    pub(super) desk: Arc<Desk>,
    tiers: Arc<BTreeSet<Tier>>,
    pub(super) origin: Origin,
}

impl Users {
    pub(crate) fn new(desk: Arc<Desk>, config: &config::Config) -> Self {
        Self {
            desk,
            tiers: Arc::new(config.tiers.keys().cloned().collect()),
            origin: Origin::default(),
        }
    }

    /// The same people, for whoever asks from `origin`: that is what the audit log will say. Else
    /// it says that the command line did it.
    pub fn on_behalf_of(&self, origin: Origin) -> Self {
        Self { origin, ..self.clone() }
    }

    /// Adds a person.
    ///
    /// # Errors
    /// [`UserError`], naming the first field that does not fit.
    pub async fn create(&self, new: NewUser) -> Result<User, UserError> {
        self.admit(new, None).await
    }

    /// Adds a person who comes by themselves, from `from`; `None`: whom an operator brings.
    ///
    /// # Errors
    /// As [`Users::create`].
    pub(crate) async fn admit(
        &self,
        new: NewUser,
        from: Option<Prefix>,
    ) -> Result<User, UserError> {
        if let Some(fault) = self.faults_beside_password(&new).into_iter().next() {
            return Err(fault);
        }
        let password = self.accept(&new)?;
        let hash = self.desk.passwords.hash(password, from).await?;
        let now = self.desk.clock.now();
        let user = User {
            id: Uuid::now_v7().to_string(),
            username: spelled(&new.username).into_owned(),
            email: new.email.map(|email| address_spelled(&email).into_owned()),
            full_name: new.full_name,
            tier: new.tier,
            role: new.role,
            scopes: new.scopes,
            is_active: true,
            is_verified: false,
            epoch: 0,
            last_login: None,
            created_at: now,
            version: 0,
        };
        let origin = self.origin.clone();
        self.desk
            .database
            .write(move |tx| {
                tx.alone_in(Room::Names)?;
                // A name that is another's address, or the other way about, would let one person
                // stand where the other signs in.
                for text in [Some(&user.username), user.email.as_ref()].into_iter().flatten() {
                    if users::is_taken(tx, text)? {
                        return Err(UserError::Taken(text.clone()));
                    }
                }
                users::insert(tx, &user, Some(&hash), now)?;
                note(tx, &origin, Deed::UserCreated, Actor::from(&user), None, now)?;
                Ok(user)
            })
            .await
    }

    /// The person called `username`.
    ///
    /// # Errors
    /// [`UserError::Database`].
    pub async fn by_username(&self, username: &str) -> Result<Option<User>, UserError> {
        let username = username.to_owned();
        Ok(self.desk.database.read(move |sql| users::find(sql, By::Username, &username)).await?)
    }

    /// The person that is meant.
    ///
    /// # Errors
    /// [`UserError::Unknown`], [`UserError::Database`].
    pub async fn find(&self, who: Who) -> Result<User, UserError> {
        // Within a `read` only the database may fail.
        let found = self.desk.database.read(move |sql| Ok(who.find(sql))).await;
        found?
    }

    /// People in order of name, at most `limit` and at most [`LIST_MAX`].
    ///
    /// # Errors
    /// [`UserError::Database`].
    pub async fn list(&self, filter: UserFilter, limit: u32) -> Result<Vec<User>, UserError> {
        let limit = limit.min(LIST_MAX);
        Ok(self.desk.database.read(move |sql| users::list(sql, &filter, limit)).await?)
    }

    /// Whether there is nobody at all.
    ///
    /// # Errors
    /// [`UserError::Database`].
    pub async fn is_empty(&self) -> Result<bool, UserError> {
        Ok(self.desk.database.read(users::is_empty).await?)
    }

    /// What was done to whom by whom, the newest first, at most `limit` and at most [`LIST_MAX`].
    ///
    /// # Errors
    /// [`UserError::Database`].
    pub async fn acts(&self, filter: ActFilter, limit: u32) -> Result<Vec<Act>, UserError> {
        let limit = limit.min(LIST_MAX);
        Ok(self.desk.database.read(move |sql| audit::list(sql, &filter, limit)).await?)
    }

    /// The tier of somebody of whom nothing else is said.
    pub(crate) fn usual_tier(&self) -> &Tier {
        &self.desk.usual_tier
    }

    /// Everything that is wrong with `new`.
    pub(crate) fn faults_of(&self, new: &NewUser) -> Vec<UserError> {
        let mut faults = self.faults_beside_password(new);
        faults.extend(self.accept(new).err().map(UserError::from));
        faults
    }

    /// The password of `new`, if it may be set.
    fn accept(&self, new: &NewUser) -> Result<NewPassword, Weakness> {
        let policy = self.desk.passwords.policy();
        policy.accept(&new.password, &new.username, new.email.as_deref())
    }

    /// Everything that is wrong with `new`, but for the password.
    pub(crate) fn faults_beside_password(&self, new: &NewUser) -> Vec<UserError> {
        let allowed = self.desk.roles.allowed(&new.role, &new.scopes);
        let all_fit = scopes_fit(allowed.into_iter());
        let checks = [
            new.full_name.as_deref().map_or(Ok(()), check_full_name),
            self.check_tier(&new.tier),
            self.check_role(&new.role),
            check_scopes(&new.scopes).and(if all_fit { Ok(()) } else { Err(UserError::Scopes) }),
        ];
        let names = check_names(&new.username, new.email.as_deref()).into_iter();
        names.chain(checks.into_iter().filter_map(Result::err)).collect()
    }

    /// Checks that `role` is one of the configured ones.
    pub(super) fn check_role(&self, role: &str) -> Result<(), UserError> {
        if self.desk.roles.names().any(|name| name == role) {
            return Ok(());
        }
        Err(UserError::Role { name: role.to_owned(), known: list_of(self.desk.roles.names()) })
    }

    /// Checks that `tier` is one of the configured ones.
    pub(crate) fn check_tier(&self, tier: &Tier) -> Result<(), UserError> {
        if self.tiers.contains(tier) {
            return Ok(());
        }
        Err(UserError::Tier {
            name: tier.clone(),
            known: list_of(self.tiers.iter().map(Tier::as_str)),
        })
    }
}

fn list_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
