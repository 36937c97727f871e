//! Sign-in by others.

use std::collections::BTreeMap;

use super::Context;
use crate::file::OAuthFile;
use crate::file::ProviderFile;
use crate::read::Field;
use crate::types::OAuth;
use crate::types::Provider;
use crate::values::Name;

/// What is known of a provider without asking it.
#[derive(Clone, Copy, Default)]
struct Known {
    issuer: Option<&'static str>,
    authorization_url: Option<&'static str>,
    token_url: Option<&'static str>,
    userinfo_url: Option<&'static str>,
    emails_url: Option<&'static str>,
    jwks_url: Option<&'static str>,
    scopes: &'static [&'static str],
}

const GOOGLE: Known = Known {
    issuer: Some("https://accounts.google.com"),
    authorization_url: Some("https://accounts.google.com/o/oauth2/v2/auth"),
    token_url: Some("https://oauth2.googleapis.com/token"),
    userinfo_url: Some("https://openidconnect.googleapis.com/v1/userinfo"),
    emails_url: None,
    jwks_url: Some("https://www.googleapis.com/oauth2/v3/certs"),
    scopes: &["openid", "email", "profile"],
};

const GITHUB: Known = Known {
    issuer: None,
    authorization_url: Some("https://github.com/login/oauth/authorize"),
    token_url: Some("https://github.com/login/oauth/access_token"),
    userinfo_url: Some("https://api.github.com/user"),
    emails_url: Some("https://api.github.com/user/emails"),
    jwks_url: None,
    scopes: &["read:user", "user:email"],
};

const OIDC: Known = Known {
    issuer: None,
    authorization_url: None,
    token_url: None,
    userinfo_url: None,
    emails_url: None,
    jwks_url: None,
    scopes: &["openid", "email", "profile"],
};

pub(super) fn oauth(field: Field<OAuthFile>, context: &mut Context<'_, '_, '_>) -> Option<OAuth> {
    let file = field.value?;
    let google = file.google.value.map(|file| provider(file, GOOGLE, context));
    let github = file.github.value.map(|file| provider(file, GITHUB, context));
    let mut oidc = BTreeMap::new();
    for (name, spot) in file.oidc.value?.0 {
        if let Err(error) = Name::parse(&name) {
            context.fault(&spot.at, error);
        }
        if spot.value.issuer.value.is_none() && !spot.value.issuer.given {
            context.fault(&spot.at, "the key `issuer` is missing");
        }
        if let Some(provider) = provider(spot.value, OIDC, context) {
            oidc.insert(name, provider);
        }
    }
    // What could not be made was reported, so a provider that is missing here is never served.
    Some(OAuth { google: google.flatten(), github: github.flatten(), oidc })
}

fn provider(
    file: ProviderFile,
    known: Known,
    context: &mut Context<'_, '_, '_>,
) -> Option<Provider> {
    let secret = file.client_secret.resolve(context.environment, context.variables, context.report);
    let scopes = match file.scopes.value {
        Some(scopes) => scopes.into_iter().map(|scope| scope.0).collect(),
        None => known.scopes.iter().map(|scope| (*scope).to_owned()).collect(),
    };
    let or = |field: Field<crate::values::WebUrl>, known: Option<&str>| {
        field.value.map(|url| url.0).or(known.map(str::to_owned))
    };
    Some(Provider {
        client_id: file.client_id.value?.0,
        client_secret: secret?,
        redirect_uri: file.redirect_uri.value.map(|url| url.0),
        scopes,
        issuer: or(file.issuer, known.issuer),
        authorization_url: or(file.authorization_url, known.authorization_url),
        token_url: or(file.token_url, known.token_url),
        userinfo_url: or(file.userinfo_url, known.userinfo_url),
        emails_url: or(file.emails_url, known.emails_url),
        jwks_url: or(file.jwks_url, known.jwks_url),
    })
}
