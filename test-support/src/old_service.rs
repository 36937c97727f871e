//! The service that Doorward replaces, as far as the two share tokens and a Redis when they run
//! beside each other.
//!
//! It is a program in Python, on redis-py and python-jose as they are, so that what Doorward writes
//! is read by what will read it, and the other way round.

use std::fs::File;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::PipeReader;
use std::io::PipeWriter;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;

use crate::place::free_dir;
use crate::process::Tied;
use crate::process::tied_command;
use crate::python::Python;

/// How long it has a token revoked, whatever is left of its life.
pub const REVOKED_FOR: Duration = Duration::from_secs(86_400);

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/old_service/old_service.py");
const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/old_service/requirements.txt");

/// A running old service; ended on drop.
///
/// Questions are answered one after the other. A Redis that cannot be reached, or does not answer
/// within 2 s, is an error here, whatever the real one makes of it.
#[derive(Debug)]
pub struct OldService {
    line: Mutex<Line>,
    _process: Tied,
    // Last, so that it is removed after the process has ended.
    dir: TempDir,
}

#[derive(Debug)]
struct Line {
    questions: PipeWriter,
    answers: BufReader<PipeReader>,
}

impl OldService {
    /// Starts one that keeps revocations in the Redis at `redis`, a URL with credentials where they
    /// are needed, and signs and verifies with `secret`. Redis need not be there yet.
    ///
    /// # Panics
    /// As [`Python::with`], and when the program does not start.
    pub fn start(redis: &str, secret: &str) -> Self {
        let python = Python::with(Path::new(REQUIREMENTS));
        let dir = free_dir();
        let log = File::create(dir.path().join("log")).expect("a new directory takes a file");
        let (asked, questions) = io::pipe().expect("a pipe can be made");
        let (answers, answered) = io::pipe().expect("a pipe can be made");
        let mut command = tied_command(&python.interpreter(), Signal::KILL, None);
        command.arg(PROGRAM).arg(redis).current_dir(dir.path());
        // Nothing of the machine's environment, so that no proxy stands between it and Redis.
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", dir.path());
        command.env("JWT_SECRET_KEY", secret);
        command.stdin(asked).stdout(answered).stderr(log);
        let process = Tied::spawn(command, Signal::KILL).expect("a process can be started");
        let line = Mutex::new(Line { questions, answers: BufReader::new(answers) });
        Self { line, _process: process, dir }
    }

    /// Revokes a token for [`REVOKED_FOR`].
    ///
    /// # Errors
    /// When Redis does not take it.
    pub fn revoke(&self, token: &str) -> io::Result<()> {
        self.ask(&json!(["revoke", token])).map(drop)
    }

    /// Says whether it takes a token for revoked; whether that is a good one, it does not ask.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn is_revoked(&self, token: &str) -> io::Result<bool> {
        let answer = self.ask(&json!(["is_revoked", token]))?;
        Ok(answer.as_bool().expect("yes or no"))
    }

    /// Signs a token (HS256) with `claims`, an object, and an `exp` that many seconds from now; it has
    /// expired where they are negative.
    pub fn issue(&self, claims: &Value, lifetime_s: i64) -> String {
        let answer = self.ask(&json!(["issue", claims, lifetime_s])).unwrap();
        answer.as_str().expect("a token is a text").to_owned()
    }

    /// Verifies a token (HS256), and gives its claims; whether it was revoked, it does not ask.
    ///
    /// # Errors
    /// What python-jose says against it, after the name of the exception, such as
    /// `ExpiredSignatureError: Signature has expired.`
    pub fn verify(&self, token: &str) -> Result<Value, String> {
        let mut answer = self.ask(&json!(["verify", token])).unwrap();
        match answer["refused"].as_str() {
            Some(refused) => Err(refused.to_owned()),
            None => Ok(answer["claims"].take()),
        }
    }

    /// Asks one question; the error is what went wrong between it and Redis.
    ///
    /// # Panics
    /// When it has ended, with its log.
    #[track_caller]
    fn ask(&self, question: &Value) -> io::Result<Value> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        // Where it has ended, so have its answers.
        let _ = line.questions.write_all(format!("{question}\n").as_bytes());
        let mut answer = String::new();
        line.answers.read_line(&mut answer).expect("what Python prints is UTF-8");
        let Ok(mut answer) = serde_json::from_str::<Value>(&answer) else {
            let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            panic!("the old service ended instead of answering; its log:\n{log}");
        };
        match answer["error"].as_str() {
            Some(error) => Err(io::Error::other(error)),
            None => Ok(answer["answer"].take()),
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use ring::hmac;

    use super::*;
    use crate::redis::RedisServer;
    use crate::redis::Reply;

    const SECRET: &str = "a-secret-of-the-old-service-and-its-heir";

    /// A token by somebody else who knows a secret.
    fn signed(header: &str, claims: &str, secret: &str) -> String {
        let [header, claims] = [header, claims].map(|text| URL_SAFE_NO_PAD.encode(text));
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let signature = hmac::sign(&key, format!("{header}.{claims}").as_bytes());
        format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn stored(redis: &RedisServer, token: &str) -> Reply {
        redis.command(&["GET", &format!("revoked_token:{token}")]).unwrap()
    }

    fn store(redis: &RedisServer, token: &str, value: &str) {
        let key = format!("revoked_token:{token}");
        assert_eq!(redis.command(&["SET", &key, value]).unwrap(), Reply::text("OK"));
    }

    #[test]
    fn a_revoked_token_is_a_quoted_word_in_redis_for_a_day_and_the_others_are_not_there() {
        let redis = RedisServer::start();
        let service = OldService::start(&redis.url(), SECRET);
        let [revoked, other] = ["ann", "bob"].map(|name| service.issue(&json!({"sub": name}), 60));
        assert!(!service.is_revoked(&revoked).unwrap());
        service.revoke(&revoked).unwrap();
        assert!(service.is_revoked(&revoked).unwrap());
        assert!(!service.is_revoked(&other).unwrap());
        assert_eq!(stored(&redis, &revoked), Reply::text("\"revoked\""));
        assert_eq!(stored(&redis, &other), Reply::Bulk(None));
        let key = format!("revoked_token:{revoked}");
        let Reply::Integer(left_ms) = redis.command(&["PTTL", &key]).unwrap() else {
            panic!("a time to live is a number");
        };
        let full_ms = i64::try_from(REVOKED_FOR.as_millis()).unwrap();
        assert!((full_ms - 60_000..=full_ms).contains(&left_ms), "{left_ms} ms");
    }

    #[test]
    fn what_others_store_is_read_with_its_quotes_and_not_without() {
        let redis = RedisServer::start();
        let service = OldService::start(&redis.url(), SECRET);
        for (value, revoked) in [
            ("\"revoked\"", true),
            ("revoked", false),
            ("'revoked'", false),
            ("\"Revoked\"", false),
            ("1", false),
            ("", false),
        ] {
            store(&redis, "a.b.c", value);
            assert_eq!(service.is_revoked("a.b.c").unwrap(), revoked, "{value}");
        }
    }

    #[test]
    fn its_own_tokens_hold_until_they_expire_and_only_with_its_secret() {
        let redis = RedisServer::start();
        let service = OldService::start(&redis.url(), SECRET);
        let claims = json!({"user_id": 7, "username": "ann", "tier": "free", "type": "access"});
        let token = service.issue(&claims, 60);
        let mut read = service.verify(&token).unwrap();
        assert!(read.as_object_mut().unwrap().remove("exp").unwrap().is_i64());
        assert_eq!(read, claims);
        let expired = service.verify(&service.issue(&claims, -60)).unwrap_err();
        assert!(expired.starts_with("ExpiredSignatureError: "), "{expired}");
        let other = OldService::start(&redis.url(), "a-secret-of-somebody-else-altogether");
        let refused = other.verify(&token).unwrap_err();
        assert!(refused.starts_with("JWTError: Signature verification failed"), "{refused}");
    }

    #[test]
    fn tokens_of_others_with_its_secret_hold_where_they_are_signed_as_its_own() {
        let redis = RedisServer::start();
        let service = OldService::start(&redis.url(), SECRET);
        let claims = "{\"sub\":\"7\",\"exp\":4102444800}";
        let good = signed("{\"alg\":\"HS256\",\"typ\":\"JWT\"}", claims, SECRET);
        assert_eq!(service.verify(&good), Ok(json!({"sub": "7", "exp": 4_102_444_800_i64})));
        for (header, secret) in [("{\"alg\":\"HS256\"}", "other"), ("{\"alg\":\"HS512\"}", SECRET)]
        {
            let refused = service.verify(&signed(header, claims, secret)).unwrap_err();
            assert!(refused.starts_with("JWTError: "), "{refused}");
        }
        // Whoever gives it a token for somebody is told that it is not meant.
        let meant = signed("{\"alg\":\"HS256\"}", "{\"aud\":\"orders\"}", SECRET);
        let refused = service.verify(&meant).unwrap_err();
        assert_eq!(refused, "JWTClaimsError: Invalid audience");
    }

    #[test]
    fn a_redis_that_is_away_is_an_error_until_it_is_back() {
        let mut redis = RedisServer::setup().password("p@ss word").start();
        let service = OldService::start(&redis.url(), SECRET);
        service.revoke("a.b.c").unwrap();
        redis.stop();
        let away = service.is_revoked("a.b.c").unwrap_err();
        assert!(away.to_string().starts_with("ConnectionError: "), "{away}");
        // Before it is asked again, and in between.
        for _ in 0..2 {
            redis.restart();
            assert!(!service.is_revoked("a.b.c").unwrap());
        }
    }

    #[test]
    fn a_redis_that_hangs_is_an_error_until_it_goes_on() {
        let mut redis = RedisServer::start();
        let service = OldService::start(&redis.url(), SECRET);
        service.revoke("a.b.c").unwrap();
        redis.pause();
        let hangs = service.is_revoked("a.b.c").unwrap_err();
        assert!(hangs.to_string().starts_with("TimeoutError: "), "{hangs}");
        redis.resume();
        assert!(service.is_revoked("a.b.c").unwrap());
    }

    #[test]
    fn one_that_does_not_start_says_why() {
        let asked =
            std::panic::catch_unwind(|| OldService::start("no-url", SECRET).is_revoked("a"));
        let panic = *asked.unwrap_err().downcast::<String>().unwrap();
        assert!(panic.contains("Redis URL must specify"), "{panic}");
    }
}
