//! Who is counted together, and who is not.

use super::Caller;
use super::START;
use super::left;
use super::minute;
use crate::limit::QuotaStore;
use crate::limit::SubjectKind;

/// A difference in any part is a difference; moving the border between parts is one, too.
pub async fn subjects_differ_by_policy_kind_and_id(store: &impl QuotaStore) {
    let subjects = [
        ("api", SubjectKind::User, "ada"),
        ("api", SubjectKind::User, "bob"),
        ("api", SubjectKind::Address, "ada"),
        ("api", SubjectKind::Route, "ada"),
        ("login", SubjectKind::User, "ada"),
        ("apia", SubjectKind::User, "da"),
        ("ap", SubjectKind::User, "iada"),
        ("", SubjectKind::User, "apiada"),
        ("apiada", SubjectKind::User, ""),
        ("api", SubjectKind::User, ""),
    ];
    apart(store, &subjects).await;
}

/// Whatever a foreign issuer may put into `sub`: no two are mixed up, none is lost.
pub async fn hostile_ids_are_one_subject_each(store: &impl QuotaStore) {
    let long = "x".repeat(10_240);
    let (longer, other) = (format!("{long}x"), format!("y{long}"));
    let ids = [
        " ", "  ", "\t", "\n", "\r\n", "\0", "a b", "a\nb", "{}", "{ada}", "}{", "a:b", "a::b",
        "*", "?", "[a]", "\"", "'", "\\", "%20", "ada ", " ada", "Ada", "é", "e\u{301}",
        "\u{202e}", "\u{feff}", "🚪", &long, &longer, &other,
    ];
    let subjects = ids.map(|id| ("api", SubjectKind::User, id));
    apart(store, &subjects).await;
    apart(store, &[(&*long, SubjectKind::User, "a"), (&*longer, SubjectKind::User, "a")]).await;
    apart(store, &[("api", SubjectKind::Route, &*long), ("apix", SubjectKind::Route, &*long)])
        .await;
}

/// Each takes once more than the last: a subject mixed up with another would have less left.
async fn apart(store: &impl QuotaStore, subjects: &[(&str, SubjectKind, &str)]) {
    let quotas = [minute(1000)];
    let callers = subjects.iter().map(|(policy, kind, id)| Caller::of(store, policy, *kind, id));
    for (caller, calls) in callers.clone().zip(1..) {
        assert_eq!(caller.flood(&quotas, calls, START).await, calls);
    }
    for (caller, calls) in callers.zip(1..) {
        let outcome = caller.peek(&quotas, START).await;
        assert_eq!(left(&outcome), [1000 - calls], "{:.40?}", caller.subject);
    }
}
