//! Roles: what a person may ask for.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use kernel::claims::scopes_fit;

use crate::store::users::Identity;

/// The role, and the scope, that guards management.
pub const ADMIN: &str = "admin";

/// The role of everybody else; it need not be configured.
pub const USER: &str = "user";

/// The scopes that each role grants.
pub(crate) struct Roles(BTreeMap<String, Vec<String>>);

impl Roles {
    /// As the configuration has them.
    pub(crate) fn new(configured: &BTreeMap<String, Vec<String>>) -> Self {
        let mut roles = configured.clone();
        roles.entry(USER.to_owned()).or_default();
        roles.entry(ADMIN.to_owned()).or_default().push(ADMIN.to_owned());
        Self(roles)
    }

    /// Their names, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// What `user` gets of the scopes `asked` for; `None` asks for all.
    ///
    /// In order of the alphabet, without repetition; no more than a token can carry.
    pub(crate) fn grant(&self, user: &Identity, asked: Option<&[String]>) -> Vec<String> {
        let allowed = self.allowed(&user.role, &user.scopes);
        let wanted = |scope: &&str| asked.is_none_or(|asked| asked.iter().any(|a| a == scope));
        let mut granted: Vec<&str> = allowed.into_iter().filter(wanted).collect();
        let all = granted.len();
        while !scopes_fit(granted.iter().copied()) {
            granted.pop();
        }
        if granted.len() < all {
            tracing::warn!(
                user.id = %user.id,
                "{} of {all} scopes were left out: a token cannot carry more",
                all - granted.len()
            );
        }
        granted.into_iter().map(str::to_owned).collect()
    }

    /// What somebody of `role` with scopes of their `own` may ask for.
    pub(crate) fn allowed<'a>(&'a self, role: &str, own: &'a [String]) -> BTreeSet<&'a str> {
        let of_role = self.0.get(role).into_iter().flatten();
        of_role.chain(own).map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use kernel::claims::SCOPES_BYTES_MAX;
    use kernel::claims::SCOPES_MAX;
    use kernel::tier::Tier;

    use super::*;

    fn check(role: &str, own: &[&str], asked: Option<&[&str]>, granted: &[&str]) {
        let owned = |list: &[&str]| list.iter().map(|&s| s.to_owned()).collect::<Vec<_>>();
        let roles = Roles::new(&BTreeMap::from([(
            "editor".to_owned(),
            owned(&["orders:write", "orders:read"]),
        )]));
        let user = Identity {
            id: "1".to_owned(),
            username: "ann".to_owned(),
            tier: Tier::parse("free").unwrap(),
            role: role.to_owned(),
            scopes: owned(own),
            epoch: 0,
        };
        assert_eq!(roles.grant(&user, asked.map(owned).as_deref()), owned(granted));
    }

    #[test]
    fn asking_for_nothing_is_asking_for_all_that_is_allowed() {
        check("editor", &["tea"], None, &["orders:read", "orders:write", "tea"]);
        check("user", &[], None, &[]);
        check("admin", &[], None, &["admin"]);
        check("unknown", &["tea"], None, &["tea"]);
    }

    #[test]
    fn a_scope_that_is_not_allowed_is_not_granted_whoever_asks() {
        check("editor", &[], Some(&["admin", "orders:read"]), &["orders:read"]);
        check("user", &[], Some(&["admin"]), &[]);
    }

    #[test]
    fn no_token_carries_more_scopes_than_the_verifier_takes() {
        let many: Vec<String> = (0..=SCOPES_MAX).map(|i| format!("s{i:03}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        check("user", &many, None, &many[..SCOPES_MAX]);
        let long: Vec<String> =
            (0..9).map(|i| format!("{i:0>width$}", width = SCOPES_BYTES_MAX / 8)).collect();
        let long: Vec<&str> = long.iter().map(String::as_str).collect();
        check("user", &long, None, &long[..8]);
    }
}
