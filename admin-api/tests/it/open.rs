use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use admin_api::AdminApi;
use config::Database;

use crate::support::*;

/// The whole text of an error, causes included.
async fn fault_of(database: &Path) -> String {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config_at(dir.path(), "");
    config.database = Database::Sqlite(database.to_owned());
    let Err(error) = AdminApi::open(&config, keys(), Hand::new().clock()).await else {
        panic!("it opened");
    };
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

#[tokio::test]
async fn a_missing_data_directory_is_named() {
    let text = fault_of(Path::new("/nonexistent/doorward/doorward.db")).await;
    assert!(text.contains("the data directory `/nonexistent/doorward` is not there"), "{text}");
    assert!(text.contains("--data-dir"), "{text}");
}

#[tokio::test]
async fn a_directory_that_is_a_file_is_no_directory() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let text = fault_of(&file.join("doorward.db")).await;
    assert!(text.contains("is not there"), "{text}");
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let text = fault_of(dir.path()).await;
    assert!(text.contains("cannot be opened"), "{text}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("doorward.db");
    let text = "these are somebody's notes\n".repeat(100);
    fs::write(&file, &text).unwrap();
    let fault = fault_of(&file).await;
    assert!(fault.contains("is no SQLite database"), "{fault}");
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}

#[tokio::test]
async fn a_changed_or_newer_schema_is_refused() {
    let house = House::with_ann().await;
    let file = house.place.dir().join("doorward.db");
    house.execute("UPDATE schema_migrations SET checksum = 'x' WHERE version = 2");
    let fault = fault_of(&file).await;
    assert!(fault.contains("migration 2 (`0002_sessions.sql`)"), "{fault}");
    house.execute("UPDATE schema_migrations SET version = 99 WHERE version = 2");
    let fault = fault_of(&file).await;
    assert!(fault.contains("is at migration 99"), "{fault}");
}

#[tokio::test]
async fn only_the_owner_reads_the_files() {
    let house = House::with_ann().await;
    house.sign_in().await;
    let mut names = Vec::new();
    for entry in fs::read_dir(house.place.dir()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["doorward.db", "doorward.db-shm", "doorward.db-wal"]);
}

#[tokio::test]
async fn a_database_in_memory_works_alike() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config_at(dir.path(), "");
    config.database = Database::SqliteMemory;
    let api = AdminApi::open(&config, keys(), Hand::new().clock()).await.unwrap();
    api.users().create(ann()).await.unwrap();
    let fields = [("username", "ann"), ("password", PASSWORD)];
    let pair = ask(&api, login(&fields)).await.pair();
    ask(&api, bearer(get("/auth/me"), &pair.access)).await.is_ok();
}
