//! References to secrets: an environment variable, a file, or (for developers) the text itself.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use kernel::keys::HMAC_SECRET_BYTES_MIN;
use kernel::secret::Secret;
use serde_json::Value;
use serde_json::json;
use toml::de::DeValue;

use super::Text;
use crate::Variables;
use crate::read::Field;
use crate::read::Node;
use crate::read::Read;
use crate::report::At;
use crate::report::Report;
use crate::section::Absent::Fine;
use crate::section::section;
use crate::types::Environment;

/// The largest secret, in bytes.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

section! {
    /// Where a secret is kept.
    Reference {
        /// The environment variable that holds it.
        env: Text = Fine,
        /// The file that holds it; a final newline does not count.
        file: Text = Fine,
    }
}

/// Where a secret is; nothing in it is ever expanded, `${…}` included.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SecretRef {
    /// In this environment variable.
    Variable(String),
    /// In this file.
    File(PathBuf),
    /// Here.
    Literal(Secret),
}

impl Read for SecretRef {
    const SECRET: bool = true;

    fn read(node: Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        match node.value {
            DeValue::String(text) => Some(Self::Literal(Secret::new(text.as_ref()))),
            DeValue::Table(_) => {
                let at = node.at.clone();
                let reference = Reference::read(node, report)?;
                match (reference.env.value, reference.file.value) {
                    (Some(Text(name)), None) => Some(Self::Variable(name)),
                    (None, Some(Text(path))) => Some(Self::File(path.into())),
                    _ => {
                        report.fault(&at, format!("expected {FORMS}"));
                        None
                    }
                }
            }
            _ => {
                node.is_not(FORMS, report);
                None
            }
        }
    }

    fn schema() -> Value {
        json!({ "anyOf": [{ "type": "string" }, Reference::schema()] })
    }
}

/// How a secret is referred to.
const FORMS: &str = "`{ env = \"NAME\" }` or `{ file = \"/path\" }`";

impl Field<SecretRef> {
    /// Puts the text of the environment variable `name` in place of what the file says.
    pub(crate) fn replace_with_variable(&mut self, name: &'static str, at: &str) {
        self.replace(Some(SecretRef::Variable(name.to_owned())), At::variable(name, at));
    }

    /// The secret itself; `None` where none is given, or after noting why it cannot be had.
    pub(crate) fn resolve(
        &self,
        environment: Environment,
        variables: Variables<'_>,
        report: &mut Report<'_>,
    ) -> Option<Secret> {
        if let Some(SecretRef::Literal(_)) = &self.value
            && environment != Environment::Dev
        {
            let message = format!("a secret does not belong in the file; refer to it with {FORMS}");
            report.fault(&self.at, message);
            return None;
        }
        self.resolve_written(variables, report)
    }

    /// As [`resolve`](Self::resolve), but a text in the file is fine everywhere.
    pub(crate) fn resolve_written(
        &self,
        variables: Variables<'_>,
        report: &mut Report<'_>,
    ) -> Option<Secret> {
        let secret = match self.value.as_ref()? {
            SecretRef::Literal(secret) => Ok(secret.clone()),
            SecretRef::Variable(name) => variable(name, variables),
            SecretRef::File(path) => file(path),
        };
        match secret {
            Ok(secret) if secret.expose().is_empty() => {
                report.fault(&self.at, "the secret is empty");
                None
            }
            Ok(secret) => Some(secret),
            Err(error) => {
                report.fault(&self.at, error);
                None
            }
        }
    }
}

fn variable(name: &str, variables: Variables<'_>) -> Result<Secret, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if name.starts_with(|c: char| c.is_ascii_digit()) || !name.bytes().all(plain) {
        // Not repeated: somebody may have put the secret itself here.
        return Err("`env` takes the name of an environment variable: A-Z, 0-9 and `_`".to_owned());
    }
    let value = variables(name).filter(|value| !value.is_empty());
    value.map(Secret::new).ok_or_else(|| format!("the environment variable `{name}` is not set"))
}

fn file(path: &PathBuf) -> Result<Secret, String> {
    let bad = |why: &dyn std::fmt::Display| Err(format!("the file `{}` {why}", path.display()));
    let open = File::open(path).and_then(|file| {
        let mut text = String::new();
        file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text).map(|_| text)
    });
    let text = match open {
        Ok(text) => text,
        Err(error) => return bad(&format!("cannot be read: {error}")),
    };
    if text.len() as u64 > SECRET_BYTES_MAX {
        return bad(&"is larger than 64 KiB");
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Secret::new(line.strip_suffix('\r').unwrap_or(line)))
}

/// What speaks against `secret` as a signing secret: too short, or one that everybody knows.
pub(crate) fn secret_problem(secret: &Secret) -> Option<String> {
    written_problem(secret).or_else(|| too_short(secret, "a key that signs"))
}

/// What speaks against `secret` as one that keys are sealed under: the same.
pub(crate) fn sealing_problem(secret: &Secret) -> Option<String> {
    written_problem(secret).or_else(|| too_short(secret, "one that others are sealed under"))
}

/// What speaks against `secret` as one that servers know each other by: the same.
pub(crate) fn token_problem(secret: &Secret) -> Option<String> {
    written_problem(secret).or_else(|| too_short(secret, "one that servers know each other by"))
}

fn too_short(secret: &Secret, what: &str) -> Option<String> {
    let bytes = secret.expose().len();
    (bytes < HMAC_SECRET_BYTES_MIN).then(|| {
        format!("the secret has {bytes} bytes; {what} has at least {HMAC_SECRET_BYTES_MIN}")
    })
}

/// Whether `secret` is one that everybody knows, because it stands in an example.
pub(crate) fn written_problem(secret: &Secret) -> Option<String> {
    /// Parts of the placeholders that examples and tutorials use.
    const PLACEHOLDERS: [&str; 14] = [
        "changeme",
        "changethis",
        "changeinproduction",
        "changeit",
        "replaceme",
        "replacethis",
        "yoursecret",
        "yoursuper",
        "yourjwt",
        "yourkey",
        "your256bit",
        "secretkeyhere",
        "stringsecretatleast",
        "devonly",
    ];
    /// Words that are no secret however often they are repeated.
    const WORDS: [&str; 10] = [
        "secret",
        "supersecret",
        "password",
        "test",
        "testing",
        "dev",
        "development",
        "jwtsecret",
        "secretkey",
        "example",
    ];
    let letters = |c: &char| c.is_ascii_alphanumeric();
    let plain = secret.expose().to_ascii_lowercase().chars().filter(letters).collect::<String>();
    let repeats = |word: &str| !plain.is_empty() && plain.replace(word, "").is_empty();
    let mut bytes = secret.expose().bytes();
    let first = bytes.next();
    let one_byte = bytes.all(|byte| Some(byte) == first);
    let known = PLACEHOLDERS.iter().any(|part| plain.contains(part))
        || WORDS.iter().any(|word| repeats(word))
        || one_byte;
    known.then(|| "the secret is an example's; make one with `openssl rand -base64 48`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> Option<String> {
        secret_problem(&Secret::new(text))
    }

    #[test]
    fn a_signing_secret_has_32_bytes() {
        let secret = "kX9-w2Lq7Zr0Tn5VbM3cYh8sJd1FgPa4";
        assert_eq!(secret.len(), HMAC_SECRET_BYTES_MIN);
        assert_eq!(problem(secret), None);
        assert_eq!(
            problem(&secret[1..]).as_deref(),
            Some("the secret has 31 bytes; a key that signs has at least 32")
        );
    }

    #[test]
    fn an_examples_secret_is_refused_however_long() {
        for text in [
            "changeme",
            "CHANGE_ME_change_me_change_me_change_me",
            "your-secret-key-here-of-more-than-32-bytes",
            "your-256-bit-secret",
            "your-super-secret-jwt-key-change-this-in-production",
            "a-string-secret-at-least-256-bits-long",
            "secretsecretsecretsecretsecretsecret",
            "secret",
            "password",
            "00000000000000000000000000000000000",
            "dev-secret-key-change-in-production-0123456789",
        ] {
            let problem = problem(text).unwrap_or_default();
            assert!(problem.contains("an example's"), "{text}: {problem}");
        }
    }
}
