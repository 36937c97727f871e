//! Gateways and an admin API that run apart: what each of them needs, and what is of no use to it.

use config::Endpoint;

use crate::CERTIFICATE_PEM;
use crate::PRIVATE_PEM;
use crate::SECRET;
use crate::faults_with;
use crate::parse_with;

/// The environment that the tests' files refer to.
const VARIABLES: [(&str, &str); 4] = [
    ("TOKEN", SECRET),
    ("CERTIFICATE", CERTIFICATE_PEM),
    ("KEY", PRIVATE_PEM),
    ("NONSENSE", "no PEM at all"),
];

const PROOF: &str = "certificate = { env = \"CERTIFICATE\" }\nprivate_key = { env = \"KEY\" }";

fn fleet(keys: &str) -> String {
    format!("[fleet]\ntoken = {{ env = \"TOKEN\" }}\n{keys}\n")
}

/// Checks what is wrong with a section of `keys`, each fault by its path and the end of its text.
#[track_caller]
fn check(keys: &str, expected: &[(&str, &str)]) {
    let found = match parse_with(&fleet(keys), &VARIABLES) {
        Ok(_) => Vec::new(),
        Err(_) => faults_with(&fleet(keys), &VARIABLES),
    };
    let is_as_expected = |(fault, (path, end)): (&String, &(&str, &str))| {
        fault.contains(&format!(" {path}: ")) && fault.ends_with(end)
    };
    let all = found.len() == expected.len() && found.iter().zip(expected).all(is_as_expected);
    assert!(all, "{keys}\n{found:#?}");
}

#[test]
fn each_half_is_read_with_what_it_needs() {
    let config = parse_with(
        &fleet(&format!(
            "listen = \"0.0.0.0:9443\"\n{PROOF}\n\
             admin_url = \"https://Admin.Example.com:9443/\"\nca = {{ env = \"CERTIFICATE\" }}"
        )),
        &VARIABLES,
    );
    let fleet = config.unwrap().fleet.unwrap();
    let (admin, gateway) = (fleet.admin.unwrap(), fleet.gateway.unwrap());
    assert_eq!([&admin.token, &gateway.token].map(|token| token.expose()), [SECRET; 2]);
    assert_eq!(admin.listen.to_string(), "0.0.0.0:9443");
    assert_eq!(admin.proof.unwrap().certificate.expose(), CERTIFICATE_PEM);
    assert_eq!(gateway.admin_url, "https://admin.example.com:9443");
    let admin = Endpoint::Https { host: "admin.example.com".to_owned(), port: 9443 };
    assert_eq!(gateway.admin, admin);
    assert!(gateway.ca.is_some());
    assert!(parse_with("", &[]).unwrap().fleet.is_none());
}

#[test]
fn only_loopback_is_served_or_asked_in_the_clear() {
    check("listen = \"127.0.0.1:0\"", &[]);
    check("listen = \"[::1]:9443\"", &[]);
    check("admin_url = \"http://127.0.0.1:9443\"", &[]);
    check("admin_url = \"http://localhost:9443\"", &[]);
    for listen in ["0.0.0.0:9443", "10.0.0.7:9443", "[::]:9443"] {
        check(
            &format!("listen = \"{listen}\""),
            &[("fleet.listen", "only loopback may be in the clear")],
        );
    }
    check(
        "listen = \"0.0.0.0:9443\"\ncertificate = { env = \"CERTIFICATE\" }",
        &[("fleet.certificate", "it is of no use without `fleet.private_key`")],
    );
    check(
        "admin_url = \"http://admin:9443\"",
        &[(
            "fleet.admin_url",
            "`http://admin:9443` is in the clear: use `https`; `http` is for loopback only",
        )],
    );
}

#[test]
fn what_is_of_no_use_to_either_half_is_a_fault() {
    check(
        PROOF,
        &[("fleet.certificate", "it proves who listens at `fleet.listen`, and that is missing")],
    );
    check(
        "ca = { env = \"CERTIFICATE\" }",
        &[("fleet.ca", "it vouches for `fleet.admin_url`, and that is missing")],
    );
    check(
        "admin_url = \"http://127.0.0.1:1\"\nca = { env = \"CERTIFICATE\" }",
        &[("fleet.ca", "it vouches for nobody where `fleet.admin_url` is `http`")],
    );
    check(
        "admin_url = \"https://a/b\"",
        &[("fleet.admin_url", "`https://a/b` has a path: write scheme, host and port only")],
    );
}

#[test]
fn what_is_no_pem_is_a_fault_and_is_not_shown() {
    let nonsense = "{ env = \"NONSENSE\" }";
    let keys = format!(
        "listen = \"0.0.0.0:1\"\ncertificate = {nonsense}\nprivate_key = {nonsense}\n\
         admin_url = \"https://a\"\nca = {nonsense}"
    );
    check(
        &keys,
        &[
            ("fleet.certificate", "it is not a certificate in PEM form"),
            ("fleet.private_key", "it is not a private key in PEM form"),
            ("fleet.ca", "it is not a certificate in PEM form"),
        ],
    );
    let literal = "listen = \"127.0.0.1:1\"\nprivate_key = \"hunter2\"";
    let faults = faults_with(&fleet(literal), &VARIABLES);
    assert!(faults.iter().all(|fault| !fault.contains("hunter2")), "{faults:?}");
    assert!(faults.iter().any(|fault| fault.contains("does not belong in the file")), "{faults:?}");
}

/// The faults of a file whose token is `token`.
fn of_token(token: &str) -> Vec<String> {
    match parse_with(&fleet(""), &[("TOKEN", token)]) {
        Ok(_) => Vec::new(),
        Err(_) => faults_with(&fleet(""), &[("TOKEN", token)]),
    }
}

#[test]
fn a_token_has_32_to_1024_visible_bytes_and_is_no_examples() {
    assert_eq!(SECRET.len(), 32);
    assert_eq!(of_token(SECRET), [""; 0]);
    let [short] = &of_token(&SECRET[1..])[..] else { panic!("31 bytes are too few") };
    let least = "the secret has 31 bytes; one that servers know each other by has at least 32";
    assert!(short.ends_with(least), "{short}");
    let long = SECRET.repeat(32);
    assert_eq!(of_token(&long), [""; 0]);
    for odd in [format!("{long}x"), format!("{SECRET} x"), format!("{SECRET}é")] {
        let [fault] = &of_token(&odd)[..] else { panic!("{odd}") };
        assert!(fault.ends_with("use visible ASCII, at most 1024 bytes"), "{fault}");
    }
    let [example] = &of_token("changeme-changeme-changeme-changeme-changeme")[..] else {
        panic!("it stands in an example")
    };
    assert!(example.contains("the secret is an example's"), "{example}");
}

#[test]
fn a_fleet_without_a_token_is_a_fault() {
    let faults = faults_with("[fleet]\nlisten = \"127.0.0.1:1\"\n", &[]);
    assert_eq!(faults.len(), 1);
    assert!(faults[0].ends_with("the key `token` is missing"), "{faults:?}");
}

#[test]
fn the_file_of_a_gateway_alone_needs_no_key_that_signs() {
    let key = "[[auth.keys]]\nkid = \"k1\"\nalg = \"ES256\"\npublic_key = { env = \"PUBLIC\" }\n";
    let public = PRIVATE_PEM.replace("PRIVATE", "PUBLIC");
    let variables = [("TOKEN", SECRET), ("PUBLIC", &public)];
    let gateway = "admin_url = \"https://admin\"";
    let config = parse_with(&format!("{}{key}", fleet(gateway)), &variables).unwrap();
    assert!(config.auth.keys[0].private_key.is_none());
    let both = format!("{gateway}\nlisten = \"127.0.0.1:1\"");
    for file in [format!("{}{key}", fleet(&both)), key.to_owned()] {
        let faults = faults_with(&file, &variables);
        assert!(faults[0].ends_with("the first key signs, and needs `private_key`"), "{faults:?}");
    }
}
