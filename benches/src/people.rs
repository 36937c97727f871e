//! The people of a measurement, who all have the same password, and how they sign in.

use anyhow::Context;
use anyhow::ensure;
use argon2::Algorithm;
use argon2::Argon2;
use argon2::Params;
use argon2::Version;
use argon2::password_hash;
use argon2::password_hash::PasswordHasher;
use argon2::password_hash::phc::PasswordHash;
use serde::Deserialize;

use crate::client::Connection;

/// Not secret: it opens nothing, and is gone with the measurement.
pub const PASSWORD: &str = "measured-lanterns-on-the-quay";

/// Of one length, as all hashes have another salt: nobody's sign-in is a longer way.
pub fn name(number: u32) -> String {
    format!("caller-{number:06}")
}

/// Hashes [`PASSWORD`] as Doorward does: argon2id, 19 MiB, two passes, one lane. Otherwise it would
/// hash anew at the first sign-in, and a sign-in would cost twice as much.
///
/// # Errors
/// Where argon2 has one.
pub fn hash(salt: &[u8]) -> password_hash::Result<PasswordHash> {
    let params = Params::new(19 * 1024, 2, 1, None)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_with_salt(PASSWORD.as_bytes(), salt)
}

/// The tokens of an answer.
#[derive(Debug, Deserialize)]
pub struct Tokens {
    /// For requests.
    pub access_token: String,
    /// For the next tokens.
    pub refresh_token: String,
}

/// The form by which a person signs in.
pub fn sign_in_fields(number: u32) -> String {
    format!("grant_type=password&username={}&password={PASSWORD}", name(number))
}

/// The form that exchanges a refresh token.
pub fn refresh_fields(token: &str) -> String {
    format!("grant_type=refresh_token&refresh_token={token}")
}

/// The request by which a person signs in.
pub fn sign_in(number: u32) -> Vec<u8> {
    form("/auth/login", &sign_in_fields(number))
}

/// The request that exchanges a refresh token.
pub fn refresh(token: &str) -> Vec<u8> {
    form("/auth/refresh", &refresh_fields(token))
}

/// Asks for tokens.
///
/// # Errors
/// Any answer without them, and the connection's.
pub async fn tokens(connection: &mut Connection, request: &[u8]) -> anyhow::Result<Tokens> {
    let answer = connection.ask(request).await?;
    let body = connection.body();
    ensure!(answer.status == 200, "{}: {}", answer.status, String::from_utf8_lossy(body));
    ensure!(!answer.closes, "the connection is not kept");
    serde_json::from_slice(body).context("an answer without tokens")
}

fn form(path: &str, fields: &str) -> Vec<u8> {
    let length = fields.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: orders.example\r\nUser-Agent: load\r\nAccept: */*\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{fields}"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_one_of_doorwards_own_kind() {
        let hash = hash(b"0123456789abcdef").unwrap().to_string();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    }

    #[test]
    fn a_form_says_how_long_it_is() {
        let request = String::from_utf8(refresh("abc")).unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "grant_type=refresh_token&refresh_token=abc");
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    }
}
