//! What the command line does to people and tokens, and what it says when it does not.

use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;
use std::process::Stdio;

use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;
use serde_json::Value;
use serde_json::json;
use test_support::built::program;
use test_support::doorward::Builder;
use test_support::doorward::Doorward;
use test_support::http1;
use test_support::http1::Request;
use test_support::process::Tied;
use test_support::process::tied_command;
use test_support::wait::START_MAX;
use test_support::wait::wait_until;

use crate::scene::PASSWORD;
use crate::scene::in_parallel;
use crate::tokens::claims_of;

/// A directory in which Doorward ran once, so that there is a database; nothing runs in it now.
fn house() -> Builder {
    let mut doorward = Doorward::builder().start();
    let (status, _) = doorward.sigterm_and_wait();
    assert_eq!(status.code(), Some(0));
    doorward.builder_of_this().clone()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Checks that a command failed with one clear paragraph that has all of `words`, and answered
/// nothing.
#[track_caller]
fn assert_fails(output: &Output, statuses: &[i32], words: &[&str]) {
    let text = said(output);
    let status = output.status.code().unwrap_or(-1);
    assert!(statuses.contains(&status), "{status}: {text}");
    assert!(output.stdout.is_empty(), "it answered: {}", String::from_utf8_lossy(&output.stdout));
    assert!(!text.trim().is_empty() && text.len() < 4000, "{text}");
    for word in words {
        assert!(text.contains(word), "no `{word}` in: {text}");
    }
    for noise in ["panicked", "RUST_BACKTRACE", "SELECT", "Error {", "Os {"] {
        assert!(!text.contains(noise), "{text}");
    }
    if status == 1 {
        assert!(!text.trim().contains("\n\n"), "more than one paragraph: {text}");
    }
}

fn users(house: &Builder) -> Vec<Value> {
    let list = house.must(&["user", "list", "--format", "json"]);
    serde_json::from_str(&list).unwrap_or_else(|error| panic!("{error}: {list}"))
}

#[track_caller]
fn user(house: &Builder, name: &str) -> Value {
    let all = users(house);
    let found = all.iter().find(|user| user["username"] == name);
    found.unwrap_or_else(|| panic!("no `{name}` in {all:?}")).clone()
}

#[test]
fn the_list_of_users_shows_who_was_created_and_how() {
    let house = house();
    let told = house.clone().env("DOORWARD_USER_PASSWORD", PASSWORD);
    let mut arguments = vec!["user", "create", "ann", "--tier", "premium", "--role", "user"];
    arguments.extend(["--email", "ann@example.com", "--full-name", "Ann Onym"]);
    arguments.extend(["--scopes", "orders:read,orders:write"]);
    told.must(&arguments);
    told.must(&["user", "create", "bob"]);
    let ann = user(&house, "ann");
    assert_eq!((&ann["tier"], &ann["role"]), (&"premium".into(), &"user".into()));
    assert_eq!(ann["email"], "ann@example.com");
    assert_eq!(ann["scopes"], serde_json::json!(["orders:read", "orders:write"]));
    assert_eq!(ann["is_active"], true);
    assert!(ann["id"].as_str().is_some_and(|id| id.len() == 36), "{ann}");
    assert_eq!(user(&house, "bob")["tier"], "free");
    let admin = user(&house, "admin");
    assert_eq!((&admin["tier"], &admin["role"]), (&"admin".into(), &"admin".into()));
    assert_eq!(users(&house).len(), 3);
    let text = house.must(&["user", "list"]);
    for name in ["admin", "ann", "bob", "premium"] {
        assert!(text.contains(name), "{text}");
    }
    for secret in [PASSWORD, "argon2"] {
        assert!(!text.contains(secret) && !format!("{:?}", users(&house)).contains(secret));
    }
}

#[test]
fn what_is_set_for_a_user_is_listed() {
    let house = house();
    house.create_user("ann", "free", PASSWORD);
    house.must(&["user", "set-tier", "ann", "premium"]);
    assert_eq!(user(&house, "ann")["tier"], "premium");
    house.must(&["user", "disable", "ann"]);
    house.must(&["user", "disable", "ann"]);
    assert_eq!(user(&house, "ann")["is_active"], false);
    house.must(&["user", "enable", "ann"]);
    assert_eq!(user(&house, "ann")["is_active"], true);
}

#[test]
fn what_an_operator_does_to_a_user_is_in_force_at_a_doorward_that_runs() {
    let config = "[limits]\nauth = [{ name = \"minute\", requests = 10000, per = \"1m\" }]\n\
                  [roles]\neditor = [\"orders:write\"]\n";
    let doorward = Doorward::builder().config(config).start();
    doorward.create_user("ann", "free", PASSWORD);
    let show = || -> Value {
        let shown = doorward.must(&["user", "show", "ann", "--format", "json"]);
        serde_json::from_str(&shown).unwrap()
    };
    doorward.must(&["user", "set-role", "ann", "editor"]);
    doorward.must(&["user", "set-scopes", "ann", "a:read,b:read"]);
    let ann = show();
    assert_eq!((&ann["role"], &ann["last_login"]), (&"editor".into(), &Value::Null));
    assert_eq!(ann["scopes"], serde_json::json!(["a:read", "b:read"]));
    let tokens = doorward.login("ann", PASSWORD);
    assert_eq!(claims_of(&tokens.access)["scope"], "a:read b:read orders:write");
    assert!(show()["last_login"].as_str().is_some_and(|at| at.ends_with('Z')), "{}", show());
    assert!(doorward.must(&["user", "show", "ann"]).contains("role         editor"));
    doorward.must(&["user", "set-scopes", "ann"]);
    assert_eq!(show()["scopes"], serde_json::json!([]));

    let is_answered = |status: u16, access: &str| {
        let me = Request::get("/auth/me").bearer(access);
        wait_until(START_MAX, || doorward.ask(&me).status == status);
    };
    let is_out = |access: &str| is_answered(401, access);
    doorward.must(&["user", "end-sessions", "ann"]);
    is_out(&tokens.access);
    let tokens = doorward.login("ann", PASSWORD);
    let new = "seven lanterns on the quay";
    let told = doorward.builder_of_this().clone().env("DOORWARD_USER_PASSWORD", new);
    let said = told.must(&["user", "set-password", "ann"]);
    assert!(!said.contains(new), "{said}");
    is_out(&tokens.access);
    let tokens = doorward.login("ann", new);
    assert_fails(&doorward.cli(&["user", "delete", "ann"]), &[2], &["--yes"]);
    doorward.must(&["user", "delete", "ann", "--yes"]);
    is_answered(404, &tokens.access);
    assert_fails(&doorward.cli(&["user", "show", "ann"]), &[1], &["no user `ann`"]);
    let last = doorward.cli(&["user", "delete", "admin", "--yes"]);
    assert_fails(&last, &[1], &["`admin` is the last administrator"]);
    let role = doorward.cli(&["user", "set-role", "admin", "editer"]);
    assert_fails(&role, &[1], &["no role `editer`", "`editor`"]);
}

#[test]
fn a_user_is_created_once() {
    let house = house();
    house.create_user("ann", "free", PASSWORD);
    let told = house.clone().env("DOORWARD_USER_PASSWORD", PASSWORD);
    assert_fails(&told.cli(&["user", "create", "ann"]), &[1], &["`ann` is taken"]);
    let taken = told.cli(&["user", "create", "eve", "--email", "ann"]);
    assert_fails(&taken, &[1], &["`ann`"]);
    assert_eq!(users(&house).len(), 2);
}

#[test]
fn a_password_is_read_from_standard_input_where_the_environment_has_none() {
    let house = house();
    let created = house.cli_with_input(&["user", "create", "ann"], &format!("{PASSWORD}\n"));
    assert!(created.status.success(), "{}", said(&created));
    let doorward = house.clone().start();
    doorward.login("ann", PASSWORD);
    assert_fails(&house.cli(&["user", "create", "bob"]), &[1], &["password"]);
}

#[test]
fn a_weak_password_is_refused_and_not_repeated() {
    let house = house();
    for weak in ["kurz-1!", "x", "seven-7"] {
        let told = house.clone().env("DOORWARD_USER_PASSWORD", weak);
        let output = told.cli(&["user", "create", "ann"]);
        assert_fails(&output, &[1], &["at least 8"]);
        assert!(weak.trim().len() < 2 || !said(&output).contains(weak), "{}", said(&output));
        let output = house.cli_with_input(&["user", "create", "ann"], &format!("{weak}\n"));
        assert_fails(&output, &[1], &["at least 8"]);
    }
    assert_eq!(users(&house).len(), 1);
}

#[test]
fn a_user_that_cannot_be_is_refused_with_what_could_be() {
    let house = house().env("DOORWARD_USER_PASSWORD", PASSWORD);
    let long = "x".repeat(51);
    for (arguments, words) in [
        (&["ann", "--tier", "gold"][..], &["`gold`", "`admin`, `free`, `premium`"][..]),
        (&["ann", "--role", "editor"], &["`editor`", "`admin`", "`user`"]),
        (&["ann", "--email", "nowhere"], &["`nowhere`"]),
        (&["ann", "--scopes", "a\"b"], &["scope"]),
        (&[&long], &["50"]),
        (&[" ann"], &["user name"]),
        (&["a\nb"], &["user name"]),
    ] {
        let output = house.cli(&[&["user", "create"], arguments].concat());
        assert_fails(&output, &[1, 2], words);
    }
    assert_eq!(users(&house).len(), 1);
}

#[test]
fn nothing_can_be_done_to_a_user_that_nobody_is() {
    let house = house();
    for arguments in [
        &["user", "disable", "nobody"][..],
        &["user", "enable", "nobody"],
        &["user", "set-tier", "nobody", "free"],
        &["user", "show", "nobody"],
        &["user", "set-role", "nobody", "user"],
        &["user", "set-scopes", "nobody", "a"],
        &["user", "end-sessions", "nobody"],
        &["user", "delete", "nobody", "--yes"],
        &["token", "mint", "--user", "nobody"],
    ] {
        assert_fails(&house.cli(arguments), &[1], &["no user `nobody`"]);
    }
    let output = house.cli(&["user", "set-tier", "admin", "gold"]);
    assert_fails(&output, &[1, 2], &["`gold`", "`admin`, `free`, `premium`"]);
    assert_eq!(user(&house, "admin")["tier"], "admin");
}

#[test]
fn a_token_is_minted_as_asked() {
    let house = house();
    house.create_user("ann", "free", PASSWORD);
    let mint = |more: &[&str]| {
        claims_of(&house.must(&[&["token", "mint", "--user", "ann"], more].concat()))
    };
    let plain = mint(&[]);
    assert_eq!((&plain["username"], &plain["tier"]), (&"ann".into(), &"free".into()));
    assert_eq!(plain["user_id"], user(&house, "ann")["id"]);
    let life_s = |claims: &Value| claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    for (ttl, seconds) in [("1s", 1), ("90s", 90), ("24h", 86_400), ("1d", 86_400)] {
        assert_eq!(life_s(&mint(&["--ttl", ttl])), seconds);
    }
    assert_eq!(mint(&["--tier", "premium"])["tier"], "premium");
    let scoped = mint(&["--scopes", "a:read,b:write"]);
    assert_eq!(scoped["scopes"], serde_json::json!(["a:read", "b:write"]));
    assert_ne!(mint(&[])["jti"], plain["jti"]);
}

#[test]
fn a_token_that_would_be_refused_is_not_minted() {
    let house = house();
    house.create_user("ann", "free", PASSWORD);
    let mint = |more: &[&str]| house.cli(&[&["token", "mint", "--user", "ann"], more].concat());
    for ttl in ["0", "0s", "-1h", "soon", "", "1", "1.5h"] {
        assert_fails(&mint(&["--ttl", ttl]), &[1, 2], &[]);
    }
    for ttl in ["25h", "86401s", "400d"] {
        assert_fails(&mint(&["--ttl", ttl]), &[1], &["86400s"]);
    }
    assert_fails(&mint(&["--tier", "Gold plus"]), &[1, 2], &["Gold plus"]);
    assert_fails(&mint(&["--scopes", "a\"b"]), &[1, 2], &["scope"]);
    house.must(&["user", "disable", "ann"]);
    assert_fails(&mint(&[]), &[1], &["`ann` is disabled"]);
}

#[test]
fn a_wrong_command_line_is_2_and_says_how_it_is_used() {
    let builder = Doorward::builder();
    for arguments in [
        &["frobnicate"][..],
        &["run", "--nonsense"],
        &["run", "--listen", "nowhere"],
        &["token", "mint"],
        &["token", "burn"],
        &["user"],
        &["user", "create"],
        &["user", "set-tier", "ann"],
        &["user", "list", "--format", "xml"],
        &["check", "--format", "xml"],
        &["db"],
        &["db", "copy"],
    ] {
        let output = builder.cli(arguments);
        assert_fails(&output, &[2], &[]);
    }
    assert!(!builder.data_dir().exists(), "a wrong command line changed something");
}

#[test]
fn a_command_line_that_cannot_be_followed_says_what_could_be() {
    let builder = Doorward::builder();
    assert_fails(&builder.cli(&["check"]), &[1], &["doorward check doorward.toml"]);
    let output = builder.cli(&["run", "--upstream", "ftp://x"]);
    assert_fails(&output, &[1], &["--upstream", "http://"]);
}

#[test]
fn every_command_explains_itself() {
    let builder = Doorward::builder();
    for arguments in [
        &[][..],
        &["run"],
        &["check"],
        &["schema"],
        &["token"],
        &["token", "mint"],
        &["user"],
        &["user", "create"],
        &["user", "list"],
        &["user", "set-tier"],
        &["user", "disable"],
        &["user", "enable"],
        &["user", "import"],
        &["user", "show"],
        &["user", "set-role"],
        &["user", "set-scopes"],
        &["user", "set-password"],
        &["user", "end-sessions"],
        &["user", "delete"],
        &["db"],
        &["db", "migrate"],
        &["db", "status"],
        &["db", "copy"],
    ] {
        let help = builder.must(&[arguments, &["--help"]].concat());
        assert!(help.contains("Usage: doorward"), "{arguments:?}: {help}");
        if arguments.len() == 2 || arguments == ["run"] {
            for option in ["--config", "--data-dir"] {
                assert!(help.contains(option), "{arguments:?} has no `{option}`: {help}");
            }
        }
    }
    assert!(builder.must(&["--version"]).starts_with("doorward "));
    assert!(!builder.data_dir().exists(), "help changed something");
}

#[test]
fn the_schema_printed_is_the_one_beside_the_annotated_file() {
    let printed = Doorward::builder().must(&["schema"]);
    let kept = include_str!("../../../config/schema.json");
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(read(&printed), read(kept));
}

#[test]
fn commands_at_the_same_time_do_not_stumble_over_each_other() {
    let house = house();
    let outputs = in_parallel(12, |_| house.cli(&["user", "list"]));
    for output in outputs {
        assert!(output.status.success(), "{}", said(&output));
    }
}

#[test]
fn a_healthcheck_changes_nothing_on_disk() {
    let nowhere = Doorward::builder();
    assert!(!nowhere.cli(&["healthcheck"]).status.success());
    assert!(!nowhere.data_dir().exists());
}

#[test]
fn an_echo_started_alone_says_what_it_was_asked_and_ends_when_it_is_told_to() {
    let mut command = tied_command(&program("doorward", "doorward"), Signal::KILL, None);
    let (output, input) = std::io::pipe().unwrap();
    command.args(["echo", "--listen", "127.0.0.1:0"]).stdin(Stdio::null()).stderr(input);
    let mut echo = Tied::spawn(command, Signal::KILL).unwrap();
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).unwrap();
    let line: Value = serde_json::from_str(&line).unwrap();
    let told = line["message"].as_str().unwrap();
    let addr: SocketAddr = told.strip_prefix("an echo at ").unwrap().parse().unwrap();
    let asked = http1::ask(addr, &Request::post("/orders/7?x=1").header("X-User-Id", "u-7"));
    assert_eq!(asked.status, 200, "{asked}");
    let told = asked.json();
    assert_eq!((&told["method"], &told["target"]), (&json!("POST"), &json!("/orders/7?x=1")));
    assert_eq!(told["headers"]["x-user-id"], "u-7", "{told}");
    let id = Pid::from_raw(i32::try_from(echo.id()).unwrap()).unwrap();
    kill_process(id, Signal::TERM).unwrap();
    let mut status = None;
    wait_until(START_MAX, || {
        status = echo.ended();
        status.is_some()
    });
    assert_eq!(status.and_then(|status| status.code()), Some(0));
}

/// Whether the process called so, a number or `self`, has SIGHUP among the signals of this `field`.
fn has_hangup(process: &str, field: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() & 1 == 1
}

#[test]
fn under_nohup_it_outlives_its_terminal_and_without_it_does_not() {
    let doorward = program("doorward", "doorward");
    // These tests themselves may run under it.
    let is_ignored_here = has_hangup("self", "SigIgn:");
    for (first, then, is_ignored) in
        [(Path::new("/usr/bin/nohup"), Some(&doorward), true), (&doorward, None, is_ignored_here)]
    {
        let mut command = tied_command(first, Signal::KILL, None);
        let (output, input) = std::io::pipe().unwrap();
        command.args(then).args(["echo", "--listen", "127.0.0.1:0"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(input);
        let mut echo = Tied::spawn(command, Signal::KILL).unwrap();
        // By then it listens to signals.
        let (mut said, mut output) = (String::new(), BufReader::new(output));
        while !said.contains("an echo at ") {
            assert_ne!(output.read_line(&mut said).unwrap(), 0, "{said}");
        }
        let id = echo.id().to_string();
        let masks = ["SigIgn:", "SigCgt:"].map(|field| has_hangup(&id, field));
        assert_eq!(masks, [is_ignored, !is_ignored]);
        echo.stop();
    }
}
