//! Entries as they are written: in databases and on the wire, so none of it may change.

use proptest::prelude::*;

use crate::revocation::Entry;
use crate::revocation::Row;
use crate::tier::Tier;
use crate::time::Timestamp;
use crate::token::TokenKey;

const UNTIL: Timestamp = Timestamp::from_millis(1_800_000_000_123);

fn check(entry: Entry, json: &str) {
    assert_eq!(serde_json::to_string(&entry).unwrap(), json);
    assert_eq!(serde_json::from_str::<Entry>(json).unwrap(), entry);
}

#[test]
fn an_entry_is_written_as_ever() {
    check(
        Entry::Token { key: TokenKey::of_id("https://door.example", "t1"), until: UNTIL },
        r#"{"kind":"token","key":"fd712f853474cb4cf5c515327ffc34d4","until":1800000000123}"#,
    );
    check(
        Entry::Session { id: "s1".to_owned(), until: UNTIL },
        r#"{"kind":"session","id":"s1","until":1800000000123}"#,
    );
    check(
        Entry::UserEpoch { user_id: "u1".to_owned(), min_epoch: 7, until: UNTIL },
        r#"{"kind":"user_epoch","user_id":"u1","min_epoch":7,"until":1800000000123}"#,
    );
    check(
        Entry::UserOverride {
            user_id: "u1".to_owned(),
            tier: Some(Tier::parse("premium").unwrap()),
            scopes: Some(vec!["orders:read".to_owned()]),
            active: true,
            until: UNTIL,
        },
        r#"{"kind":"user_override","user_id":"u1","tier":"premium","scopes":["orders:read"],"active":true,"until":1800000000123}"#,
    );
    check(
        Entry::UserOverride {
            user_id: "u1".to_owned(),
            tier: None,
            scopes: None,
            active: false,
            until: UNTIL,
        },
        r#"{"kind":"user_override","user_id":"u1","tier":null,"scopes":null,"active":false,"until":1800000000123}"#,
    );
    check(Entry::Key { kid: "k1".to_owned() }, r#"{"kind":"key","kid":"k1"}"#);
}

#[test]
fn a_row_is_its_number_its_time_and_its_entry() {
    let row = Row { seq: 9, at: UNTIL, entry: Entry::Key { kid: "k1".to_owned() } };
    let json = r#"{"seq":9,"at":1800000000123,"entry":{"kind":"key","kid":"k1"}}"#;
    assert_eq!(serde_json::to_string(&row).unwrap(), json);
    assert_eq!(serde_json::from_str::<Row>(json).unwrap(), row);
}

#[test]
fn what_is_no_entry_is_not_read_as_one() {
    for json in [
        r#"{}"#,
        r#"{"kind":"everything"}"#,
        r#"{"kind":"Key","kid":"k1"}"#,
        r#"{"kind":"key"}"#,
        r#"{"kind":"session","id":"s1"}"#,
        r#"{"kind":"session","id":"s1","until":-1}"#,
        r#"{"kind":"session","id":"s1","until":1.5}"#,
        r#"{"kind":"session","id":"s1","until":"2027-01-15"}"#,
        r#"{"kind":"token","key":"t1","until":1}"#,
        r#"{"kind":"user_override","user_id":"u1","tier":"No Tier","scopes":null,"active":true,"until":1}"#,
        r#"{"kind":"user_override","user_id":"u1","tier":null,"scopes":null,"until":1}"#,
    ] {
        assert!(serde_json::from_str::<Entry>(json).is_err(), "{json}");
    }
}

proptest! {
    #[test]
    fn any_row_reads_back(seq in any::<u64>(), id in any::<String>(), until in any::<u64>()) {
        let until = Timestamp::from_millis(until);
        for entry in [
            Entry::Token { key: TokenKey::of_session(&id), until },
            Entry::Session { id: id.clone(), until },
            Entry::UserEpoch { user_id: id.clone(), min_epoch: seq, until },
            Entry::UserOverride {
                user_id: id.clone(),
                tier: None,
                scopes: Some(vec![id.clone()]),
                active: true,
                until,
            },
            Entry::Key { kid: id.clone() },
        ] {
            let row = Row { seq, at: until, entry };
            let json = serde_json::to_string(&row).unwrap();
            prop_assert_eq!(serde_json::from_str::<Row>(&json).unwrap(), row);
        }
    }
}
