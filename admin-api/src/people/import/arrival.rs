//! A person as another system has them, in types of ours; what is `None` is not said there.

use kernel::claims::CLAIM_BYTES_MAX;
use kernel::secret::Secret;
use kernel::time::Timestamp;
use uuid::Uuid;

use super::fault::RowFault;
use super::moment::moment;
use crate::people::names::address_spelled;
use crate::people::names::spelled;
use crate::store::old_people::OldUser;

/// Somebody who is to be taken over.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) id: Option<String>,
    pub(crate) username: String,
    pub(crate) email: Option<String>,
    pub(crate) hash: Option<Secret>,
    pub(crate) full_name: Option<String>,
    pub(crate) tier: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) scopes: Option<Vec<String>>,
    pub(crate) is_active: Option<bool>,
    pub(crate) is_verified: Option<bool>,
    pub(crate) last_login: Option<Timestamp>,
    pub(crate) created_at: Option<Timestamp>,
}

/// One row of a source: where it stands, and whom it tells of.
#[derive(Debug)]
pub(crate) struct Told {
    /// `line 3`, or `user 17`.
    pub(crate) at: String,
    pub(crate) who: Result<Arrival, RowFault>,
}

impl Told {
    /// Of a row of an old deployment's table.
    pub(super) fn of(row: OldUser) -> Self {
        let named = row.id.as_deref().or(row.username.as_deref()).or(row.email.as_deref());
        let at = format!("user `{}`", named.unwrap_or_default());
        Self { at, who: arrival(row) }
    }
}

fn arrival(row: OldUser) -> Result<Arrival, RowFault> {
    let email = address(row.email);
    Ok(Arrival {
        id: Some(id(&given(row.id).ok_or(RowFault::NoId)?)?),
        username: name(given(row.username), email.as_deref())?,
        email,
        hash: given(row.hashed_password).map(Secret::new),
        full_name: given(row.full_name),
        tier: given(row.tier),
        role: given(row.role),
        scopes: None,
        is_active: row.is_active.map(|text| flag("is_active", text)).transpose()?,
        is_verified: row.is_verified.map(|text| flag("is_verified", text)).transpose()?,
        last_login: at("last_login", given(row.last_login))?,
        created_at: at("created_at", given(row.created_at))?,
    })
}

/// An empty text says nothing.
pub(super) fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// The id, to the letter; only a UUID that was put down without its dashes gets them back, as its
/// owner's tokens have them.
pub(super) fn id(text: &str) -> Result<String, RowFault> {
    let is_bare = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if is_bare && let Ok(id) = Uuid::parse_str(text) {
        return Ok(id.hyphenated().to_string());
    }
    let fits = (1..=CLAIM_BYTES_MAX).contains(&text.len());
    if fits && !text.chars().any(char::is_control) && text.trim() == text {
        return Ok(text.to_owned());
    }
    Err(RowFault::Id(text.chars().take(CLAIM_BYTES_MAX).collect()))
}

/// The name to sign in with: the address, for who has no other; in its one spelling.
pub(super) fn name(username: Option<String>, email: Option<&str>) -> Result<String, RowFault> {
    let name = username.as_deref().map(spelled).or(email.map(address_spelled));
    Ok(name.ok_or(RowFault::Nameless)?.into_owned())
}

/// An address in its one spelling.
pub(super) fn address(email: Option<String>) -> Option<String> {
    given(email).map(|email| address_spelled(&email).into_owned())
}

/// The moment that a text of `column` tells.
pub(super) fn at(
    column: &'static str,
    text: Option<String>,
) -> Result<Option<Timestamp>, RowFault> {
    let read = |value: String| moment(&value).ok_or(RowFault::Moment { column, value });
    text.map(read).transpose()
}

fn flag(column: &'static str, value: String) -> Result<bool, RowFault> {
    match &*value {
        "true" | "t" | "1" => Ok(true),
        "false" | "f" | "0" => Ok(false),
        _ => Err(RowFault::Flag { column, value }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_kept_to_the_letter_and_a_bare_uuid_gets_its_dashes_back() {
        let dashed = "6fa459ea-ee8a-3ca4-894e-db77e160355e";
        for (text, kept) in [
            (dashed, dashed),
            ("6fa459eaee8a3ca4894edb77e160355e", dashed),
            ("6FA459EAEE8A3CA4894EDB77E160355E", dashed),
            ("6FA459EA-EE8A-3CA4-894E-DB77E160355E", "6FA459EA-EE8A-3CA4-894E-DB77E160355E"),
            ("17", "17"),
            ("zfa459eaee8a3ca4894edb77e160355e", "zfa459eaee8a3ca4894edb77e160355e"),
        ] {
            assert_eq!(id(text).unwrap(), kept);
        }
    }

    #[test]
    fn an_id_of_255_bytes_is_the_longest() {
        assert!(id(&"7".repeat(CLAIM_BYTES_MAX)).is_ok());
        for text in ["", " 7", "a\nb", &"7".repeat(CLAIM_BYTES_MAX + 1)] {
            assert!(matches!(id(text), Err(RowFault::Id(_))), "{text:?}");
        }
    }

    #[test]
    fn who_has_no_user_name_signs_in_with_the_address() {
        let row = |username: Option<&str>, email: Option<&str>| OldUser {
            id: Some("1".to_owned()),
            username: username.map(str::to_owned),
            email: email.map(str::to_owned),
            ..OldUser::default()
        };
        let name = |row| Told::of(row).who.map(|who| who.username);
        assert_eq!(name(row(Some("ann"), Some("a@b.c"))).unwrap(), "ann");
        assert_eq!(name(row(None, Some("a@b.c"))).unwrap(), "a@b.c");
        assert_eq!(name(row(Some(""), Some("A@B.C"))).unwrap(), "A@b.c", "in its one spelling");
        assert!(matches!(name(row(None, None)), Err(RowFault::Nameless)));
    }

    #[test]
    fn a_row_that_cannot_be_read_is_named_by_its_id() {
        let row = OldUser {
            id: Some("17".to_owned()),
            username: Some("ann".to_owned()),
            is_active: Some("maybe".to_owned()),
            ..OldUser::default()
        };
        let told = Told::of(row);
        assert_eq!(told.at, "user `17`");
        let fault = told.who.unwrap_err().to_string();
        assert_eq!(fault, "`is_active` is `maybe`, which is neither yes nor no");
    }
}
