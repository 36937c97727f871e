//! Taking over people: of a database as SQLAlchemy leaves it, and of lines of JSON.

use std::path::PathBuf;

use admin_api::Changed;
use admin_api::Import;
use admin_api::ImportError;
use admin_api::ImportReport;
use admin_api::ImportSource;
use admin_api::Mode;
use admin_api::Removed;
use admin_api::Who;
use test_support::identity_provider::Person;

use crate::browser::Street;
use crate::support::*;

/// By passlib 1.7.4, of [`PASSWORD`].
const BCRYPT: &str = "$2b$04$4F281jDUMLKuRHzOT2XvO.8REmmq8R6XIYZh0QYOzOU6j72mtdcV6";
const BCRYPT_SHA256: &str =
    "$bcrypt-sha256$v=2,t=2b,r=4$fb/rUo3.Evu.z12H/yWwFe$kiF7.X5.1opHImaE5atdySjuKqhcKPu";
/// By bcrypt, of `Grüße, 世界 🌍`.
const OTHER: &str = "$2b$04$lW4YlW.Dd54bZfWkp0uqNeHhOZLgfB.NgzUoOWBgZ0BpYrTIEy01a";
const OTHER_PASSWORD: &str = "Grüße, 世界 🌍";

/// As SQLAlchemy writes it for SQLite.
const TABLE: &str = "CREATE TABLE users (
    id CHAR(32) NOT NULL, username VARCHAR(50) NOT NULL, email VARCHAR(255) NOT NULL,
    hashed_password VARCHAR(255), full_name VARCHAR(255), tier VARCHAR(7) NOT NULL,
    role VARCHAR(20) NOT NULL, is_active BOOLEAN NOT NULL, is_verified BOOLEAN,
    last_login DATETIME, created_at DATETIME, updated_at DATETIME, avatar_url VARCHAR(500),
    PRIMARY KEY (id), UNIQUE (username), UNIQUE (email))";

impl House {
    fn old_file(&self) -> PathBuf {
        self.place.dir().join("old.db")
    }

    /// Runs statements in the old deployment's database.
    fn old(&self, statements: &str) {
        let connection = rusqlite::Connection::open(self.old_file()).unwrap();
        connection.execute_batch(statements).unwrap();
    }

    fn old_people(&self) {
        self.old(&format!(
            "{TABLE};
             INSERT INTO users VALUES
             ('6fa459eaee8a3ca4894edb77e160355e', 'bea', 'bea@example.com', '{BCRYPT}', 'Bea B.',
              'premium', 'editor', 1, 1, '2025-03-01 10:00:00.500000', '2025-01-01 12:00:00.000000',
              NULL, NULL),
             ('16fd2706-8baf-433b-82eb-8c7fada847da', 'cem', 'Cem@example.com', '{BCRYPT_SHA256}',
              NULL, 'FREE', 'user', 1, NULL, NULL, '2025-01-01T12:00:00+00:00', NULL, NULL),
             ('886313e1-3b8a-5372-9b90-0c9aee199e5d', 'dan', 'dan@example.com', '{BCRYPT}', NULL,
              'free', 'user', 0, 0, NULL, NULL, NULL, NULL)"
        ));
    }

    async fn take(&self, import: Import) -> Result<ImportReport, ImportError> {
        let source = ImportSource::OldDeployment(config::Database::Sqlite(self.old_file()));
        self.api.users().import(source, import).await
    }

    async fn take_lines(&self, lines: &str, import: Import) -> ImportReport {
        let source = ImportSource::JsonLines(Box::new(std::io::Cursor::new(lines.to_owned())));
        self.api.users().import(source, import).await.unwrap()
    }

    async fn enters(&self, name: &str, password: &str) -> Answer {
        self.ask(login(&[("username", name), ("password", password)])).await
    }
}

fn kept() -> Import {
    Import {
        mode: Mode::Kept,
        changed: Changed::Told,
        removed: Removed::StayAway,
        unsaid_tier: tier("free"),
        unknown_tier: None,
    }
}

fn updating() -> Import {
    Import { changed: Changed::Updated, ..kept() }
}

fn dry() -> Import {
    Import { mode: Mode::DryRun, ..kept() }
}

fn added(added: u64) -> ImportReport {
    ImportReport { added, ..ImportReport::default() }
}

fn unchanged(unchanged: u64) -> ImportReport {
    ImportReport { unchanged, ..ImportReport::default() }
}

#[tokio::test]
async fn people_of_the_old_deployment_sign_in_here_as_who_they_were() {
    let house = House::empty("").await;
    house.old_people();
    let before = std::fs::read(house.old_file()).unwrap();
    assert_eq!(house.take(kept()).await.unwrap(), added(3));
    assert_eq!(std::fs::read(house.old_file()).unwrap(), before, "it is only read");
    for (name, id, tier, scopes) in [
        ("bea", "6fa459ea-ee8a-3ca4-894e-db77e160355e", "premium", "orders:read orders:write"),
        ("Cem@example.com", "16fd2706-8baf-433b-82eb-8c7fada847da", "free", ""),
    ] {
        let pair = house.enters(name, PASSWORD).await.pair();
        let claims = claims(&pair.access);
        assert_eq!((&claims["user_id"], &claims["tier"]), (&id.into(), &tier.into()));
        assert_eq!(claims["scope"], scopes);
        assert_eq!(house.me(&pair.access).await.json()["id"], id);
    }
    assert_eq!(house.enters("dan", PASSWORD).await.status, 401, "dan may not come in");
    let noon = 1_735_732_800_000_i64;
    let whole = format!(
        "SELECT count(*) FROM users WHERE username = 'bea' AND created_at = {noon}
             AND full_name = 'Bea B.' AND is_verified AND email = 'bea@example.com'"
    );
    assert_eq!(house.count(&whole), 1);
    let now = house.hand.now().as_millis();
    let dan = format!("SELECT count(*) FROM users WHERE username = 'dan' AND created_at = {now}");
    assert_eq!(house.count(&dan), 1);
}

#[tokio::test]
async fn when_somebody_last_signed_in_there_is_kept() {
    let house = House::empty("").await;
    house.old_people();
    house.take(kept()).await.unwrap();
    let at = "SELECT last_login FROM users WHERE username = 'bea'";
    assert_eq!(house.count(at), 1_740_823_200_500);
}

#[tokio::test]
async fn a_second_import_adds_who_is_new_and_changes_nothing_else() {
    let house = House::empty("").await;
    house.old_people();
    house.take(kept()).await.unwrap();
    assert_eq!(house.take(updating()).await.unwrap(), unchanged(3));
    // That gives a hash of ours.
    house.enters("bea", PASSWORD).await.pair();
    assert_eq!(house.take(updating()).await.unwrap(), unchanged(3));
    house.old(
        "INSERT INTO users (id, username, email, tier, role, is_active)
               VALUES ('5', 'eve', 'e@example.com', 'free', 'user', 1)",
    );
    let report = house.take(updating()).await.unwrap();
    assert_eq!((report.added, report.unchanged, report.refused), (1, 3, 0));
    house.enters("bea", PASSWORD).await.pair();
    assert_eq!(house.enters("eve", "x").await.status, 401, "eve has no password");
}

#[tokio::test]
async fn who_is_otherwise_there_is_told_and_changed_only_when_that_is_asked() {
    let house = House::empty("").await;
    house.old_people();
    house.take(kept()).await.unwrap();
    let bea = house.enters("bea", PASSWORD).await.pair();
    let cem = house.enters("cem", PASSWORD).await.pair();
    house.old(
        "UPDATE users SET tier = 'free', is_active = 0 WHERE username = 'bea';
               UPDATE users SET username = 'cemile', role = 'editor' WHERE username = 'cem'",
    );
    let report = house.take(kept()).await.unwrap();
    assert_eq!((report.different, report.unchanged, report.updated), (2, 1, 0));
    assert_eq!(
        report.differences,
        [
            "user `16fd2706-8baf-433b-82eb-8c7fada847da`: `cem` differs in: user name, role",
            "user `6fa459eaee8a3ca4894edb77e160355e`: `bea` differs in: tier, active",
        ]
    );
    house.me(&bea.access).await.is_ok();
    let would = house.take(Import { mode: Mode::DryRun, ..updating() }).await.unwrap();
    assert_eq!((would.updated, house.me(&bea.access).await.status.as_u16()), (2, 200));
    let report = house.take(updating()).await.unwrap();
    assert_eq!((report.updated, report.different, report.refused), (2, 0, 0));
    assert_eq!(house.me(&bea.access).await.status, 401, "bea is kept out at once");
    house.refresh(&bea.refresh).await.is_invalid_refresh();
    let again = house.refresh(&cem.refresh).await.pair();
    assert_eq!(claims(&again.access)["username"], "cemile");
    assert_eq!(claims(&again.access)["scope"], "orders:read orders:write");
    let notes = |action: &str, detail: &str| {
        let count = "SELECT count(*) FROM audit WHERE actor_name = 'command line'";
        house.count(&format!("{count} AND action = '{action}' AND detail = '{detail}'"))
    };
    assert_eq!(notes("people.imported", "3 added and 0 updated so far"), 1);
    assert_eq!(notes("people.imported", "0 added and 2 updated so far"), 1);
    assert_eq!(notes("user.changed", "imported: tier, active"), 1);
    assert_eq!(house.take(updating()).await.unwrap(), unchanged(3));
    assert_eq!(house.count("SELECT count(*) FROM audit WHERE action = 'people.imported'"), 2);
}

#[tokio::test]
async fn a_password_that_was_used_here_is_not_replaced_and_another_one_is() {
    let house = House::empty("").await;
    house.old_people();
    house.take(kept()).await.unwrap();
    house.enters("bea", PASSWORD).await.pair();
    house.old(&format!("UPDATE users SET hashed_password = '{OTHER}'"));
    let report = house.take(updating()).await.unwrap();
    assert_eq!((report.updated, report.unchanged), (2, 1));
    assert!(report.differences.iter().all(|line| line.ends_with("differs in: password")));
    house.enters("bea", PASSWORD).await.pair();
    house.enters("cem", OTHER_PASSWORD).await.pair();
    assert_eq!(house.enters("cem", PASSWORD).await.status, 401);
}

#[tokio::test]
async fn a_password_that_is_replaced_ends_the_sessions_that_were_open() {
    let street = Street::new().await;
    let house = &street.house;
    house.old_people();
    let bea = Person::called("bea");
    house.old(&format!(
        "CREATE TABLE oauth_accounts (user_id CHAR(32), provider TEXT, provider_user_id TEXT);
         INSERT INTO oauth_accounts VALUES
             ('6fa459eaee8a3ca4894edb77e160355e', 'google', '{}')",
        bea.subject
    ));
    house.take(kept()).await.unwrap();
    // By the provider: a password that is used here is never replaced.
    let pair = street.sign_in("google", bea).await.pair();
    let other = house.enters("cem", PASSWORD).await.pair();
    house.me(&pair.access).await.is_ok();
    house.old(&format!("UPDATE users SET hashed_password = '{OTHER}' WHERE username = 'bea'"));
    let report = house.take(updating()).await.unwrap();
    assert_eq!((report.updated, report.unchanged), (1, 2), "{report:?}");
    house.me(&pair.access).await.is_problem(401, "Could not validate credentials", "TOKEN_REVOKED");
    house.refresh(&pair.refresh).await.is_invalid_refresh();
    assert_eq!(house.enters("bea", PASSWORD).await.status, 401);
    house.enters("bea", OTHER_PASSWORD).await.pair();
    house.me(&other.access).await.is_ok();
    house.refresh(&other.refresh).await.pair();
}

#[tokio::test]
async fn a_new_address_is_known_to_be_theirs_only_where_that_is_said() {
    let house = House::empty("").await;
    let line = |name: &str, email: &str, more: &str| {
        format!(
            "{{\"username\":\"{name}\",\"email\":\"{email}\",\"hashed_password\":\"{BCRYPT}\"{more}}}"
        )
    };
    let verified = ",\"is_verified\":true";
    let before = ["bea", "cem", "dan"].map(|name| line(name, &format!("{name}@one"), verified));
    assert_eq!(house.take_lines(&before.join("\n"), kept()).await, added(3));
    let after =
        [line("bea", "bea@two", ""), line("cem", "cem@two", verified), line("dan", "dan@one", "")];
    let report = house.take_lines(&after.join("\n"), updating()).await;
    assert_eq!(
        report.differences,
        [
            "line 1: `bea` differs in: e-mail address, verified",
            "line 2: `cem` differs in: e-mail address",
        ]
    );
    assert_eq!((report.updated, report.unchanged), (2, 1));
    for (address, is_verified) in [("bea@two", false), ("cem@two", true), ("dan@one", true)] {
        let pair = house.enters(address, PASSWORD).await.pair();
        assert_eq!(house.me(&pair.access).await.json()["is_verified"], is_verified, "{address}");
    }
}

#[tokio::test]
async fn who_cannot_be_taken_over_is_named_with_the_reason_and_the_others_come() {
    let house = House::with_ann().await;
    let long_name = "x".repeat(51);
    let long_email = format!("{}@example.com", "x".repeat(244));
    let dear = "$2b$31$4F281jDUMLKuRHzOT2XvO.8REmmq8R6XIYZh0QYOzOU6j72mtdcV6";
    let lines = [
        (r#"{"username":"ok1"}"#.to_owned(), None),
        (format!(r#"{{"username":"{long_name}"}}"#), Some("is no user name")),
        (format!(r#"{{"username":"a","email":"{long_email}"}}"#), Some("at most 255 characters")),
        (r#"{"username":"b","tier":"gold"}"#.to_owned(), Some("no tier `gold`; there are `admin`")),
        (r#"{"username":"c","tier":"Gold plus"}"#.to_owned(), Some("`Gold plus` is no tier name")),
        (r#"{"username":"d","role":"root"}"#.to_owned(), Some("no role `root`; there are `admin`")),
        (format!(r#"{{"username":"e","hashed_password":"{dear}"}}"#), Some("cost 31")),
        (r#"{"username":"f","hashed_password":"hunter2"}"#.to_owned(), Some("unknown kind")),
        (r#"{"username":"g","id":"7","email":"ann"}"#.to_owned(), Some("no e-mail address")),
        (r#"{"username":"ann@example.com"}"#.to_owned(), Some("`ann@example.com` is taken")),
        (r#"{"username":"ann","id":"7"}"#.to_owned(), Some("`ann` is taken")),
        (r#"{"username":"h","email":"OK1@x"}"#.to_owned(), None),
        (r#"{"username":"OK1@x"}"#.to_owned(), Some("`OK1@x` stands in an earlier row too")),
        (r#"{"username":"i","id":"9"}"#.to_owned(), None),
        (r#"{"username":"j","id":"9"}"#.to_owned(), Some("`9` stands in an earlier row too")),
        (r#"{"username":"k","scopes":["a b"]}"#.to_owned(), Some("cannot be added as a scope")),
        (r#"{"username":"l","password":"x"}"#.to_owned(), Some("unknown field `password`")),
        ("soon".to_owned(), Some("no JSON")),
        (r#"{"username":"\u001b[2Jm"}"#.to_owned(), Some("\u{fffd}[2Jm")),
        (r#"{"username":"ann"}"#.to_owned(), None),
    ];
    let text: Vec<&str> = lines.iter().map(|(line, _)| line.as_str()).collect();
    let text = text.join("\n");
    let would = house.take_lines(&text, dry()).await;
    assert_eq!(house.count("SELECT count(*) FROM users"), 1, "a dry run writes nothing");
    let report = house.take_lines(&text, kept()).await;
    assert_eq!(would, report, "a dry run says what will be");
    let expected = lines.iter().enumerate().filter_map(|(i, (_, fault))| Some((i + 1, (*fault)?)));
    let expected: Vec<_> = expected.collect();
    assert_eq!(report.faults.len(), expected.len(), "{:#?}", report.faults);
    for (fault, (number, words)) in report.faults.iter().zip(&expected) {
        assert!(fault.starts_with(&format!("line {number}: ")), "{fault}");
        assert!(fault.contains(words) && !fault.contains("hunter2"), "{fault}: {words}");
    }
    assert_eq!((report.added, report.unchanged), (3, 1));
    assert_eq!(report.refused, expected.len() as u64);
    assert_eq!(house.count("SELECT count(*) FROM users"), 4);
}

#[tokio::test]
async fn the_last_who_manages_the_others_is_not_taken_away_by_an_import() {
    let house = House::empty("").await;
    let line = r#"{"username":"root","role":"admin","id":"1"}"#;
    assert_eq!(house.take_lines(line, kept()).await, added(1));
    for other in
        [r#"{"username":"root","role":"user"}"#, r#"{"id":1,"username":"root","is_active":false}"#]
    {
        let report = house.take_lines(other, updating()).await;
        assert!(report.faults[0].contains("`root` is the last administrator"), "{report:?}");
    }
    house.take_lines(r#"{"username":"root2","role":"admin"}"#, kept()).await;
    let report = house.take_lines(r#"{"username":"root","role":"user"}"#, updating()).await;
    assert_eq!((report.updated, report.refused), (1, 0));
}

#[tokio::test]
async fn an_unknown_tier_becomes_the_one_that_is_named_for_that() {
    let house = House::empty("").await;
    let lines = "{\"username\":\"a\",\"tier\":\"gold\"}\n{\"username\":\"b\",\"tier\":\"Premium\"}\n\
                 {\"username\":\"c\"}\n{\"username\":\"d\",\"tier\":\"Gold plus\"}";
    let import = Import { unknown_tier: Some(tier("premium")), ..kept() };
    assert_eq!(house.take_lines(lines, import.clone()).await, added(4));
    assert_eq!(house.take_lines(lines, import).await, unchanged(4));
    assert_eq!(house.count("SELECT count(*) FROM users WHERE tier = 'premium'"), 3);
    assert_eq!(house.count("SELECT count(*) FROM users WHERE tier = 'free'"), 1);
    let import = Import { unknown_tier: Some(tier("gold")), ..kept() };
    let source = ImportSource::JsonLines(Box::new(std::io::empty()));
    let error = house.api.users().import(source, import).await.unwrap_err();
    assert!(error.to_string().contains("no tier `gold`"), "{error}");
}

#[tokio::test]
async fn a_hundred_faults_are_told_and_the_hundred_and_first_is_counted() {
    let house = House::empty("").await;
    for faults in [100, 101] {
        let report = house.take_lines(&"{}\n".repeat(faults), kept()).await;
        assert_eq!((report.refused, report.faults.len()), (faults as u64, 100));
    }
}

#[tokio::test]
async fn many_people_come_in_batches() {
    let house = House::empty("").await;
    let lines = |count: usize| {
        let line = |i| format!("{{\"username\":\"user{i}\",\"hashed_password\":\"{BCRYPT}\"}}\n");
        (0..count).map(line).collect::<String>()
    };
    assert_eq!(house.take_lines(&lines(512), kept()).await, added(512));
    let report = house.take_lines(&lines(513), kept()).await;
    assert_eq!((report.added, report.unchanged), (1, 512));
    assert_eq!(house.count("SELECT count(*) FROM users"), 513);
    house.enters("user512", PASSWORD).await.pair();
}

#[tokio::test]
async fn a_table_with_nothing_but_ids_and_addresses_is_enough() {
    let house = House::empty("").await;
    house.old(
        "CREATE TABLE users (id INTEGER PRIMARY KEY, email VARCHAR, created_at FLOAT);
               INSERT INTO users VALUES (17, 'bea@example.com', 1735732800.25), (18, NULL, NULL)",
    );
    let report = house.take(kept()).await.unwrap();
    assert_eq!(report.faults, ["user `18`: there is neither a user name nor an e-mail address"]);
    let whole = "SELECT count(*) FROM users
                 WHERE id = '17' AND username = 'bea@example.com' AND email = username
                     AND created_at = 1735732800250 AND is_active AND tier = 'free'
                     AND role = 'user'";
    assert_eq!(house.count(whole), 1);
    assert_eq!(house.take(kept()).await.unwrap().unchanged, 1);
}

#[tokio::test]
async fn who_came_by_a_provider_there_comes_by_it_here_as_who_they_were() {
    let street = Street::new().await;
    let house = &street.house;
    house.old_people();
    let (bea, cem) = (Person::called("bea"), Person::called("cem"));
    house.old(&format!(
        "CREATE TABLE oauth_accounts (id CHAR(32) PRIMARY KEY, user_id CHAR(32) NOT NULL,
             provider VARCHAR(50) NOT NULL, provider_user_id VARCHAR(255) NOT NULL,
             created_at DATETIME, UNIQUE (provider, provider_user_id));
         INSERT INTO oauth_accounts VALUES
             ('1', '6fa459eaee8a3ca4894edb77e160355e', 'google', '{}', '2025-01-01 12:00:00.000000'),
             ('2', '16fd2706-8baf-433b-82eb-8c7fada847da', 'GITHUB', '{}', NULL),
             ('3', '16fd2706-8baf-433b-82eb-8c7fada847da', 'facebook', '1', NULL),
             ('4', '99', 'google', '99', NULL), ('5', '99', 'google', '', NULL)",
        bea.subject, cem.number
    ));
    let would = house.take(dry()).await.unwrap();
    let report = house.take(kept()).await.unwrap();
    assert_eq!(would, report, "a dry run says what will be");
    assert_eq!((report.added, report.accounts_added, report.refused), (3, 2, 3));
    let cem_id = "16fd2706-8baf-433b-82eb-8c7fada847da";
    assert_eq!(report.faults, [
        format!(
            "account of user `{cem_id}` at `facebook`: no provider `facebook`: configure it as \
             `[auth.oauth.oidc.facebook]` first"
        ),
        "account of user `99` at `google`: `provider` and `provider_user_id` do not say who comes \
         by it"
            .to_owned(),
        "account of user `99` at `google`: there is no user with the id `99`".to_owned(),
    ]);
    for (way, person, id) in
        [("google", bea, "6fa459ea-ee8a-3ca4-894e-db77e160355e"), ("github", cem, cem_id)]
    {
        let pair = street.sign_in(way, person).await.pair();
        assert_eq!(street.who(&pair).await["id"], id, "{way}");
    }
    assert_eq!(street.people(), 3);
    let again = house.take(kept()).await.unwrap();
    assert_eq!((again.accounts_added, again.accounts_unchanged), (0, 2));
    house.old(
        "UPDATE oauth_accounts SET user_id = '886313e1-3b8a-5372-9b90-0c9aee199e5d'
               WHERE id = '1'",
    );
    let report = house.take(updating()).await.unwrap();
    assert!(report.faults.iter().any(|fault| fault.contains("somebody else")), "{report:?}");
    house.old("ALTER TABLE oauth_accounts RENAME COLUMN provider TO oauth_name");
    let error = house.take(kept()).await.unwrap_err().to_string();
    assert!(error.contains("`oauth_accounts`") && error.contains("`provider`"), "{error}");
}

#[tokio::test]
async fn who_was_deleted_here_does_not_come_back_by_another_import() {
    let house = House::empty("").await;
    house.old_people();
    let eve = format!(r#"{{"username": "eve", "hashed_password": "{BCRYPT}"}}"#);
    house.take(kept()).await.unwrap();
    house.take_lines(&eve, kept()).await;
    for name in ["bea", "eve"] {
        house.api.users().delete(Who::Name(name.to_owned()), None).await.unwrap();
    }
    let by_id = house.take(updating()).await.unwrap();
    let by_name = house.take_lines(&eve, updating()).await;
    let fault = "it was removed here; `--removed-too` brings it back";
    for report in [&by_id, &by_name] {
        assert_eq!((report.added, report.refused), (0, 1), "{report:?}");
        assert!(report.faults[0].ends_with(fault), "{report:?}");
    }
    assert_eq!(by_id.unchanged, 2);
    assert_eq!(house.enters("bea", PASSWORD).await.status, 401);

    let all = Import { removed: Removed::Return, ..kept() };
    assert_eq!(house.take(all.clone()).await.unwrap().added, 1);
    assert_eq!(house.take_lines(&eve, all).await.added, 1);
    house.enters("bea", PASSWORD).await.is_ok();
    house.enters("eve", PASSWORD).await.is_ok();
    assert_eq!(house.take(kept()).await.unwrap().unchanged, 3, "they are here again");
}

#[tokio::test]
async fn an_account_that_was_unlinked_here_does_not_come_back_by_another_import() {
    let house = House::empty("").await;
    house.old_people();
    house.old(
        "CREATE TABLE oauth_accounts (user_id CHAR(32), provider TEXT, provider_user_id INTEGER);
         INSERT INTO oauth_accounts VALUES ('6fa459eaee8a3ca4894edb77e160355e', 'google', 7)",
    );
    assert_eq!(house.take(kept()).await.unwrap().accounts_added, 1);
    let bea = house.enters("bea", PASSWORD).await.pair();
    let listed = house.ask(bearer(get("/auth/accounts"), &bea.access)).await.json();
    let path = format!("/auth/accounts/{}", listed["accounts"][0]["id"].as_str().unwrap());
    assert_eq!(house.ask(bearer(bare("DELETE", &path), &bea.access)).await.status, 204);
    let report = house.take(updating()).await.unwrap();
    assert_eq!((report.accounts_added, report.refused), (0, 1), "{report:?}");
    let all = Import { removed: Removed::Return, ..kept() };
    assert_eq!(house.take(all).await.unwrap().accounts_added, 1);
}

#[tokio::test]
async fn accounts_at_google_and_github_are_known_where_neither_is_configured() {
    let house = House::empty("").await;
    house.old_people();
    let owner = "6fa459eaee8a3ca4894edb77e160355e";
    house.old(&format!(
        "CREATE TABLE oauth_accounts (user_id CHAR(32), provider TEXT, provider_user_id INTEGER);
         INSERT INTO oauth_accounts VALUES ('{owner}', 'google', 7), ('{owner}', 'github', 8)"
    ));
    assert_eq!(house.take(kept()).await.unwrap().accounts_added, 2);
    for (issuer, subject) in [("https://accounts.google.com", 7), ("https://github.com", 8)] {
        let count = format!(
            "SELECT count(*) FROM oauth_accounts WHERE issuer = '{issuer}' AND subject = '{subject}'"
        );
        assert_eq!(house.count(&count), 1, "{issuer}");
    }
}

#[tokio::test]
async fn a_database_without_people_is_named_with_what_it_lacks() {
    let house = House::empty("").await;
    let error = house.take(kept()).await.unwrap_err().to_string();
    assert!(error.contains("there is no database file") && error.contains("old.db"), "{error}");
    assert!(!house.old_file().exists(), "a source is not made");
    house.old("CREATE TABLE people (id INTEGER)");
    let error = house.take(kept()).await.unwrap_err().to_string();
    assert!(error.contains("old.db` has no table `users`"), "{error}");
    house.old("CREATE TABLE users (name TEXT)");
    let error = house.take(kept()).await.unwrap_err().to_string();
    assert!(error.contains("no column `id`"), "{error}");
    house.old("ALTER TABLE users ADD COLUMN id INTEGER");
    let error = house.take(kept()).await.unwrap_err().to_string();
    assert!(error.contains("no column `username` or `email`"), "{error}");
}
