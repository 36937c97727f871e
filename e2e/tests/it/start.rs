//! What it starts with, what it leaves on the disk, and what it refuses to start with.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use test_support::doorward::ADMIN_PASSWORD;
use test_support::doorward::Builder;
use test_support::doorward::Doorward;
use test_support::http1::Request;
use test_support::wait::START_MAX;
use test_support::wait::wait_until;

use crate::scene::Scene;
use crate::scene::assert_fault;
use crate::scene::assert_problem;
use crate::tokens::Forged;

/// Checks that it does not start, ends with 1, and says why with all of `words`; returns its log.
#[track_caller]
fn assert_no_start(builder: Builder, words: &[&str]) -> String {
    let (status, log) = match builder.try_start() {
        Ok(_) => panic!("it started"),
        Err((status, log)) => (status, log),
    };
    assert_eq!(status.and_then(|status| status.code()), Some(1), "{log}");
    for word in words {
        assert!(log.contains(word), "no `{word}` in: {log}");
    }
    for noise in ["panicked", "RUST_BACKTRACE", "Os {", "stack backtrace"] {
        assert!(!log.contains(noise), "{log}");
    }
    log
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .permissions()
        .mode()
        & 0o777
}

#[test]
fn what_it_keeps_is_readable_by_its_owner_alone() {
    let doorward = Doorward::builder()
        .without_env("JWT_SECRET_KEY")
        .without_env("DOORWARD_ADMIN_PASSWORD")
        .start();
    let directory = doorward.data_dir();
    assert_eq!(mode(&directory), 0o700);
    for name in ["signing-secret", "doorward.db", "admin-password"] {
        assert_eq!(mode(&directory.join(name)), 0o600, "{name}");
    }
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        // One that came and went, as those of SQLite do, is nobody's to read.
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let others = metadata.permissions().mode() & 0o077;
        assert_eq!(others, 0, "{} is open to others", path.display());
    }
}

#[test]
fn the_first_administrator_finds_a_made_up_password_in_a_file_that_is_named() {
    let mut doorward = Doorward::builder().without_env("DOORWARD_ADMIN_PASSWORD").start();
    let path = doorward.data_dir().join("admin-password");
    let password = fs::read_to_string(&path).unwrap().trim().to_owned();
    assert!(password.len() >= 16, "{password}");
    doorward.login("admin", &password);
    let log = doorward.log() + &doorward.builder_of_this().stdout();
    assert!(log.contains(&path.display().to_string()), "{log}");
    assert!(!log.contains(&password), "{log}");

    doorward.sigterm_and_wait();
    let again = doorward.builder_of_this().clone().start();
    assert_eq!(fs::read_to_string(&path).unwrap().trim(), password);
    again.login("admin", &password);
    let other = Doorward::builder().without_env("DOORWARD_ADMIN_PASSWORD").start();
    let others = fs::read_to_string(other.data_dir().join("admin-password")).unwrap();
    assert_ne!(others.trim(), password);
}

#[test]
fn the_password_of_the_first_administrator_is_read_only_while_there_is_nobody() {
    let doorward = Doorward::builder().start();
    assert!(!doorward.data_dir().join("admin-password").exists());
    let mut doorward = doorward;
    doorward.sigterm_and_wait();
    let changed =
        doorward.builder_of_this().clone().env("DOORWARD_ADMIN_PASSWORD", "another-one-of-16");
    let doorward = changed.start();
    doorward.login("admin", ADMIN_PASSWORD);
    let fields = [("username", "admin"), ("password", "another-one-of-16")];
    assert_eq!(doorward.ask(&Request::post("/auth/login").form(&fields)).status, 401);
    assert!(!(doorward.log() + &doorward.builder_of_this().stdout()).contains(ADMIN_PASSWORD));
}

#[test]
fn a_secret_that_it_made_is_the_same_at_the_next_start_and_no_others() {
    let mut doorward = Doorward::builder().without_env("JWT_SECRET_KEY").start();
    let token = doorward.mint("admin", &[]);
    let secret = fs::read_to_string(doorward.data_dir().join("signing-secret")).unwrap();
    assert!(secret.trim().len() >= 32);
    doorward.sigterm_and_wait();
    let doorward = doorward.builder_of_this().clone().start();
    assert_eq!(doorward.ask(&Request::get("/x").bearer(&token)).status, 200);
    assert!(!doorward.log().contains(secret.trim()));
    let other = Doorward::builder().without_env("JWT_SECRET_KEY").start();
    let answer = other.ask(&Request::get("/x").bearer(&token));
    assert_problem(&answer, 401, "INVALID_TOKEN", "Could not validate credentials");
}

#[test]
fn a_data_directory_that_cannot_be_is_named() {
    let builder = Doorward::builder();
    let file = builder.dir().join("file");
    fs::write(&file, "somebody's").unwrap();
    for directory in [file.clone(), file.join("below"), builder.dir().join("no/such/parent")] {
        let named = directory.display().to_string();
        assert_no_start(builder.clone().data_at(&directory), &[&named]);
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "somebody's");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let builder = Doorward::builder().argument("--listen").argument(&address);
    assert_no_start(builder, &[&address]);
}

#[test]
fn two_on_one_data_directory_do_not_quietly_share_it() {
    let doorward = Doorward::builder().start();
    let token = doorward.mint("admin", &[]);
    let facts = fs::read(doorward.data_dir().join("run.json")).unwrap();
    let second = doorward.builder_of_this().cli(&["run", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.status.code(), Some(1), "{}", String::from_utf8_lossy(&second.stderr));
    assert_eq!(fs::read(doorward.data_dir().join("run.json")).unwrap(), facts);
    assert_eq!(doorward.ask(&Request::get("/x").bearer(&token)).status, 200);
    doorward.login_as_admin();
}

#[test]
fn a_weak_signing_secret_is_refused_and_not_repeated() {
    for weak in [
        "only-31-bytes-of-a-secret-here!",
        "s3cr3t",
        "your-secret-key-here-of-more-than-32-bytes",
        "changeme-changeme-changeme-changeme-changeme",
    ] {
        let builder = Doorward::builder().env("JWT_SECRET_KEY", weak);
        let log = assert_no_start(builder, &["JWT_SECRET_KEY"]);
        assert!(!log.contains(weak), "{log}");
    }
}

#[test]
fn a_signing_secret_of_its_own_that_was_cut_short_is_refused() {
    let mut doorward = Doorward::builder().without_env("JWT_SECRET_KEY").start();
    doorward.sigterm_and_wait();
    fs::write(doorward.data_dir().join("signing-secret"), "short").unwrap();
    assert_no_start(doorward.builder_of_this().clone(), &["signing-secret"]);
}

#[test]
fn a_database_that_is_none_is_named_and_left_alone() {
    let mut doorward = Doorward::builder().start();
    doorward.sigterm_and_wait();
    let path = doorward.data_dir().join("doorward.db");
    let garbage = "no database at all; ".repeat(500);
    fs::write(&path, &garbage).unwrap();
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(doorward.data_dir().join(format!("doorward.db{suffix}")));
    }
    let builder = doorward.builder_of_this().clone();
    let log = assert_no_start(builder.clone(), &["doorward.db"]);
    assert!(!log.contains("no database at all; no"), "{log}");
    assert_eq!(fs::read_to_string(&path).unwrap(), garbage);
    let output = builder.cli(&["user", "list"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("doorward.db"));
}

#[test]
fn everybody_is_let_in_only_where_it_says_dev() {
    for environment in ["prod", "staging"] {
        let builder = Doorward::builder().env("TEST_MODE", "true").env("ENV", environment);
        assert_no_start(builder, &["TEST_MODE", "dev"]);
    }
    assert_no_start(Doorward::builder().env("TEST_MODE", "true"), &["TEST_MODE", "dev"]);
}

#[test]
fn in_test_mode_whoever_sends_no_token_is_a_test_user_and_a_bad_token_is_still_refused() {
    let scene = Scene::started(|builder| builder.env("ENV", "dev").env("TEST_MODE", "true"));
    let echo = scene.echo(&Request::get("/api/x").header("X-User-Id", "2"));
    assert_eq!(echo.header("x-user-id"), Some("1"));
    assert_eq!(echo.header("x-username"), Some("test_user"));
    let bad = Forged::new("1", "test_user").sign_with("another-secret-that-is-long-enough-to-sign");
    let reached = scene.reached();
    for path in ["/api/x", "/open/x"] {
        let answer = scene.ask(&Request::get(path).bearer(&bad));
        assert_problem(&answer, 401, "INVALID_TOKEN", "Could not validate credentials");
    }
    let basic = Request::get("/api/x").header("Authorization", "Basic eDp5");
    assert_problem(&scene.ask(&basic), 401, "NOT_AUTHENTICATED", "Not authenticated");
    assert_fault(&scene.ask(&Request::get("/orders/1")), 403, "FORBIDDEN");
    assert_eq!(scene.reached(), reached);
    assert_eq!(scene.metric("doorward_test_mode"), 1);
    scene.doorward.wait_for_log("TEST MODE");
}

#[test]
fn without_test_mode_its_metric_is_zero() {
    assert_eq!(Scene::usual().metric("doorward_test_mode"), 0);
}

#[test]
fn the_old_environment_variables_stand_above_the_file() {
    let scene = Scene::built(
        "[auth]\naccess_ttl = \"1h\"\n\
         [tiers.free]\nlimits = [{ name = \"minute\", requests = 50, per = \"1m\" }]\n\
         [upstreams.echo]\nendpoints = [\"UPSTREAM\"]\n\
         [[routes]]\nname = \"api\"\npath = \"/api\"\nupstream = \"echo\"",
        |builder| {
            builder
                .env("RATE_LIMIT_FREE_TIER", "7")
                .env("RATE_LIMIT_PREMIUM_TIER", "70")
                .env("RATE_LIMIT_ADMIN_TIER", "700")
                .env("JWT_ACCESS_TOKEN_EXPIRE_MINUTES", "5")
        },
    );
    for (tier, limit) in [("free", 7), ("premium", 70), ("admin", 700)] {
        let token = Forged::new(&format!("u-{tier}"), "kim").tier(tier).sign();
        let answer = scene.ask(&Request::get("/api/x").bearer(&token));
        assert_eq!(answer.number("x-ratelimit-limit"), limit, "{answer}");
    }
    let fields = [("username", "admin"), ("password", ADMIN_PASSWORD)];
    let login = scene.ask(&Request::post("/auth/login").form(&fields));
    assert_eq!(login.json()["expires_in"], 300, "{login}");
}

#[test]
fn the_database_is_where_the_environment_says() {
    let builder = Doorward::builder();
    let path = builder.dir().join("elsewhere.db");
    let url =
        format!("sqlite+aiosqlite:////{}", path.display().to_string().trim_start_matches('/'));
    let doorward = builder.env("DATABASE_URL", &url).start();
    doorward.login_as_admin();
    assert_eq!(mode(&path), 0o600);
    assert!(!doorward.data_dir().join("doorward.db").exists());
}

/// So much of the 19 MiB that a password takes to check; the rest may be in use by others already.
const GIVEN_BACK_KIB: u64 = 16 * 1024;

#[test]
fn an_idle_process_gives_back_what_a_password_took() {
    let doorward = Doorward::builder().start();
    doorward.login_as_admin();
    let kib = |field: &str| -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", doorward.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
    };
    wait_until(START_MAX, || kib("VmHWM") >= kib("VmRSS") + GIVEN_BACK_KIB);
}

#[test]
fn what_was_never_touched_of_a_buffer_takes_no_memory() {
    let doorward = Doorward::builder().start();
    let status = fs::read_to_string(format!("/proc/{}/status", doorward.id())).unwrap();
    assert!(status.contains("THP_enabled:\t0\n"), "{status}");
}
