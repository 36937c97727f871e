//! `doorward key`.

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use admin_api::KeyState;
use admin_api::ListedKey;
use anyhow::Context;
use kernel::secret::Secret;
use kernel::time::Timestamp;
use serde_json::json;

use super::Office;
use crate::arguments::Format;
use crate::arguments::Key;
use crate::arguments::Place;

/// Does what was asked about keys.
///
/// # Errors
/// One clear text.
pub(crate) fn key(place: &Place, key: Key) -> anyhow::Result<ExitCode> {
    let office = Office::open(place)?;
    let keys = office.api.signing_keys();
    match key {
        Key::Generate { alg } => {
            println!("{}", office.runtime.block_on(keys.generate(alg))?);
        }
        Key::Import { alg, file } => {
            let pem = fs::read_to_string(&file)
                .with_context(|| format!("`{}` cannot be read", file.display()))?;
            println!("{}", office.runtime.block_on(keys.import(alg, &Secret::new(pem)))?);
        }
        Key::Rotate { published_for } => {
            let turned = office.runtime.block_on(keys.rotate(published_for))?;
            println!("{} signs {}", turned.kid, from_now(turned.signs_from));
            if let Some((kid, until)) = turned.predecessor {
                println!("{kid} verifies until then and on, and is retired {}", from_now(until));
            }
            if !turned.is_to_sign {
                eprintln!(
                    "note: keys of the database sign where the configuration says \
                     `auth.stored_key_alg`; it does not"
                );
            }
        }
        Key::Revoke { kid } => {
            let successor = office.runtime.block_on(keys.revoke(&kid))?;
            println!("{kid} is distrusted: every token that it signed is refused");
            if let Some(successor) = successor {
                println!("{successor} signs in its place");
            }
        }
        Key::List { format } => list(&office.runtime.block_on(keys.list())?, format)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(keys: &[ListedKey], format: Format) -> anyhow::Result<()> {
    match format {
        Format::Json => {
            let keys: Vec<_> = keys.iter().map(as_json).collect();
            println!("{}", serde_json::to_string_pretty(&keys)?);
        }
        Format::Text => {
            println!("{:<38} {:<6} {:<11} {:<6} KEPT IN", "KID", "ALG", "STATE", "SIGNS");
            for key in keys {
                let note = match (key.state, key.signs_from, key.verifies_until) {
                    (KeyState::Pending, Some(from), _) => format!(", signs {}", from_now(from)),
                    (KeyState::Retiring | KeyState::Active, _, Some(until)) => {
                        format!(", retired {}", from_now(until))
                    }
                    _ => String::new(),
                };
                println!(
                    "{:<38} {:<6} {:<11} {:<6} {}{note}",
                    key.kid,
                    key.algorithm,
                    key.state.to_string(),
                    if key.signs { "yes" } else { "no" },
                    kept_in(key),
                );
            }
        }
    }
    Ok(())
}

fn as_json(key: &ListedKey) -> serde_json::Value {
    json!({
        "kid": key.kid,
        "alg": key.algorithm.as_str(),
        "state": key.state.to_string(),
        "signs": key.signs,
        "kept_in": kept_in(key),
        "signs_from": key.signs_from.map(Timestamp::as_secs),
        "verifies_until": key.verifies_until.map(Timestamp::as_secs),
    })
}

fn kept_in(key: &ListedKey) -> &'static str {
    if key.is_configured { "configuration" } else { "database" }
}

/// A moment as an operator reads it best: how far off it is.
fn from_now(moment: Timestamp) -> String {
    let left = moment.since(kernel::time::now());
    if left == Duration::ZERO {
        return "now".to_owned();
    }
    // Rounded up: what is said to be in a second has not happened in half of one.
    format!("in {}s", left.as_millis().div_ceil(1000))
}
