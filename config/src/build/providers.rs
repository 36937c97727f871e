//! Sign-in by others.

use std::collections::BTreeMap;

use super::Context;
use crate::file::OAuthFile;
use crate::file::ProviderFile;
use crate::read::Field;
use crate::types::Listen;
use crate::types::OAuth;
use crate::types::Provider;
use crate::values::Name;
use crate::values::Scope;

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

pub(super) fn oauth(
    field: Field<OAuthFile>,
    listen: Option<&Listen>,
    context: &mut Context<'_, '_, '_>,
) -> Option<OAuth> {
    let file = field.value?;
    // A faulty [listen] says nothing of where clients come to.
    let comes_back = listen.is_none_or(|listen| listen.origin().is_some());
    let google = file.google.value.map(|file| {
        // Another issuer in Google's place has its own URLs, to be discovered there.
        let known = if file.issuer.given { OIDC } else { GOOGLE };
        check(&file, comes_back, context);
        check_openid(&file, context);
        provider(file, known, context)
    });
    let github = file.github.value.map(|file| {
        check(&file, comes_back, context);
        provider(file, GITHUB, context)
    });
    let mut oidc = BTreeMap::new();
    for (name, spot) in file.oidc.value?.0 {
        if let Err(error) = Name::parse(&name) {
            context.fault(&spot.at, error);
        }
        if spot.value.issuer.value.is_none() && !spot.value.issuer.given {
            context.fault(&spot.at, "the key `issuer` is missing");
        }
        check(&spot.value, comes_back, context);
        check_openid(&spot.value, context);
        if let Some(provider) = provider(spot.value, OIDC, context) {
            oidc.insert(name, provider);
        }
    }
    // What could not be made was reported, so a provider that is missing here is never served.
    Some(OAuth { google: google.flatten(), github: github.flatten(), oidc })
}

/// Checks that the browser can be told where to come back to.
fn check(file: &ProviderFile, comes_back: bool, context: &mut Context<'_, '_, '_>) {
    if !comes_back && !file.redirect_uri.given {
        let message = "where the browser comes back to is not known: set `listen.public_url`, or \
                       `redirect_uri` here";
        context.fault(&file.at, message);
    }
    if file.issuer.value.as_ref().is_some_and(|issuer| issuer.0.contains('?')) {
        // OpenID Connect Discovery §2.
        context.fault(&file.issuer.at, "an issuer has no query");
    }
}

/// Checks that an id token is asked for (OpenID Connect Core §3.1.2.1).
fn check_openid(file: &ProviderFile, context: &mut Context<'_, '_, '_>) {
    let without = |scopes: &Vec<Scope>| !scopes.iter().any(|scope| scope.0 == "openid");
    if file.scopes.value.as_ref().is_some_and(without) {
        let message = "without the scope `openid` the provider does not say who somebody is";
        context.fault(&file.scopes.at, message);
    }
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
