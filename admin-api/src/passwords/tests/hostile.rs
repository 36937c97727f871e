//! Hashes that were made to be dear, or to be nothing at all.

use std::time::Duration;

use crate::passwords::stored::ARGON2_KIB_MAX;
use crate::passwords::stored::ARGON2_LANES_MAX;
use crate::passwords::stored::BCRYPT_COST_MAX;
use crate::passwords::stored::Unreadable;

use crate::passwords::stored::Work;

use super::*;

const SALT_AND_OUTPUT: &str = "aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E";
const BCRYPT_REST: &str = "4F281jDUMLKuRHzOT2XvO.8REmmq8R6XIYZh0QYOzOU6j72mtdcV6";

fn argon2(parameters: &str) -> String {
    format!("$argon2id$v=19${parameters}${SALT_AND_OUTPUT}")
}

fn reads(text: &str) -> Result<Work, Unreadable> {
    Stored::parse(text).map(|stored| stored.work())
}

#[tokio::test]
async fn a_hash_that_names_an_endless_price_does_not_hang_its_owners_sign_in() {
    let passwords = passwords();
    let ours_alone = Duration::from_secs(5);
    for stored in [
        format!("$2b$31${BCRYPT_REST}"),
        format!("$2a$16${BCRYPT_REST}"),
        "$bcrypt-sha256$v=2,t=2b,r=31$fb/rUo3.Evu.z12H/yWwFe$kiF7.X5.1opHImaE5atdySjuKqhcKPu"
            .to_owned(),
        argon2("m=4194304,t=2,p=1"),
        argon2("m=19456,t=4294967295,p=1"),
        argon2("m=262144,t=1000,p=1"),
        argon2("m=262144,t=1,p=16777215"),
    ] {
        let check = check(&passwords, "correct horse", Some(&stored));
        let verdict = tokio::time::timeout(ours_alone, check).await;
        assert!(matches!(verdict, Ok(Verdict::Wrong)), "{stored}");
    }
    assert_eq!(passwords.done(), 7, "one check of nobody's each");
}

#[test]
fn bcrypt_is_checked_from_cost_4_to_15() {
    for (cost, read) in [
        ("03", Err(Unreadable::Cost(3))),
        ("04", Ok(Work::Bcrypt { cost: 4 })),
        ("15", Ok(Work::Bcrypt { cost: BCRYPT_COST_MAX })),
        ("16", Err(Unreadable::Cost(16))),
        ("4", Err(Unreadable::Shape)),
        ("+4", Err(Unreadable::Shape)),
        ("004", Err(Unreadable::Shape)),
    ] {
        assert_eq!(reads(&format!("$2b${cost}${BCRYPT_REST}")), read, "{cost}");
    }
}

#[test]
fn argon2_is_checked_up_to_256_mib_1_gib_over_all_passes_and_16_lanes() {
    for (memory_kib, passes, lanes, fits) in [
        (ARGON2_KIB_MAX, 1, 1, true),
        (ARGON2_KIB_MAX + 1, 1, 1, false),
        (ARGON2_KIB_MAX, 4, 1, true),
        (ARGON2_KIB_MAX, 5, 1, false),
        (1024, 1024, 1, true),
        (1024, 1025, 1, false),
        (1024, 1, ARGON2_LANES_MAX, true),
        (1024, 1, ARGON2_LANES_MAX + 1, false),
    ] {
        let expected = if fits {
            Ok(Work::Argon2 { memory_kib, passes, lanes })
        } else {
            Err(Unreadable::Price { memory_kib, passes, lanes })
        };
        let text = argon2(&format!("m={memory_kib},t={passes},p={lanes}"));
        assert_eq!(reads(&text), expected, "{text}");
    }
}

#[test]
fn what_is_no_hash_is_not_checked() {
    for text in [
        "",
        "$",
        "plain text",
        "$5$rounds=5000$usesomesillystri$KqJWpanXZHKq2BOB43TSaY",
        "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E",
        "$2x$04$4F281jDUMLKuRHzOT2XvO.8REmmq8R6XIYZh0QYOzOU6j72mtdcV6",
        "$2b$04$4F281jDUMLKuRHzOT2XvO.8REmmq8R6XIYZh0QYOzOU6j72mtdcV",
        "$2b$04$4F281jDUMLKuRHzOT2XvO.8REmmq8R6XIYZh0QYOzOU6j72mtdcV66",
        "$2b$04$4F281jDUMLKuRHzOT2XvOü8REmmq8R6XIYZh0QYOzOU6j72mtdcV6",
        "$2b$04$ü",
        "$argon2id$v=19$m=19456,t=2,p=1",
        "$argon2id$v=19$m=19456,t=2,p=1$aM15713r3Xsvxbi31lqr1Q",
        "$argon2id$v=19$m=1,t=0,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E",
        "$argon2xx$v=19$m=19456,t=2,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E",
        "$bcrypt-sha256$2b,04$PHVT94QTkpcS14qFG9hFq.$P04m2qZgIEid8diHmoehsDREU5mt09i",
        "$bcrypt-sha256$2y,4$PHVT94QTkpcS14qFG9hFq.$P04m2qZgIEid8diHmoehsDREU5mt09i",
        "$bcrypt-sha256$v=3,t=2b,r=4$PHVT94QTkpcS14qFG9hFq.$P04m2qZgIEid8diHmoehsDREU5mt09i",
        "$bcrypt-sha256$v=2,t=2a,r=4$PHVT94QTkpcS14qFG9hFq.$P04m2qZgIEid8diHmoehsDREU5mt09i",
        "$bcrypt-sha256$2b,4$PHVT94QTkpcS14qFG9hFq.",
        "$bcrypt-sha256$2b,4$PHVT94QTkpcS14qFG9hFq.$P04m2qZgIEid8diHmoehsDREU5mt09i$",
    ] {
        assert!(reads(text).is_err(), "{text}");
    }
}

#[test]
fn no_cut_or_changed_hash_makes_the_reader_panic() {
    for good in [
        argon2("m=19456,t=2,p=1"),
        format!("$2b$04${BCRYPT_REST}"),
        "$bcrypt-sha256$v=2,t=2b,r=4$fb/rUo3.Evu.z12H/yWwFe$kiF7.X5.1opHImaE5atdySjuKqhcKPu"
            .to_owned(),
    ] {
        for (at, _) in good.char_indices() {
            let _ = reads(&good[..at]);
            for other in ["", "$", ",", "=", "0", "9", "é", "\0"] {
                let _ = reads(&format!("{}{other}{}", &good[..at], &good[at + 1..]));
            }
        }
    }
}
