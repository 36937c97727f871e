//! Whoever may manage others: a proof that every handler of management asks for.

use std::sync::Arc;

use axum::extract::FromRef;
use axum::extract::FromRequestParts;
use http::Extensions;
use http::request::Parts;

use super::asked::Asked;
use super::bearer;
use super::refusal::Refusal;
use crate::people::audit::Actor;
use crate::people::audit::Origin;
use crate::people::desk::Desk;
use crate::people::roles::ADMIN;
use crate::people::user_agent::UserAgent;

/// Somebody who showed a token with the scope `admin`, and is still allowed it.
pub(crate) struct Operator {
    /// For the audit log.
    pub(crate) origin: Origin,
}

impl<S: Sync> FromRequestParts<S> for Operator
where
    Arc<Desk>: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let desk = Arc::<Desk>::from_ref(state);
        let asker = desk.asker(&bearer::required(&parts.headers)?).await?;
        if !desk.holds(&asker, ADMIN) {
            return Err(Refusal::Scope(ADMIN));
        }
        Ok(Self { origin: origin_of(&parts.extensions, Some(Actor::from(&asker.user))) })
    }
}

/// Who asks for what, for the audit log.
pub(crate) fn origin_of(extensions: &Extensions, actor: Option<Actor>) -> Origin {
    let asked = extensions.get::<Asked>();
    Origin {
        actor,
        request_id: asked.map(|asked| asked.request_id.clone()),
        client: asked.and_then(|asked| asked.client),
        user_agent: asked.and_then(|asked| UserAgent::of(asked.user_agent.as_ref()?.as_bytes())),
    }
}
