//! Tokens, keys, and issuers of others.

use std::thread::available_parallelism;

use kernel::claims::CLAIM_BYTES_MAX;
use kernel::keys::Algorithm;
use kernel::secret::Secret;
use kernel::token::ISSUER_END;

use super::Context;
use super::passwords;
use super::providers;
use crate::file::AuthFile;
use crate::file::IssuerFile;
use crate::file::KeyFile;
use crate::read::Field;
use crate::types::Auth;
use crate::types::Database;
use crate::types::Hashing;
use crate::types::Issuer;
use crate::types::Key;
use crate::types::Listen;
use crate::values::SecretRef;
use crate::values::sealing_problem;
use crate::values::secret_problem;
use crate::values::written_problem;

/// Checks that verified tokens are remembered at all: what the service that is replaced says of one is
/// kept with it, or it would be asked at every request, and not be heeded while it is away.
pub(super) fn check_remembers_tokens(field: &Field<AuthFile>, context: &mut Context<'_, '_, '_>) {
    let Some(bytes) = field.value.as_ref().map(|file| &file.token_cache_bytes) else { return };
    if bytes.value.as_ref().is_some_and(|bytes| bytes.0 == 0) {
        let message = "with `redis.beside_old_service` it cannot be 0: what the old service says of \
                       a token is kept there";
        context.fault(&bytes.at, message);
    }
}

pub(super) fn auth(
    field: Field<AuthFile>,
    listen: Option<&Listen>,
    database: Option<&Database>,
    signs: bool,
    context: &mut Context<'_, '_, '_>,
) -> Option<Auth> {
    let file = field.value?;
    let keys = keys(file.keys, signs, context);
    let stored_key_alg = stored_key_alg(&file.stored_key_alg, context);
    let key_encryption_key = key_encryption_key(&file.key_encryption_key, context);
    // One that is generated lies on one machine, and this database is there for several.
    let is_shared = matches!(database, Some(Database::Postgres { .. }));
    if stored_key_alg.is_some() && is_shared && !file.key_encryption_key.given {
        let message = "with Postgres it needs `auth.key_encryption_key`, the same on all machines";
        context.fault(&file.stored_key_alg.at, message);
    }
    let oauth = providers::oauth(file.oauth, listen, context);
    let access_ttl = file.access_ttl.value.map(|period| period.0);
    let refresh_ttl = file.refresh_ttl.value.map(|period| period.0);
    let lifetime_max = file.lifetime_max.value.map(|period| period.0);
    if access_ttl > lifetime_max && lifetime_max.is_some() {
        let message = "it is longer than `auth.lifetime_max`: our own tokens would be refused";
        context.fault(&file.access_ttl.at, message);
    }
    if access_ttl > refresh_ttl && refresh_ttl.is_some() {
        context.fault(&file.refresh_ttl.at, "it is shorter than `auth.access_ttl`");
    }
    for (text, at) in
        [(&file.issuer.value, &file.issuer.at), (&file.audience.value, &file.audience.at)]
    {
        if text.as_ref().is_some_and(|text| text.0.len() > CLAIM_BYTES_MAX) {
            let message = format!(
                "it is longer than {CLAIM_BYTES_MAX} bytes: no token with it would be taken"
            );
            context.fault(at, message);
        }
    }
    if file.frontend_tokens_in_query.value == Some(true) && !file.frontend_url.given {
        let message = "it says what is sent to `auth.frontend_url`, and there is none";
        context.fault(&file.frontend_tokens_in_query.at, message);
    }
    let hashing = file.hashing.value?;
    let threads = hashing.threads.value.map_or_else(hashing_threads, |threads| threads.0 as usize);
    Some(Auth {
        issuer: file.issuer.value?.0,
        audience: file.audience.value.map(|text| text.0),
        access_ttl: access_ttl?,
        refresh_ttl: refresh_ttl?,
        leeway: file.leeway.value?.0,
        lifetime_max: lifetime_max?,
        frontend_url: file.frontend_url.value.map(|url| url.0),
        frontend_tokens_in_query: file.frontend_tokens_in_query.value?,
        accept_legacy: file.accept_legacy.value?,
        keys: keys?,
        stored_key_alg,
        key_encryption_key,
        revocation_stale_after: file.revocation_stale_after.value?.0,
        token_cache_bytes: file.token_cache_bytes.value?.0 as usize,
        hashing: Hashing { threads, queue_max: hashing.queue_max.value?.0 as usize },
        password_chars_min: file.password_chars_min.value?.0 as usize,
        reset_url: file.reset_url.value.map(|url| url.0),
        keep_refresh_token: file.keep_refresh_token.value?,
        registration: file.registration.value?,
        throttle: passwords::throttle(file.throttle)?,
        oauth: oauth?,
    })
}

/// A quarter of the cores: signing in must not slow the proxy.
fn hashing_threads() -> usize {
    available_parallelism().map_or(1, |cores| (cores.get() / 4).max(1))
}

fn stored_key_alg(
    field: &Field<Algorithm>,
    context: &mut Context<'_, '_, '_>,
) -> Option<Algorithm> {
    let alg = field.value?;
    match alg {
        Algorithm::ES256 | Algorithm::EdDSA => {}
        Algorithm::HS256 => context.fault(
            &field.at,
            "a shared secret belongs in `auth.keys`; use `ES256` or `EdDSA` here",
        ),
        Algorithm::RS256 | Algorithm::PS256 => context.fault(
            &field.at,
            "RSA keys are not made here; use `ES256` or `EdDSA`, or put yours into `auth.keys`",
        ),
    }
    Some(alg)
}

fn key_encryption_key(
    field: &Field<SecretRef>,
    context: &mut Context<'_, '_, '_>,
) -> Option<Secret> {
    let secret = field.resolve(context.environment, context.variables, context.report);
    if let Some(problem) = secret.as_ref().and_then(sealing_problem) {
        context.fault(&field.at, problem);
    }
    secret
}

fn keys(
    field: Field<Vec<KeyFile>>,
    signs: bool,
    context: &mut Context<'_, '_, '_>,
) -> Option<Vec<Key>> {
    let files = field.value?;
    for (index, file) in files.iter().enumerate() {
        let same = |other: &&KeyFile| other.kid.value == file.kid.value;
        if let Some(kid) = &file.kid.value
            && let Some(first) = files[..index].iter().find(same)
        {
            let message = format!("`{}` is the kid of `{}` as well", kid.0, first.at.path);
            context.fault(&file.kid.at, message);
        }
    }
    let keys = files.into_iter().enumerate().map(|(index, file)| {
        // A gateway that runs apart signs nothing, and need not be able to.
        key(file, signs && index == 0, context)
    });
    // All of them first: a fault in one does not hide the next.
    keys.collect::<Vec<_>>().into_iter().collect()
}

fn key(file: KeyFile, signs: bool, context: &mut Context<'_, '_, '_>) -> Option<Key> {
    let alg = file.alg.value?;
    let symmetric = alg == Algorithm::HS256;
    let foreign: [(&str, &Field<SecretRef>); 3] = [
        ("secret", &file.secret),
        ("private_key", &file.private_key),
        ("public_key", &file.public_key),
    ];
    for (name, field) in foreign {
        if field.value.is_some() && symmetric != (name == "secret") {
            context.fault(&field.at, format!("a key for {alg:?} has no `{name}`"));
        }
    }
    let resolve = |field: &Field<SecretRef>, context: &mut Context<'_, '_, '_>| {
        field.resolve(context.environment, context.variables, context.report)
    };
    let secret = resolve(&file.secret, context);
    let private_key = resolve(&file.private_key, context);
    let public_key = resolve(&file.public_key, context);
    if symmetric {
        check_secret(&file, secret.as_ref(), signs, context);
    } else {
        check_pem(&file, private_key.as_ref(), public_key.as_ref(), signs, context);
    }
    Some(Key { kid: file.kid.value?.0, alg, secret, private_key, public_key })
}

fn check_secret(
    file: &KeyFile,
    secret: Option<&Secret>,
    signs: bool,
    context: &mut Context<'_, '_, '_>,
) {
    if file.secret.value.is_none() && !file.secret.given {
        context.fault(&file.at, "a key for HS256 needs `secret`");
    }
    // An old, short secret may still verify the tokens of an old issuer, but never sign.
    let problem = |secret| if signs { secret_problem(secret) } else { written_problem(secret) };
    if let Some(problem) = secret.and_then(problem) {
        context.fault(&file.secret.at, problem);
    }
}

fn check_pem(
    file: &KeyFile,
    private_key: Option<&Secret>,
    public_key: Option<&Secret>,
    signs: bool,
    context: &mut Context<'_, '_, '_>,
) {
    if signs && !file.private_key.given {
        context.fault(&file.at, "the first key signs, and needs `private_key`");
    } else if !file.private_key.given && !file.public_key.given {
        context.fault(&file.at, "a key needs `private_key`, or `public_key` to verify only");
    }
    let pem = |secret: &Secret, kind: &str| {
        let text = secret.expose();
        text.trim_start().starts_with("-----BEGIN ") && text.contains(kind)
    };
    if private_key.is_some_and(|key| !pem(key, "PRIVATE KEY-----")) {
        context.fault(&file.private_key.at, "it is not a private key in PEM form");
    }
    if public_key.is_some_and(|key| !pem(key, "PUBLIC KEY-----")) {
        context.fault(&file.public_key.at, "it is not a public key in PEM form");
    }
}

pub(super) fn issuers(
    field: Field<Vec<IssuerFile>>,
    auth: Option<&Auth>,
    context: &mut Context<'_, '_, '_>,
) -> Option<Vec<Issuer>> {
    let mut issuers = Vec::<Issuer>::new();
    let mut good = true;
    for file in field.value? {
        if let Some(issuer) = &file.issuer.value {
            let ours = auth.is_some_and(|auth| auth.issuer == issuer.0);
            if ours || issuers.iter().any(|other| other.issuer == issuer.0) {
                context
                    .fault(&file.issuer.at, format!("there is already an issuer `{}`", issuer.0));
            }
            if issuer.0.contains(ISSUER_END) || issuer.0.len() > CLAIM_BYTES_MAX {
                let message = format!(
                    "an issuer has at most {CLAIM_BYTES_MAX} bytes, and no `{ISSUER_END}`: that ends \
                     it in the ids of its people"
                );
                context.fault(&file.issuer.at, message);
            }
        }
        if file.audiences.value.as_ref().is_some_and(Vec::is_empty) {
            let message = "an empty list would accept tokens meant for anybody: write an audience";
            context.fault(&file.audiences.at, message);
        }
        match (file.issuer.value, file.jwks_url.value, file.audiences.value) {
            (Some(issuer), Some(jwks_url), Some(audiences)) => issuers.push(Issuer {
                issuer: issuer.0,
                jwks_url: jwks_url.0,
                audiences: audiences.into_iter().map(|audience| audience.0).collect(),
            }),
            _ => good = false,
        }
    }
    good.then_some(issuers)
}
