//! Secrets: where they may be, and that nothing ever repeats them.

use std::fs;
use std::io::Write as _;

use crate::PRIVATE_PEM;
use crate::SECRET;
use crate::faults;
use crate::faults_with;
use crate::parse;
use crate::parse_with;

/// A file with one key, whose secret is written so.
fn key(secret: &str) -> String {
    format!("[[auth.keys]]\nkid = \"k\"\nalg = \"HS256\"\nsecret = {secret}\n")
}

#[test]
fn a_secret_comes_from_a_variable_or_a_file_less_its_final_newline() {
    let config = parse_with(&key("{ env = \"S\" }"), &[("S", SECRET)]).unwrap();
    assert_eq!(config.auth.keys[0].secret.as_ref().unwrap().expose(), SECRET);

    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{SECRET}").unwrap();
    let config = parse(&key(&format!("{{ file = \"{}\" }}", file.path().display()))).unwrap();
    assert_eq!(config.auth.keys[0].secret.as_ref().unwrap().expose(), SECRET);
}

#[test]
fn a_variable_that_is_not_set_and_a_file_that_is_not_there_are_faults() {
    assert_eq!(
        faults(&key("{ env = \"S\" }")),
        ["4:10 auth.keys[0].secret: the environment variable `S` is not set"]
    );
    assert_eq!(
        faults_with(&key("{ env = \"S\" }"), &[("S", "")]),
        ["4:10 auth.keys[0].secret: the environment variable `S` is not set"]
    );
    assert_eq!(
        faults(&key("{ file = \"/nonexistent/s\" }")),
        ["4:10 auth.keys[0].secret: the file `/nonexistent/s` cannot be read: \
          No such file or directory (os error 2)"]
    );
    assert_eq!(
        faults(&key("{ env = \"S\", file = \"/s\" }")),
        ["4:10 auth.keys[0].secret: expected `{ env = \"NAME\" }` or `{ file = \"/path\" }`"]
    );
}

#[test]
fn an_empty_secret_and_a_huge_one_are_faults() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = key(&format!("{{ file = \"{}\" }}", file.path().display()));
    assert!(faults(&text)[0].ends_with("the secret is empty"));
    fs::write(file.path(), "st".repeat(32 * 1024)).unwrap();
    assert_eq!(parse(&text).map(|_| ()).map_err(|f| f.to_string()), Ok(()));
    file.as_file().set_len(64 * 1024 + 1).unwrap();
    assert!(faults(&text)[0].ends_with("is larger than 64 KiB"));
}

#[test]
fn a_secret_in_the_file_is_for_developers_only() {
    let text = key(&format!("\"{SECRET}\""));
    assert!(parse(&format!("environment = \"dev\"\n{text}")).is_ok());
    assert_eq!(
        faults(&text),
        ["4:10 auth.keys[0].secret: a secret does not belong in the file; refer to it with \
          `{ env = \"NAME\" }` or `{ file = \"/path\" }`"]
    );
}

#[test]
fn nothing_is_expanded_inside_a_text() {
    let text = format!("environment = \"dev\"\n{}", key(&format!("\"${{S}}{SECRET}\"")));
    let config = parse_with(&text, &[("S", "expanded")]).unwrap();
    assert_eq!(config.auth.keys[0].secret.as_ref().unwrap().expose(), format!("${{S}}{SECRET}"));
}

#[test]
fn a_short_or_well_known_secret_never_signs() {
    let check = |secret: &str| faults_with(&key("{ env = \"S\" }"), &[("S", secret)]);
    assert!(
        check(&SECRET[1..])[0]
            .ends_with("the secret has 31 bytes; a key that signs has at least 32")
    );
    for known in ["changeme", "secret", "your-secret-key-change-this-in-production-please"] {
        assert!(check(known)[0].contains("the secret is an example's"), "{known}");
    }
}

#[test]
fn an_old_short_secret_verifies_but_an_examples_does_not() {
    let second = "[[auth.keys]]\nkid = \"old\"\nalg = \"HS256\"\nsecret = { env = \"OLD\" }\n";
    let text = format!("{}{second}", key("{ env = \"S\" }"));
    assert!(parse_with(&text, &[("S", SECRET), ("OLD", "x7fK2")]).is_ok());
    assert_eq!(faults_with(&text, &[("S", SECRET), ("OLD", "changeme")]).len(), 1);
}

#[test]
fn each_algorithm_has_its_own_kind_of_key() {
    let key = |rest: &str| format!("[[auth.keys]]\nkid = \"k\"\n{rest}\n");
    let variables = [("S", SECRET), ("P", PRIVATE_PEM)];
    for alg in ["RS256", "PS256", "ES256", "EdDSA"] {
        let good = key(&format!("alg = \"{alg}\"\nprivate_key = {{ env = \"P\" }}"));
        assert!(parse_with(&good, &variables).is_ok(), "{alg}");
        let text = key(&format!("alg = \"{alg}\"\nsecret = {{ env = \"S\" }}"));
        let faults = faults_with(&text, &variables);
        assert!(
            faults.iter().any(|f| f.ends_with(&format!("a key for {alg} has no `secret`"))),
            "{faults:?}"
        );
        let text = key(&format!("alg = \"{alg}\"\nprivate_key = {{ env = \"S\" }}"));
        assert!(faults_with(&text, &variables)[0].ends_with("it is not a private key in PEM form"));
    }
    let faults = faults_with(&key("alg = \"HS256\"\nprivate_key = { env = \"P\" }"), &variables);
    assert_eq!(
        faults,
        [
            "1:1 auth.keys[0]: a key for HS256 needs `secret`",
            "4:15 auth.keys[0].private_key: a key for HS256 has no `private_key`",
        ]
    );
    assert!(crate::faults(&key("alg = \"HS384\""))[0].contains("`HS384` is not one of `HS256`"));
    assert!(crate::faults(&key("alg = \"none\""))[0].contains("`none` is not one of"));
}

#[test]
fn no_secret_is_ever_repeated() {
    const LEAK: &str = "hunter2";
    for text in [
        key("\"hunter2\""),
        key("hunter2"),
        key("\"hunter2"),
        key("\"\"\"\nhunter2=\nhunter2"),
        key("[\"hunter2\"]"),
        key("{ env = \"hunter2 \" }"),
        key("{ vault = \"hunter2\" }"),
        key("\"x\"\nsecrte = \"hunter2\""),
        "auth = \"hunter2\"".to_owned(),
        "auth.keys = \"hunter2\"".to_owned(),
        "auth.keys = [\"hunter2\"]".to_owned(),
        "database = \"postgres://a:hunter2@b/c\"".to_owned(),
        "database.url = \"postgres://a:hunter2@db/app\"".to_owned(),
        "database.url = \"postgres://a:hunter2@db:x/app\"".to_owned(),
        "database.url = \"mysql://a:hunter2@db/app\"".to_owned(),
        "database.url = [\"hunter2\"]".to_owned(),
        "database = { url = \"postgres://a@b/c\", password = \"hunter2\" }".to_owned(),
        "redis.url = \"redis://:hunter2@r\"".to_owned(),
        "redis.url = \"redis://:hunter2@r/x\"".to_owned(),
        "celery.broker_url = \"amqp://a:hunter2@r\"".to_owned(),
        "celery.broker_url = \"redis://:hunter2@r\"".to_owned(),
        "auth.oauth.google = { client_id = \"a\", client_secret = \"hunter2\" }".to_owned(),
        "auth.frontend_url = \"https://a:hunter2@b\"".to_owned(),
        "upstreams.a.endpoints = [\"http://a:hunter2@b\"]".to_owned(),
        "upstreams.a.endpoints = \"http://a:hunter2@b\"".to_owned(),
        "[[issuers]]\nissuer = \"x\"\naudiences = [\"x\"]\njwks_url = \"https://a:hunter2@b\""
            .to_owned(),
    ] {
        let faults = parse(&text).expect_err(&text);
        for shown in [faults.to_string(), faults.to_json().to_string(), format!("{faults:?}")] {
            assert!(!shown.contains(LEAK), "{text}\n{shown}");
        }
    }
}

#[test]
fn no_secret_is_repeated_by_what_was_loaded() {
    let text = format!("[redis]\nurl = {{ env = \"R\" }}\n{}", key("{ env = \"S\" }"));
    let variables = [
        ("S", SECRET),
        ("R", "redis://:hunter2@r"),
        ("DATABASE_URL", "postgres://a:hunter2@db/x"),
        ("CELERY_BROKER_URL", "redis://:hunter2@r"),
        ("GOOGLE_CLIENT_ID", "id"),
        ("GOOGLE_CLIENT_SECRET", "hunter2"),
    ];
    let shown = format!("{:?}", parse_with(&text, &variables).unwrap());
    assert!(!shown.contains("hunter2") && !shown.contains(SECRET), "{shown}");
}
