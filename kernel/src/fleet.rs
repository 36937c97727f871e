//! What a gateway and an admin API that run apart say to each other, and where.
//!
//! Everything lies below [`BETWEEN_HALVES`](crate::front::BETWEEN_HALVES) and is asked for with GET by whoever shows the fleet's
//! token. The answers are JSON: a [`Position`], [rows](write_rows), and [public keys](PublicKeys).

use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use crate::jwks::JwkSet;
use crate::jwks::JwksError;
use crate::keys::Stored;
use crate::keys::jwk_set;
use crate::revocation::Row;
use crate::token::jws::object;

/// Where the log of revocations is; with `after=<log id>:<number>` it is answered once the log is
/// elsewhere, or after `wait_ms`, at most [`WAIT_MAX`].
pub const POSITION_PATH: &str = "/.doorward/revocations/position";

/// The rows after the number `after` that can still refuse something at `now_ms`.
pub const ROWS_PATH: &str = "/.doorward/revocations";

/// The public keys that lie in the database; with `If-None-Match` they are answered once there are
/// others, or 304 after `wait_ms`, at most [`WAIT_MAX`].
pub const KEYS_PATH: &str = "/.doorward/keys";

/// How long an answer waits for something new.
pub const WAIT_MAX: Duration = Duration::from_secs(10);

/// The most bytes of rows in one answer: what an answer may have, less room for a row.
pub const ROWS_BYTES_MAX: usize = 192 * 1024;

/// As many of `rows` as fit into [`ROWS_BYTES_MAX`], at least one where there is one, as an answer
/// carries them.
pub fn write_rows(rows: &[Row]) -> String {
    let mut body = String::from(r#"{"rows":["#);
    for (at, row) in rows.iter().enumerate() {
        let row = serde_json::to_string(row).expect("a row holds only texts and numbers");
        if at > 0 {
            if body.len() + row.len() + 3 > ROWS_BYTES_MAX {
                break;
            }
            body.push(',');
        }
        body.push_str(&row);
    }
    body.push_str("]}");
    body
}

/// Reads what [`write_rows`] wrote.
///
/// # Errors
/// serde's.
pub fn read_rows(body: &[u8]) -> serde_json::Result<Vec<Row>> {
    #[derive(Deserialize)]
    struct Rows {
        rows: Vec<Row>,
    }
    serde_json::from_slice(body).map(|Rows { rows }| rows)
}

/// The public keys that lie in the database, and the ids of all keys that are believed no more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PublicKeys {
    keys: Vec<Value>,
    distrusted: Vec<String>,
}

impl PublicKeys {
    /// The public halves of what is `stored`; `state` says how far the key of that id has come.
    pub fn of(stored: &Stored, state: impl Fn(&str) -> String) -> Self {
        let mut keys = match jwk_set(&stored.verifying)["keys"].take() {
            Value::Array(keys) => keys,
            _ => Vec::new(),
        };
        for key in &mut keys {
            key["state"] = key["kid"].as_str().map(&state).into();
        }
        Self { keys, distrusted: stored.distrusted.clone() }
    }

    /// Reads the keys off an answer; none of them signs here. Gives as well how many there are of a
    /// kind that is not known here.
    ///
    /// # Errors
    /// [`JwksError`].
    pub fn read(body: &[u8]) -> Result<(Stored, usize), JwksError> {
        #[derive(Deserialize)]
        struct Others {
            distrusted: Vec<String>,
        }
        let set = JwkSet::parse(body)?;
        let Others { distrusted } = object(body).ok_or(JwksError::Shape)?;
        let stored = Stored { signing: None, verifying: set.keys().to_vec(), distrusted };
        Ok((stored, set.left_out()))
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;
    use crate::front::is_between_halves;
    use crate::keys::Algorithm;
    use crate::keys::SigningKey;
    use crate::keys::new_private_key;
    use crate::revocation::Entry;
    use crate::specimen::NOW;

    #[test]
    fn all_paths_lie_where_nothing_is_ever_forwarded() {
        for path in [POSITION_PATH, ROWS_PATH, KEYS_PATH] {
            assert!(is_between_halves(path), "{path}");
        }
    }

    fn row(seq: u64, kid_bytes: usize) -> Row {
        Row { seq, at: NOW, entry: Entry::Key { kid: "k".repeat(kid_bytes) } }
    }

    #[test]
    fn rows_fill_192_kib_and_not_a_byte_more_but_one_is_always_given() {
        let envelope = write_rows(&[]).len();
        let first = write_rows(&[row(1, 1)]).len() - envelope;
        let second = |bytes| [row(1, 1), row(2, bytes)];
        // The comma counts too.
        let room = ROWS_BYTES_MAX - envelope - first - 1;
        let largest = room - (first - 1);
        let fits = write_rows(&second(largest));
        assert_eq!(fits.len(), ROWS_BYTES_MAX);
        assert_eq!(read_rows(fits.as_bytes()).unwrap(), second(largest));
        let cut = write_rows(&second(largest + 1));
        assert_eq!(read_rows(cut.as_bytes()).unwrap(), [row(1, 1)]);
        let alone = write_rows(&[row(7, ROWS_BYTES_MAX)]);
        assert_eq!(read_rows(alone.as_bytes()).unwrap(), [row(7, ROWS_BYTES_MAX)]);
        assert_eq!(read_rows(write_rows(&[]).as_bytes()).unwrap(), []);
    }

    #[test]
    fn public_keys_read_back_with_what_is_distrusted_and_without_what_signs() {
        let key = |kid: &str, algorithm| {
            SigningKey::from_pem(kid, algorithm, &new_private_key(algorithm).unwrap()).unwrap()
        };
        let (one, other) = (key("k1", Algorithm::ES256), key("k2", Algorithm::EdDSA));
        let stored = Stored {
            verifying: vec![one.verifying().clone(), other.verifying().clone()],
            signing: Some(one),
            distrusted: vec!["k0".to_owned()],
        };
        let told = PublicKeys::of(&stored, |kid| format!("state of {kid}"));
        let json = serde_json::to_value(&told).unwrap();
        assert_eq!(json["keys"][1]["state"], "state of k2");
        assert_eq!(json["keys"][0]["d"], Value::Null);
        let (read, left_out) = PublicKeys::read(json.to_string().as_bytes()).unwrap();
        assert_eq!(left_out, 0);
        assert!(read.signing.is_none());
        assert_eq!(read.distrusted, ["k0"]);
        let kids: Vec<_> = read.verifying.iter().map(|key| key.kid().to_string()).collect();
        assert_eq!(kids, ["k1", "k2"]);
        let token = stored.signing.unwrap().sign(&json).unwrap();
        let (message, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert!(read.verifying[0].verifies(message.as_bytes(), &signature));
    }

    #[test]
    fn what_is_no_set_of_keys_is_a_fault_and_keys_of_unknown_kinds_are_counted() {
        let unknown = br#"{"keys":[{"kty":"EC","crv":"P-521","kid":"k1"}],"distrusted":["k0"]}"#;
        let (read, left_out) = PublicKeys::read(unknown).unwrap();
        assert_eq!(
            (read.verifying.len(), read.distrusted, left_out),
            (0, vec!["k0".to_owned()], 1)
        );
        for body in [&b""[..], b"[]", br#"{"keys":[]}"#, br#"{"distrusted":[]}"#] {
            assert!(PublicKeys::read(body).is_err());
        }
        assert!(PublicKeys::read(br#"{"keys":[],"distrusted":[]}"#).is_ok());
    }
}
