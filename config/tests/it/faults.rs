//! What an operator sees.

use serde_json::json;

use crate::faults;
use crate::parse;

/// Five faults of different kinds.
const FIVE: &str = include_str!("five_faults.toml");

#[test]
fn five_faults_of_different_kinds_are_named_with_line_and_column() {
    insta::assert_snapshot!(parse(FIVE).unwrap_err(), @r#"
    doorward.toml: 5 problems
     3:1   | pubilc                  listen.pubilc: unknown key `pubilc`; did you mean `public`?
     5:14  | access_ttl = "30"       auth.access_ttl: `30` is not a length of time: write a whole number of `ms`, `s`, `m`, `h` or `d`, such as `30s`
     10:8  | path = "/auth/orders"   routes[0].path: `/auth/orders` lies under `/auth`, which Doorward answers itself
     12:41 | requests = 0            routes[0].limits[0].requests: `0` is not a whole number from 1 to 4294967295
     16:12 | upstream = "billing"    routes[1].upstream: no upstream `billing`; there are `orders`
    "#);
}

#[test]
fn faults_as_json_have_line_column_path_message_and_suggestion() {
    let faults = parse("a = 1\n[listen]\nops = 7\nidle_timout = 1\n").unwrap_err();
    assert_eq!(
        faults.to_json(),
        json!({
            "file": "doorward.toml",
            "problems": [
                { "line": 1, "column": 1, "path": "a",
                  "message": "unknown key `a`; there are `environment`, `test_mode`, `data_dir`, `listen`, \
                              `database`, `redis`, `celery`, `fleet`, `auth`, `mail`, `issuers`, `roles`, `tiers`, `limits`, `status`, \
                              `upstreams`, `routes`" },
                { "line": 3, "column": 7, "path": "listen.ops",
                  "message": "expected an address and port, found an integer" },
                { "line": 4, "column": 1, "path": "listen.idle_timout",
                  "message": "unknown key `idle_timout`", "suggestion": "idle_timeout" },
            ],
        })
    );
}

#[test]
fn a_syntax_error_is_named_with_its_line_and_nothing_else_is_guessed() {
    assert_eq!(
        faults("environment = \"prod\"\n[listen]\nops = 127.0.0.1:9180\nunknown = 1\n"),
        ["3:12 : invalid float, expected nothing"]
    );
}

#[test]
fn a_key_written_twice_is_a_fault() {
    let faults = faults("environment = \"prod\"\nenvironment = \"dev\"\n");
    assert_eq!(faults.len(), 1);
    assert!(faults[0].starts_with("2:1 : duplicate key"), "{faults:?}");
}

#[test]
fn a_missing_key_is_named_at_its_section() {
    assert_eq!(
        faults("[[routes]]\nname = \"a\"\n[upstreams.b]\n"),
        [
            "1:1 routes[0]: the key `path` is missing",
            "1:1 routes[0]: the key `upstream` is missing",
            "3:1 upstreams.b: the key `endpoints` is missing",
        ]
    );
}

#[test]
fn unknown_keys_are_faults_at_every_depth() {
    let text = "x1 = 1\nlisten.x2 = 1\nauth.hashing.x3 = 1\nauth.oauth.x4 = 1\nredis = { url = \"redis://r\", x5 = 1 }\n\
                [tiers.free]\nlimits = [{ name = \"m\", requests = 1, per = \"1m\", x6 = 1 }]\n\
                [auth.oauth.oidc.a]\nclient_id = \"a\"\nclient_secret = { env = \"A\", x7 = 1 }\nissuer = \"https://a\"\n";
    let faults = crate::faults_with(text, &[("A", "a")]);
    assert_eq!(faults.len(), 7, "{faults:#?}");
    for number in 1..=7 {
        let key = format!("unknown key `x{number}`");
        assert!(faults.iter().any(|fault| fault.contains(&key)), "{key}: {faults:#?}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_one_fault_that_says_why() {
    let path = std::path::Path::new("/nonexistent/doorward.toml");
    let faults = config::load(path, &crate::nothing).unwrap_err();
    assert_eq!(
        faults.to_string(),
        "/nonexistent/doorward.toml: 1 problem\n - |    \
         the file cannot be read: No such file or directory (os error 2)"
    );
}

#[test]
fn a_file_larger_than_its_bound_is_refused() {
    let most = config::FILE_BYTES_MAX as usize;
    assert!(parse(&" ".repeat(most)).is_ok());
    assert_eq!(faults(&" ".repeat(most + 1)), [" : the file is larger than 4 MiB"]);
}
