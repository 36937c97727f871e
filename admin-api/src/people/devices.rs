//! Devices on which somebody signed in before.
//!
//! A device holds a cookie that says so, signed. It signs nobody in: all it gives is a count of its
//! own for attempts on that one account (the device cookies of OWASP).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::secret::Secret;
use kernel::time::Timestamp;
use ring::hmac;
use uuid::Uuid;

/// How long a device is known after its last sign-in.
pub(crate) const DEVICE_LIFE: Duration = Duration::from_secs(180 * 24 * 60 * 60);

/// The longest proof that is looked at, in bytes.
pub(crate) const PROOF_BYTES_MAX: usize = 256;

/// What the tags are for, so that none is ever good for anything else.
const PURPOSE: &str = "doorward device 1";

/// Knows devices by what they were given.
pub(crate) struct Devices {
    key: hmac::Key,
}

impl Devices {
    /// Signs with `secret`.
    pub(crate) fn new(secret: &Secret) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes()) }
    }

    /// What a device is given on which `user_id` signed in `now`; `known`, where it was known.
    pub(crate) fn proof(&self, user_id: &str, known: Option<&str>, now: Timestamp) -> Secret {
        let id = known.map_or_else(|| Uuid::new_v4().simple().to_string(), str::to_owned);
        let until_s = now.plus(DEVICE_LIFE).as_secs();
        let tag = hmac::sign(&self.key, signed(user_id, &id, until_s).as_bytes());
        Secret::new(format!("{id}.{until_s}.{}", URL_SAFE_NO_PAD.encode(tag)))
    }

    /// The device that `proof` is of, if `user_id` signed in on it and it is not too long ago.
    pub(crate) fn known<'p>(
        &self,
        proof: &'p str,
        user_id: &str,
        now: Timestamp,
    ) -> Option<&'p str> {
        if proof.len() > PROOF_BYTES_MAX {
            return None;
        }
        let mut parts = proof.split('.');
        let (id, until, tag) = (parts.next()?, parts.next()?, parts.next()?);
        let until_s: u64 = until.parse().ok()?;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        let is_whole = parts.next().is_none();
        let is_in_force = now < Timestamp::from_secs(until_s);
        let is_ours =
            hmac::verify(&self.key, signed(user_id, id, until_s).as_bytes(), &tag).is_ok();
        (is_whole && is_in_force && is_ours).then_some(id)
    }
}

/// No part can be taken for a piece of another: ids of devices and times have no line ends.
fn signed(user_id: &str, device: &str, until_s: u64) -> String {
    format!("{PURPOSE}\n{device}\n{until_s}\n{user_id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn devices() -> Devices {
        Devices::new(&Secret::new("k".repeat(32)))
    }

    #[test]
    fn a_device_is_known_to_the_one_who_signed_in_on_it_and_to_nobody_else() {
        let devices = devices();
        let proof = devices.proof("ann", None, NOW);
        assert!(devices.known(proof.expose(), "ann", NOW).is_some());
        assert_eq!(devices.known(proof.expose(), "bob", NOW), None);
        let others = Devices::new(&Secret::new("o".repeat(32)));
        assert_eq!(others.known(proof.expose(), "ann", NOW), None);
    }

    #[test]
    fn a_device_keeps_its_name_and_is_forgotten_half_a_year_after_the_last_sign_in() {
        let devices = devices();
        let proof = devices.proof("ann", None, NOW);
        let id = devices.known(proof.expose(), "ann", NOW).unwrap();
        let later = NOW.plus(DEVICE_LIFE);
        let before = later.minus(Duration::from_secs(1));
        assert_eq!(devices.known(proof.expose(), "ann", before), Some(id));
        assert_eq!(devices.known(proof.expose(), "ann", later), None);
        let again = devices.proof("ann", Some(id), before);
        assert_eq!(devices.known(again.expose(), "ann", later), Some(id));
    }

    #[test]
    fn no_changed_byte_of_a_proof_goes_unnoticed() {
        let devices = devices();
        let proof = devices.proof("ann", None, NOW);
        let proof = proof.expose();
        for at in 0..proof.len() {
            for other in ["", "0", "1", "A", ".", "\n"] {
                let changed = format!("{}{other}{}", &proof[..at], &proof[at + 1..]);
                // The tag's last character has bits that stand for nothing, but must be zero.
                if changed != proof {
                    assert_eq!(devices.known(&changed, "ann", NOW), None, "{changed}");
                }
            }
        }
        for junk in ["", ".", "..", "...", "a.b.c", &"a".repeat(PROOF_BYTES_MAX + 1)] {
            assert_eq!(devices.known(junk, "ann", NOW), None, "{junk}");
        }
    }
}
