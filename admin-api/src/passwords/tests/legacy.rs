//! What other systems stored.

use super::*;

const PASSWORD: &str = "correct horse battery staple";
const UNICODE: &str = "Grüße, 世界 🌍";

/// 71 letters, then a letter of two bytes: the 72nd byte is half of it.
fn long() -> String {
    format!("{}étail that nobody reads", "a".repeat(71))
}

#[tokio::test]
async fn a_password_of_the_replaced_system_signs_in_once_and_has_a_hash_of_ours_from_then_on() {
    let passwords = passwords();
    for stored in [
        "$2b$04$4F281jDUMLKuRHzOT2XvO.8REmmq8R6XIYZh0QYOzOU6j72mtdcV6",
        "$2b$12$HfzzP8XFLb6nV8qSahK71eV0YbUIk4ZNhcTOzYEoLf3FyCg0nD20m",
        "$2a$04$b8Ksw4dfTNvow7VAa3hIBuNoJH7W/CbmatWIUo1L.W2hX1tmG.fMu",
        "$2y$04$Gobdc1hEiNgkEpEPz.9CT./TMb0MeVhONC8bx3LUrLr8jeZofpNme",
        "$bcrypt-sha256$v=2,t=2b,r=4$fb/rUo3.Evu.z12H/yWwFe$kiF7.X5.1opHImaE5atdySjuKqhcKPu",
        "$bcrypt-sha256$2b,4$PHVT94QTkpcS14qFG9hFq.$P04m2qZgIEid8diHmoehsDREU5mt09i",
        "$bcrypt-sha256$2a,4$l1eLZpflQuIClQcHWth57u$SAjE8mqOA6HBtjT/XPWzoUJ6ZuPwMmS",
    ] {
        is_taken_over(&passwords, PASSWORD, stored).await;
        let wrong = check(&passwords, "correct horse battery stapler", Some(stored)).await;
        assert!(matches!(wrong, Verdict::Wrong), "{stored}");
    }
}

#[tokio::test]
async fn bytes_beyond_ascii_are_those_that_were_typed() {
    let passwords = passwords();
    for stored in [
        "$2b$04$lW4YlW.Dd54bZfWkp0uqNeHhOZLgfB.NgzUoOWBgZ0BpYrTIEy01a",
        "$bcrypt-sha256$v=2,t=2b,r=4$MfNA6QTRP8CDBB.w9ZSuF.$/LrAkBC4dbIxYDaTKoU8FPkwgb4xVu.",
    ] {
        is_taken_over(&passwords, UNICODE, stored).await;
    }
}

#[tokio::test]
async fn bcrypt_looks_at_72_bytes_and_at_no_more_even_through_the_middle_of_a_letter() {
    let stored = "$2b$04$pWm.K5eZgP4nJ.0hEFtb4.laeScvkqp6oGmmMlit5kZ/Zk9jKVHLK";
    let passwords = passwords();
    is_taken_over(&passwords, &long(), stored).await;
    is_taken_over(&passwords, &format!("{}é and another tail", "a".repeat(71)), stored).await;
    let shorter = check(&passwords, &"a".repeat(71), Some(stored)).await;
    assert!(matches!(shorter, Verdict::Wrong));
    let of_72 = "$2b$04$FFFZ5R9dxzlsK0Vmu5ReGOTwxGpUm0DtW3l5LWCUIFlP.6e3csgzW";
    is_taken_over(&passwords, &"b".repeat(72), of_72).await;
    let of_71 = check(&passwords, &"b".repeat(71), Some(of_72)).await;
    assert!(matches!(of_71, Verdict::Wrong));
}

#[tokio::test]
async fn the_whole_of_a_long_password_counts_once_it_has_a_hash_of_ours() {
    let stored = "$2b$04$pWm.K5eZgP4nJ.0hEFtb4.laeScvkqp6oGmmMlit5kZ/Zk9jKVHLK";
    let passwords = passwords();
    let Verdict::Right { rehashed: Some(new) } = check(&passwords, &long(), Some(stored)).await
    else {
        panic!("not taken over")
    };
    let cut = check(&passwords, &format!("{}é", "a".repeat(71)), Some(new.expose())).await;
    assert!(matches!(cut, Verdict::Wrong));
}

#[tokio::test]
async fn bcrypt_sha256_looks_at_the_whole_of_a_password() {
    let passwords = passwords();
    for stored in [
        "$bcrypt-sha256$2b,4$5nTRxO9ewdG/sCzD9vWcGO$F5MUlM04JiO/NJl2ebvkebjkt0wZp6K",
        "$bcrypt-sha256$v=2,t=2b,r=4$a0/s80nWSXyD5X0ArfsKke$IDz3ZWHWp1U5UNAMRPdACUixyqoZDKS",
    ] {
        is_taken_over(&passwords, &long(), stored).await;
        let cut = check(&passwords, &long()[..100.min(long().len() - 1)], Some(stored)).await;
        assert!(matches!(cut, Verdict::Wrong), "{stored}");
    }
}

#[tokio::test]
async fn a_zero_byte_ends_no_password() {
    let passwords = passwords();
    // Passlib makes these two of a password with a zero byte, Python's bcrypt the third.
    let stored = [
        "$bcrypt-sha256$v=2,t=2b,r=4$0vNwhATZRh1Y./QdQ.IZhe$h8UDRhhJDdbw1CMl8zFKXxUeK4eJzti",
        "$bcrypt-sha256$2b,4$yXnvWKV/Jg1z.abhQ1fCm.$8B5ywMG8FN0EcV2qvStnjADrZi2uokW",
    ];
    for stored in stored {
        is_taken_over(&passwords, "nul\0inside", stored).await;
        assert!(matches!(check(&passwords, "nul", Some(stored)).await, Verdict::Wrong));
    }
    let stored = "$2b$04$LLr/49biv/nphFiACe.6uO4bHgOv6PBG9a1QO5wR.E/PtbyS7w7je";
    is_taken_over(&passwords, "a\0b", stored).await;
    assert!(matches!(check(&passwords, "a", Some(stored)).await, Verdict::Wrong));
    assert!(matches!(check(&passwords, "a\0c", Some(stored)).await, Verdict::Wrong));
    let empty = "$2b$04$unHQG.ZVP8vN7VJlRNrgAe3BG/oRe/8NhUyHy2P1mOEWSEpESB1.C";
    is_taken_over(&passwords, "", empty).await;
}

#[tokio::test]
async fn bits_that_old_writers_left_in_a_salt_count_for_nothing() {
    // The last character of a salt holds two bits of it; `.` and `/` differ in the other four.
    let clean = "$2a$04$b8Ksw4dfTNvow7VAa3hIBuNoJH7W/CbmatWIUo1L.W2hX1tmG.fMu";
    let stained = clean.replacen("hIBu", "hIBv", 1);
    assert_ne!(clean, stained);
    is_taken_over(&passwords(), PASSWORD, &stained).await;
}

#[tokio::test]
async fn a_hash_of_the_bytes_as_they_were_typed_is_right_and_becomes_one_of_the_one_spelling() {
    let decomposed = "Gru\u{308}\u{df}e aus Ko\u{308}ln";
    let composed = "Gr\u{fc}\u{df}e aus K\u{f6}ln";
    let stored = hashed(decomposed.as_bytes());
    let passwords = passwords();
    let typed = check(&passwords, decomposed, Some(stored.expose())).await;
    let Verdict::Right { rehashed: Some(new) } = typed else { panic!("not taken over") };
    for typed in [composed, decomposed] {
        let verdict = check(&passwords, typed, Some(new.expose())).await;
        assert!(matches!(verdict, Verdict::Right { rehashed: None }), "{typed}");
    }
}
