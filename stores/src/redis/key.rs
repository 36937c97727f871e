//! The name of a subject's key: `{namespace:policy:kind:id}`.
//!
//! All of it is a hash tag, so that it lies in one slot of a cluster. What could end the tag, part the
//! names or confuse whoever reads the keys is percent-encoded; a long subject is a digest.

use std::fmt::Write;

use kernel::limit::SubjectKind;

use crate::key::Form;
use crate::key::Key;

/// The name of `key` in Redis; different subjects have different names.
pub(super) fn of(namespace: &str, key: &Key<'_>) -> String {
    let kind = match key.kind {
        SubjectKind::User => "user",
        SubjectKind::Address => "address",
        SubjectKind::Route => "route",
    };
    let mut name = format!("{{{namespace}:");
    match key.form {
        // No policy is called that: it has a character that would be encoded.
        Form::Digest => {
            let _ = write!(name, "#sha256:{kind}:");
            for byte in key.id {
                let _ = write!(name, "{byte:02x}");
            }
        }
        Form::Plain => {
            encode(key.policy, &mut name);
            let _ = write!(name, ":{kind}:");
            encode(key.id, &mut name);
        }
    }
    name.push('}');
    name
}

/// Writes `text` as part of the name of a key.
pub(super) fn encode(text: &[u8], name: &mut String) {
    for &byte in text {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'@' | b'|' => {
                name.push(byte.into());
            }
            _ => {
                let _ = write!(name, "%{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use kernel::limit::Subject;
    use proptest::prelude::*;

    use super::*;
    use crate::digest::Digest;
    use crate::digest::TEXT_BYTES_MAX;

    fn key(policy: &str, kind: SubjectKind, id: &str) -> String {
        let subject = Subject { policy, kind, id };
        let digest = Digest::if_long(&subject);
        of("doorward", &Key::of(&subject, digest.as_ref()))
    }

    #[test]
    fn a_plain_subject_can_be_read_in_its_key() {
        assert_eq!(key("tier", SubjectKind::User, "42"), "{doorward:tier:user:42}");
        let route = key("route:orders", SubjectKind::User, "ann@example.com");
        assert_eq!(route, "{doorward:route%3Aorders:user:ann@example.com}");
        let address = key("auth", SubjectKind::Address, "2001:db8::");
        assert_eq!(address, "{doorward:auth:address:2001%3Adb8%3A%3A}");
    }

    #[test]
    fn a_subject_at_the_bound_is_written_out_and_one_past_it_is_a_digest() {
        let id = "x".repeat(TEXT_BYTES_MAX - 4);
        assert!(key("tier", SubjectKind::User, &id).ends_with(&format!(":{id}}}")));
        let longer = key("tier", SubjectKind::User, &format!("{id}x"));
        assert!(longer.starts_with("{doorward:#sha256:user:"), "{longer}");
        let other = key("tier", SubjectKind::User, &format!("{id}y"));
        assert_ne!(longer, other);
        let hostile = key("tier", SubjectKind::User, &"} {\n".repeat(2500));
        assert_eq!(hostile.len(), longer.len());
        assert_eq!((hostile.find('{'), hostile.find('}')), (Some(0), Some(hostile.len() - 1)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn any_subjects_have_keys_of_their_own_each_one_hash_tag(
            parts in proptest::collection::vec(("\\PC{0,6}|[{}:%#\0 \n]{0,4}", "\\PC{0,6}|[{}:%#\0 \n]{0,4}"), 2..6)
        ) {
            let subjects: HashSet<_> = parts.iter().collect();
            let keys: HashSet<_> =
                subjects.iter().map(|(policy, id)| key(policy, SubjectKind::User, id)).collect();
            prop_assert_eq!(keys.len(), subjects.len());
            for key in keys {
                let (begins, ends) = (key.find('{'), key.find('}'));
                prop_assert_eq!((begins, ends), (Some(0), Some(key.len() - 1)));
                prop_assert!(key.bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }
}
