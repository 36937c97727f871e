//! Which key follows which: acts on the table, each within a transaction.

use std::time::Duration;

use kernel::keys::KEYS_MAX;
use kernel::revocation::DISTRUSTED_KEYS_MAX;
use kernel::revocation::Entry;
use kernel::time::Timestamp;

use super::KEPT_FOR;
use super::SEEN_EVERYWHERE;
use super::fault::SigningKeyError;
use super::states::KeyState;
use super::states::Rotation;
use crate::store::revocations;
use crate::store::signing_keys;
use crate::store::signing_keys::KeptKey;
use crate::store::sql::Room;
use crate::store::sql::Tx;

pub(super) fn there_is_room(kept: &[KeptKey], now: Timestamp) -> Result<(), SigningKeyError> {
    let live = kept.iter().filter(|key| key.state(now) != KeyState::Retired).count();
    if live < KEYS_MAX { Ok(()) } else { Err(SigningKeyError::Many) }
}

/// The oldest key that waits for its turn; else `fresh`, which is kept then.
fn next_in_line(
    tx: &Tx<'_>,
    kept: &[KeptKey],
    fresh: KeptKey,
    now: Timestamp,
) -> Result<KeptKey, SigningKeyError> {
    let waits = |key: &&KeptKey| key.active_from.is_none() && key.state(now) == KeyState::Pending;
    if let Some(key) = kept.iter().find(waits) {
        return Ok(key.clone());
    }
    there_is_room(kept, now)?;
    signing_keys::insert(tx, &fresh)?;
    Ok(fresh)
}

/// Has a key sign where none does and none is about to.
pub(super) fn first(tx: &Tx<'_>, fresh: KeptKey, now: Timestamp) -> Result<(), SigningKeyError> {
    tx.alone_in(Room::Firsts)?;
    let kept = signing_keys::all(tx)?;
    let is_provided_for = kept.iter().any(|key| {
        key.active_from.is_some() && matches!(key.state(now), KeyState::Pending | KeyState::Active)
    });
    if is_provided_for {
        return Ok(());
    }
    let mut key = next_in_line(tx, &kept, fresh, now)?;
    key.active_from = Some(now);
    Ok(signing_keys::update(tx, &key)?)
}

pub(super) fn turn(
    tx: &Tx<'_>,
    fresh: KeptKey,
    published_for: Duration,
    outlives: Duration,
    now: Timestamp,
) -> Result<Rotation, SigningKeyError> {
    tx.alone_in(Room::Firsts)?;
    signing_keys::forget(tx, now.minus(KEPT_FOR))?;
    let kept = signing_keys::all(tx)?;
    let under_way = |key: &&KeptKey| key.active_from.is_some_and(|from| from > now);
    if let Some(next) = kept.iter().find(under_way) {
        let (kid, signs_from) = (next.kid.clone(), next.active_from.unwrap_or(now));
        return Err(SigningKeyError::UnderWay { kid, signs_from });
    }
    let mut next = next_in_line(tx, &kept, fresh, now)?;
    let signs_from = now.plus(SEEN_EVERYWHERE).max(next.created_at.plus(published_for));
    next.active_from = Some(signs_from);
    signing_keys::update(tx, &next)?;
    let until = signs_from.plus(outlives);
    let mut predecessor = None;
    for mut before in kept.into_iter().filter(|key| key.state(now) == KeyState::Active) {
        before.retiring_from = Some(signs_from);
        before.retired_from = Some(until);
        signing_keys::update(tx, &before)?;
        predecessor = Some((before.kid, until));
    }
    Ok(Rotation { kid: next.kid, signs_from, is_to_sign: true, predecessor })
}

/// Distrusts `kid` and, where it signed, has another one sign; gives the number of the revocation
/// and who that is.
pub(super) fn distrust(
    tx: &Tx<'_>,
    kid: &str,
    mut kept: Vec<KeptKey>,
    fresh: Option<KeptKey>,
    now: Timestamp,
) -> Result<(Option<String>, Option<u64>), SigningKeyError> {
    let distrusted = signing_keys::distrusted(tx)?;
    if distrusted.iter().any(|known| known == kid) {
        return Ok((None, None));
    }
    if distrusted.len() >= DISTRUSTED_KEYS_MAX {
        return Err(SigningKeyError::ManyDistrusted);
    }
    let mut successor = None;
    if let Some(at) = kept.iter().position(|key| key.kid == kid) {
        let mut key = kept.remove(at);
        // Whoever was to sign after it, or in its place.
        let signed = key.active_from.is_some()
            && matches!(key.state(now), KeyState::Active | KeyState::Pending);
        key.retiring_from = Some(key.retiring_from.map_or(now, |from| from.min(now)));
        key.retired_from = Some(now);
        signing_keys::update(tx, &key)?;
        if let (true, Some(fresh)) = (signed, fresh) {
            successor = Some(succeed(tx, &kept, fresh, now)?);
        }
    }
    signing_keys::distrust(tx, kid, now)?;
    let entry = Entry::Key { kid: kid.to_owned() };
    Ok((successor, Some(revocations::record(tx, &entry, now)?)))
}

/// The key that signs at once where the one that did is gone.
fn succeed(
    tx: &Tx<'_>,
    kept: &[KeptKey],
    fresh: KeptKey,
    now: Timestamp,
) -> Result<String, SigningKeyError> {
    let still_signs = |key: &&KeptKey| key.state(now) == KeyState::Active;
    let is_next = |key: &&KeptKey| key.state(now) == KeyState::Pending && key.active_from.is_some();
    if let Some(mut active) = kept.iter().find(still_signs).cloned() {
        // The one that was to take its place is gone: it stays.
        active.retiring_from = None;
        active.retired_from = None;
        signing_keys::update(tx, &active)?;
        return Ok(active.kid);
    }
    let mut next = match kept.iter().find(is_next) {
        Some(next) => next.clone(),
        None => next_in_line(tx, kept, fresh, now)?,
    };
    next.active_from = Some(now);
    signing_keys::update(tx, &next)?;
    Ok(next.kid)
}
