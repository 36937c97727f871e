//! Who is asking: a [`Caller`] exists only if a token's signature, times and revocation were
//! checked, for only the revocation set makes one.

use std::sync::Arc;

use crate::tier::Tier;
use crate::token::InForce;
use crate::token::VerifiedToken;

/// What an act of an administrator says of a user, over what the user's tokens say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The tier that counts now.
    pub tier: Option<Tier>,
    /// All the scopes that the user may have now. Of these a token keeps those it has: one that
    /// was made to carry fewer never comes to carry more.
    pub scopes: Option<Vec<Arc<str>>>,
}

/// Somebody whose token holds, here and now.
#[derive(Clone, Debug)]
pub struct Caller {
    token: Arc<VerifiedToken>,
    over: Option<Arc<Override>>,
    /// What is left of the token's scopes; `None`: all of them.
    left: Option<Vec<Arc<str>>>,
}

impl Caller {
    /// Only the revocation set may say so.
    pub(crate) fn unrevoked(token: InForce, over: Option<Arc<Override>>) -> Self {
        let token = token.into_token();
        let left = over.as_ref().and_then(|over| over.scopes.as_ref()).map(|allowed| {
            let scopes = token.claims().scopes.iter();
            scopes.filter(|scope| allowed.contains(scope)).cloned().collect()
        });
        Self { token, over, left }
    }

    /// The user's id.
    pub fn user_id(&self) -> &str {
        &self.token.claims().user_id
    }

    /// The user's name.
    pub fn username(&self) -> &str {
        &self.token.claims().username
    }

    /// The tier's name, as an administrator or else the token says; `None` where neither does.
    pub fn tier(&self) -> Option<&str> {
        let over = self.over.as_ref().and_then(|over| over.tier.as_ref());
        over.map(Tier::as_str).or(self.token.claims().tier.as_deref())
    }

    /// What the caller may do.
    pub fn scopes(&self) -> &[Arc<str>] {
        self.left.as_deref().unwrap_or(&self.token.claims().scopes)
    }

    /// The token that was presented.
    pub fn token(&self) -> &Arc<VerifiedToken> {
        &self.token
    }

    /// Whether an administrator's word stands over the token's.
    pub fn is_overridden(&self) -> bool {
        self.over.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::specimen::claims;
    use crate::specimen::verified;

    fn caller(over: Option<Override>) -> Caller {
        Caller::unrevoked(verified(&claims()), over.map(Arc::new))
    }

    #[test]
    fn without_an_override_the_tokens_word_counts() {
        let caller = caller(None);
        assert_eq!((caller.user_id(), caller.username()), ("u1", "ann"));
        assert_eq!(caller.tier(), Some("free"));
        assert_eq!(caller.scopes(), [Arc::from("orders:read")]);
        assert_eq!(caller.token().claims().token_id.as_deref(), Some("t1"));
        assert!(!caller.is_overridden());
    }

    #[test]
    fn an_administrators_word_stands_over_the_tokens_where_there_is_one() {
        let tier = Some(Tier::parse("premium").unwrap());
        let promoted = caller(Some(Override { tier, scopes: None }));
        assert_eq!(promoted.tier(), Some("premium"));
        assert_eq!(promoted.scopes(), [Arc::from("orders:read")]);
        assert!(promoted.is_overridden());

        // No scopes at all is a word too.
        let stripped = caller(Some(Override { tier: None, scopes: Some(Vec::new()) }));
        assert_eq!(stripped.tier(), Some("free"));
        assert!(stripped.scopes().is_empty());
    }

    #[test]
    fn an_override_takes_scopes_away_and_never_adds_one() {
        let over = |allowed: &[&str]| {
            let scopes = Some(allowed.iter().map(|&scope| Arc::from(scope)).collect());
            caller(Some(Override { tier: None, scopes })).scopes().to_vec()
        };
        assert_eq!(over(&["admin", "orders:read"]), [Arc::from("orders:read")]);
        assert_eq!(over(&["admin"]), []);
    }
}
