//! Nothing is tested on one database alone without a reason.

use std::collections::BTreeSet;

/// What speaks of SQLite's files; and who may do what, which no database decides.
const OF_SQLITE: [&str; 2] = ["access", "open"];

/// What speaks of a server that is elsewhere, and of rows that others hold.
const OF_POSTGRES: [&str; 5] = ["away", "held", "same", "sealed", "tls"];

fn modules(main: &str) -> BTreeSet<&str> {
    let names = main.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
    names.collect()
}

#[test]
fn what_is_tested_on_sqlite_is_tested_on_postgres() {
    let mut sqlite = modules(include_str!("../it/main.rs"));
    let mut postgres = modules(include_str!("main.rs"));
    assert!(sqlite.len() > 10, "{sqlite:?}");
    sqlite.retain(|name| !OF_SQLITE.contains(name));
    postgres.retain(|name| !OF_POSTGRES.contains(name));
    assert_eq!(sqlite, postgres);
}
