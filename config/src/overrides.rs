//! The environment variables of the replaced system, which stand above the file.
//!
//! They change the file as read, before anything is built of it, so each value passes the same
//! checks. `DATABASE_URL`, `POSTGRES_*` and `REDIS_*` are in [`build::servers`](crate::build).

use kernel::keys::Algorithm;
use kernel::limit::Allowance;
use kernel::limit::QUOTAS_MAX;
use kernel::limit::Quota;
use toml::de::DeValue;

use crate::Variables;
use crate::file::File;
use crate::file::KeyFile;
use crate::file::ProviderFile;
use crate::file::TierFile;
use crate::read::Field;
use crate::read::Named;
use crate::read::Node;
use crate::read::Read;
use crate::read::Spot;
use crate::report::At;
use crate::report::Report;
use crate::report::shown;
use crate::values::Kid;
use crate::values::Limit;
use crate::values::SecretRef;

/// The key id of a signing secret that only the environment knows.
const KID: &str = "env";

/// Puts what the environment says in place of what the file says.
pub(crate) fn apply(file: &mut File, variables: Variables<'_>, report: &mut Report<'_>) {
    let mut overrides = Overrides { variables, report };
    overrides.environment(file);
    overrides.test_mode(file);
    overrides.tokens(file);
    overrides.signing_key(file);
    overrides.providers(file);
    overrides.tiers(file);
}

struct Overrides<'a, 'r, 't> {
    variables: Variables<'a>,
    report: &'r mut Report<'t>,
}

impl Overrides<'_, '_, '_> {
    fn variable(&self, name: &str) -> Option<String> {
        (self.variables)(name).filter(|value| !value.is_empty())
    }

    /// Puts the variable's text, as a TOML string, in place of a key's value.
    fn text<T: Read>(&mut self, name: &'static str, path: &str, field: &mut Field<T>) {
        if let Some(text) = self.variable(name) {
            self.put(name, path, &text, field);
        }
    }

    fn put<T: Read>(&mut self, name: &'static str, path: &str, text: &str, field: &mut Field<T>) {
        let at = At::variable(name, path);
        let value = DeValue::String(text.into());
        let read = T::read(Node { value: &value, at: at.clone() }, self.report);
        field.replace(read, at);
    }

    fn environment(&mut self, file: &mut File) {
        let Some(text) = self.variable("ENV") else { return };
        let word = match text.as_str() {
            "development" => "dev",
            "production" => "prod",
            other => other,
        };
        self.put("ENV", "environment", word, &mut file.environment);
    }

    fn test_mode(&mut self, file: &mut File) {
        let Some(text) = self.variable("TEST_MODE") else { return };
        let at = At::variable("TEST_MODE", "test_mode");
        let value = match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => {
                self.report.fault(&at, format!("`{}` is not `true` or `false`", shown(&text)));
                None
            }
        };
        file.test_mode.replace(value, at);
    }

    fn tokens(&mut self, file: &mut File) {
        let Some(auth) = &mut file.auth.value else { return };
        self.text("FRONTEND_URL", "auth.frontend_url", &mut auth.frontend_url);
        self.count("JWT_ACCESS_TOKEN_EXPIRE_MINUTES", "auth.access_ttl", "m", &mut auth.access_ttl);
        self.count("JWT_REFRESH_TOKEN_EXPIRE_DAYS", "auth.refresh_ttl", "d", &mut auth.refresh_ttl);
    }

    /// Puts a length of time, of which the variable gives the number, in place of a key's value.
    fn count<T: Read>(&mut self, name: &'static str, path: &str, unit: &str, field: &mut Field<T>) {
        let Some(text) = self.variable(name) else { return };
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return self.put(name, path, &format!("{text}{unit}"), field);
        }
        let at = At::variable(name, path);
        self.report.fault(&at, format!("`{}` is not a whole number", shown(&text)));
        field.replace(None, at);
    }

    /// `JWT_SECRET_KEY` is the secret of the first HS256 key; without one it makes a key, which
    /// signs only if there is no other.
    fn signing_key(&mut self, file: &mut File) {
        let Some(auth) = &mut file.auth.value else { return };
        let keys = auth.keys.value.get_or_insert_default();
        if self.variable("JWT_SECRET_KEY").is_some() {
            let hs256 = |key: &&mut KeyFile| key.alg.value == Some(Algorithm::HS256);
            match keys.iter_mut().find(hs256) {
                Some(key) => {
                    let path = key.secret.at.path.clone();
                    key.secret.replace_with_variable("JWT_SECRET_KEY", &path);
                }
                None => {
                    let path = format!("auth.keys[{}]", keys.len());
                    keys.push(key_of_environment(&path));
                }
            }
        }
        let Some(text) = self.variable("JWT_ALGORITHM") else { return };
        let at = At::variable("JWT_ALGORITHM", "auth.keys[0].alg");
        let value = DeValue::String(text.as_str().into());
        let Some(alg) = Algorithm::read(Node { value: &value, at: at.clone() }, self.report) else {
            return;
        };
        // Without a key one is generated, and that is an HS256 key.
        let first = keys.first().map_or(Some(Algorithm::HS256), |key| key.alg.value);
        if first.is_some_and(|first| first != alg) {
            let message = format!(
                "`{text}` is not the algorithm of the first key; keys are set under `[[auth.keys]]`"
            );
            self.report.fault(&at, message);
        }
    }

    fn providers(&mut self, file: &mut File) {
        let oauth = file.auth.value.as_mut().and_then(|auth| auth.oauth.value.as_mut());
        let Some(oauth) = oauth else { return };
        let names = ["GOOGLE_CLIENT_ID", "GOOGLE_CLIENT_SECRET", "GOOGLE_REDIRECT_URI"];
        self.provider(names, "auth.oauth.google", &mut oauth.google);
        let names = ["GITHUB_CLIENT_ID", "GITHUB_CLIENT_SECRET", "GITHUB_REDIRECT_URI"];
        self.provider(names, "auth.oauth.github", &mut oauth.github);
    }

    fn provider(
        &mut self,
        [id, secret, redirect]: [&'static str; 3],
        path: &str,
        field: &mut Field<ProviderFile>,
    ) {
        let (has_id, has_secret) = (self.variable(id).is_some(), self.variable(secret).is_some());
        if field.value.is_none() {
            match (has_id, has_secret) {
                // A redirect alone configures nothing, as in the replaced system.
                (false, false) => return,
                (true, true) => {
                    let empty = DeValue::Table(toml::de::DeTable::new());
                    let at = At::variable(id, path);
                    let node = Node { value: &empty, at: at.clone() };
                    // Its two missing keys are put in below.
                    field.replace(ProviderFile::read(node, &mut Report::new("")), at);
                }
                (true, false) => return self.lacks(id, path, secret),
                (false, true) => return self.lacks(secret, path, id),
            }
        }
        let Some(provider) = &mut field.value else { return };
        self.text(id, &format!("{path}.client_id"), &mut provider.client_id);
        if has_secret {
            provider.client_secret.replace_with_variable(secret, &format!("{path}.client_secret"));
        }
        self.text(redirect, &format!("{path}.redirect_uri"), &mut provider.redirect_uri);
    }

    fn lacks(&mut self, name: &'static str, path: &str, other: &str) {
        self.report.fault(&At::variable(name, path), format!("it is set, but `{other}` is not"));
    }

    fn tiers(&mut self, file: &mut File) {
        let Some(tiers) = &mut file.tiers.value else { return };
        self.tier("RATE_LIMIT_FREE_TIER", "free", tiers);
        self.tier("RATE_LIMIT_PREMIUM_TIER", "premium", tiers);
        self.tier("RATE_LIMIT_ADMIN_TIER", "admin", tiers);
    }

    /// Puts so many requests a minute in place of a tier's quota for a minute.
    ///
    /// 0 is unlimited for `admin`, whose word it was in the replaced system, and a fault elsewhere.
    fn tier(&mut self, name: &'static str, tier: &str, tiers: &mut Named<TierFile>) {
        let Some(text) = self.variable(name) else { return };
        let at = At::variable(name, &format!("tiers.{tier}.limits"));
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        let requests = text.parse::<u32>().ok().filter(|_| digits);
        let limit = match requests {
            Some(0) if tier == "admin" => Some(Limit(Allowance::Unlimited)),
            Some(requests) => Limit::per_minute(requests),
            None => None,
        };
        let Some(limit) = limit else {
            let text = shown(&text);
            let message = format!("`{text}` is not a whole number from 1 to 4294967295");
            self.report.fault(&at, message);
            return;
        };
        let old = tiers.0.get(tier).and_then(|spot| spot.value.limits.value.clone());
        let Some(limit) = with_other_windows(limit, old) else {
            self.report.fault(&at, format!("with it the tier has more than {QUOTAS_MAX} quotas"));
            return;
        };
        let limits = Field { value: Some(limit), at: at.clone(), given: true };
        let value = TierFile { at: at.clone(), limits };
        tiers.0.insert(tier.to_owned(), Spot { value, at });
    }
}

/// `limit` together with the quotas of `old` that are not for a minute; `None` if they are too many.
fn with_other_windows(limit: Limit, old: Option<Limit>) -> Option<Limit> {
    let (Allowance::Limited(new), Some(Limit(Allowance::Limited(old)))) = (&limit.0, old) else {
        return Some(limit);
    };
    let other =
        |quota: &&Quota| new.iter().all(|n| n.per() != quota.per() && n.name() != quota.name());
    let all = new.iter().chain(old.iter().filter(other)).cloned().collect::<Vec<_>>();
    (all.len() <= QUOTAS_MAX).then(|| Limit(Allowance::Limited(all.into())))
}

fn key_of_environment(path: &str) -> KeyFile {
    let at = At::variable("JWT_SECRET_KEY", path);
    let secret_at = At::variable("JWT_SECRET_KEY", &format!("{path}.secret"));
    let absent = Field::<SecretRef> { value: None, at: at.clone(), given: false };
    let secret = SecretRef::Variable("JWT_SECRET_KEY".to_owned());
    KeyFile {
        kid: Field { value: Kid::parse(KID).ok(), at: at.clone(), given: true },
        alg: Field { value: Some(Algorithm::HS256), at: at.clone(), given: true },
        secret: Field { value: Some(secret), at: secret_at, given: true },
        private_key: absent.clone(),
        public_key: absent,
        at,
    }
}
