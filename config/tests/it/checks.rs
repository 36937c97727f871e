//! Values that are fine alone and do not fit together, or the world.

use config::Access;
use config::Database;
use config::Environment;
use config::LimitBy;
use config::PathPattern;
use config::Redis;
use kernel::front::AUTH_MOUNTS;
use kernel::front::HEALTH_MOUNTS;
use kernel::front::OPEN_MOUNTS;
use kernel::limit::Allowance;
use kernel::secret::Secret;

use crate::SECRET;
use crate::faults;
use crate::faults_with;
use crate::parse;
use crate::parse_with;

/// A file with these routes, and an upstream for them.
fn with_routes(routes: &[&str]) -> String {
    let mut text = "[upstreams.u]\nendpoints = [\"http://u\"]\n".to_owned();
    for (index, route) in routes.iter().enumerate() {
        text.push_str("[[routes]]\nupstream = \"u\"\n");
        if !route.starts_with("name =") && !route.contains("\nname =") {
            text.push_str(&format!("name = \"r{index}\"\n"));
        }
        text.push_str(route);
        text.push('\n');
    }
    text
}

/// Checks that the only fault of `text` ends with `message`.
fn one_fault(text: &str, message: &str) {
    let faults = faults(text);
    assert!(faults.len() == 1 && faults[0].ends_with(message), "{text}\n{faults:#?}");
}

#[test]
fn an_empty_file_is_the_defaults() {
    let config = parse("").unwrap();
    assert_eq!(config.environment, Environment::Prod);
    assert_eq!(config.database, Database::Sqlite("./.doorward/doorward.db".into()));
    let allowances = config.tiers.iter().map(|(tier, allowance)| {
        let requests = match allowance {
            Allowance::Unlimited => "unlimited".to_owned(),
            Allowance::Limited(quotas) => {
                quotas.iter().map(|q| format!("{} per {:?}", q.requests(), q.per())).collect()
            }
        };
        format!("{tier}: {requests}")
    });
    assert_eq!(
        allowances.collect::<Vec<_>>(),
        ["admin: unlimited", "free: 100 per 60s", "premium: 1000 per 60s"]
    );
    assert_eq!(config.roles["admin"], ["admin"]);
}

#[test]
fn a_doorward_without_a_file_sends_every_path_of_callers_with_a_token_to_one_upstream() {
    let config = config::embedded(&crate::nothing, "/data".as_ref()).unwrap();
    assert_eq!(config.database, Database::Sqlite("/data/doorward.db".into()));
    assert_eq!(config.data_dir, std::path::Path::new("/data"));
    assert_eq!(config.upstreams[0].name, "default");
    assert_eq!(config.routes[0].path, PathPattern::Prefix("/".to_owned()));
    assert_eq!(config.routes[0].access, Access::Token);
}

#[test]
fn moving_the_data_directory_leaves_a_named_database_where_it_is() {
    let mut config = parse("database.url = \"sqlite:///srv/d.db\"").unwrap();
    config.move_data_dir("/data".as_ref());
    assert_eq!(config.database, Database::Sqlite("/srv/d.db".into()));
}

#[test]
fn an_upstream_that_does_not_exist_is_named_with_those_that_do() {
    let text = with_routes(&["path = \"/a\""]).replace("upstream = \"u\"", "upstream = \"v1\"");
    one_fault(&text, "routes[0].upstream: no upstream `v1`; there are `u`");
    one_fault(
        "[[routes]]\nname = \"a\"\npath = \"/a\"\nupstream = \"u\"\n",
        "no upstream `u`; there are none",
    );
}

#[test]
fn the_same_name_twice_is_a_fault() {
    let text = with_routes(&["name = \"a\"\npath = \"/a\"", "name = \"a\"\npath = \"/b\""]);
    one_fault(&text, "routes[1].name: `a` is the name of `routes[0]` as well");
    one_fault(
        "limits.auth = [{ name = \"m\", requests = 1, per = \"1m\" }, { name = \"m\", requests = 9, per = \"1h\" }]",
        "limits.auth[1].name: there is already a quota `m`",
    );
    let key = "[[auth.keys]]\nkid = \"k\"\nalg = \"HS256\"\nsecret = { env = \"S\" }\n";
    assert_eq!(
        faults_with(&key.repeat(2), &[("S", SECRET)]),
        ["6:7 auth.keys[1].kid: `k` is the kid of `auth.keys[0]` as well"]
    );
}

#[test]
fn keys_that_are_made_here_are_of_the_curves_and_sealed_under_a_secret_that_all_can_have() {
    let alg = |alg: &str| format!("auth.stored_key_alg = \"{alg}\"\n");
    for good in ["ES256", "EdDSA"] {
        let config = parse(&alg(good)).unwrap();
        assert_eq!(config.auth.stored_key_alg.unwrap().as_str(), good);
        assert_eq!(config.auth.key_encryption_key, None);
    }
    one_fault(&alg("HS256"), "a shared secret belongs in `auth.keys`; use `ES256` or `EdDSA` here");
    one_fault(
        &alg("RS256"),
        "RSA keys are not made here; use `ES256` or `EdDSA`, or put yours into `auth.keys`",
    );
    let postgres = format!("database.url = \"postgres://d@db/d\"\n{}", alg("ES256"));
    one_fault(
        &postgres,
        "auth.stored_key_alg: with Postgres it needs `auth.key_encryption_key`, the same on all machines",
    );
    let sealed = format!("{postgres}auth.key_encryption_key = {{ env = \"S\" }}\n");
    assert!(parse_with(&sealed, &[("S", SECRET)]).is_ok());
    assert_eq!(
        faults_with(&sealed, &[("S", &SECRET[..31])]),
        [
            "3:27 auth.key_encryption_key: the secret has 31 bytes; one that others are sealed under \
          has at least 32"
        ]
    );
}

#[test]
fn an_issuer_of_others_has_no_sign_that_ends_it_in_the_ids_of_its_people() {
    let issuer = |name: &str| {
        format!(
            "[[issuers]]\nissuer = \"{name}\"\njwks_url = \"https://a.b/jwks\"\naudiences = [\"x\"]"
        )
    };
    let ends_it =
        "an issuer has at most 255 bytes, and no `#`: that ends it in the ids of its people";
    assert!(parse(&issuer(&"i".repeat(255))).is_ok());
    one_fault(&issuer(&"i".repeat(256)), ends_it);
    one_fault(&issuer("https://a.b/#c"), ends_it);
}

#[test]
fn two_routes_for_the_same_requests_are_a_fault_and_a_more_specific_one_is_not() {
    for (one, other) in [
        ("path = \"/a\"", "path = \"/a\""),
        ("path = \"/a\"\nmethods = [\"GET\", \"PUT\"]", "path = \"/a\"\nmethods = [\"PUT\"]"),
        ("path = \"/a\"\nhosts = [\"a.b\"]", "path = \"/a\"\nhosts = [\"c.d\", \"A.B\"]"),
    ] {
        one_fault(
            &with_routes(&[one, other]),
            "routes[1].path: `/a` is also the path of the route `r0`, for the same hosts and methods",
        );
    }
    for (one, other) in [
        ("path = \"/a\"", "path = \"=/a\""),
        ("path = \"/a\"", "path = \"/a/b\""),
        ("path = \"/a\"", "path = \"/a\"\nmethods = [\"GET\"]"),
        ("path = \"/a\"\nhosts = [\"a.b\"]", "path = \"/a\"\nhosts = [\"c.d\"]"),
        ("path = \"/a\"\nhosts = [\"a.b\"]", "path = \"/a\""),
    ] {
        assert!(parse(&with_routes(&[one, other])).is_ok(), "{one} {other}");
    }
}

#[test]
fn a_route_under_each_mount_is_a_fault_that_names_both() {
    for mount in AUTH_MOUNTS.iter().chain(&HEALTH_MOUNTS).chain(&OPEN_MOUNTS) {
        for path in [(*mount).to_owned(), format!("={mount}"), format!("{mount}/x")] {
            one_fault(
                &with_routes(&[&format!("path = \"{path}\"")]),
                &format!("`{path}` lies under `{mount}`, which Doorward answers itself"),
            );
        }
    }
    for path in ["/.doorward", "=/.doorward/keys"] {
        let fault = format!("`{path}` lies under `/.doorward`, which Doorward answers itself");
        one_fault(&with_routes(&[&format!("path = \"{path}\"")]), &fault);
    }
    for path in ["/", "/api", "/.well-known", "/.doorwards", "/authors", "/docs2"] {
        assert!(parse(&with_routes(&[&format!("path = \"{path}\"")])).is_ok(), "{path}");
    }
}

#[test]
fn a_limit_of_zero_or_of_nothing_is_a_fault_and_unlimited_has_a_word() {
    let quota = |requests: &str| {
        format!("tiers.gold.limits = [{{ name = \"m\", requests = {requests}, per = \"1m\" }}]")
    };
    one_fault(&quota("0"), "`0` is not a whole number from 1 to 4294967295");
    one_fault(&quota("-1"), "`-1` is not a whole number from 1 to 4294967295");
    one_fault(&quota("4294967296"), "`4294967296` is not a whole number from 1 to 4294967295");
    assert!(parse(&quota("4294967295")).is_ok());
    one_fault("tiers.gold.limits = []", "write at least one quota");
    one_fault(
        "tiers.gold.limits = 0",
        "expected a list of quotas or `\"unlimited\"`, found an integer",
    );
    one_fault("[tiers.gold]", "tiers.gold: the key `limits` is missing");
    assert!(parse("tiers.gold.limits = \"unlimited\"").is_ok());
    one_fault("limits.anonymous = \"unlimited\"", "expected a list, found a string");
}

#[test]
fn four_quotas_are_the_most() {
    let quotas = |count: usize| {
        let quota = |n| format!("{{ name = \"q{n}\", requests = 1, per = \"{}s\" }}", n + 1);
        let quotas = (0..count).map(quota).collect::<Vec<_>>();
        format!("tiers.gold.limits = [{}]", quotas.join(", "))
    };
    assert!(parse(&quotas(4)).is_ok());
    one_fault(&quotas(5), "5 quotas are too many: at most 4");
}

#[test]
fn a_period_is_whole_seconds_up_to_31_days() {
    let quota = |per: &str| {
        format!("tiers.gold.limits = [{{ name = \"m\", requests = 1, per = \"{per}\" }}]")
    };
    for per in ["1s", "31d", "90m", "2000ms"] {
        assert!(parse(&quota(per)).is_ok(), "{per}");
    }
    for per in ["0s", "32d", "500ms", "1500ms", "1", "minute"] {
        assert_eq!(faults(&quota(per)).len(), 1, "{per}");
    }
}

#[test]
fn a_default_tier_that_does_not_exist_is_a_fault() {
    one_fault(
        "limits.default_tier = \"gold\"",
        "no tier `gold`; there are `admin`, `free`, `premium`",
    );
    assert!(parse("limits.default_tier = \"gold\"\ntiers.gold.limits = \"unlimited\"").is_ok());
}

#[test]
fn routes_share_a_policy_only_with_the_same_limits() {
    let limits = |n: u32| {
        format!("limits = [{{ name = \"m\", requests = {n}, per = \"1m\" }}]\npolicy = \"p\"\n")
    };
    let two = |a: u32, b: u32| {
        let (a, b) =
            (format!("path = \"/a\"\n{}", limits(a)), format!("path = \"/b\"\n{}", limits(b)));
        with_routes(&[&a, &b])
    };
    assert!(parse(&two(5, 5)).is_ok());
    one_fault(&two(5, 6), "`routes[0]` has the same policy with other limits; write the same");
    one_fault(
        &with_routes(&["path = \"/a\"\npolicy = \"p\""]),
        "`p` names the counter of `limits`, and there are none",
    );
}

#[test]
fn whose_requests_a_routes_limit_counts_together_is_said_where_there_is_one_and_once_for_a_counter()
{
    let route = |path: &str, more: &str| {
        format!(
            "path = \"{path}\"\nlimits = [{{ name = \"m\", requests = 5, per = \"1m\" }}]\n{more}"
        )
    };
    let by = |route: &str| parse(&with_routes(&[route])).unwrap().routes[0].limit_by;
    assert_eq!(by(&route("/a", "")), LimitBy::Caller);
    for (word, meant) in
        [("caller", LimitBy::Caller), ("address", LimitBy::Address), ("route", LimitBy::Route)]
    {
        assert_eq!(by(&route("/a", &format!("limit_by = \"{word}\""))), meant);
    }
    one_fault(
        &with_routes(&["path = \"/a\"\nlimit_by = \"route\""]),
        "it says whose requests `limits` counts together, and there are none",
    );
    let shared = |more: &str| format!("policy = \"p\"\n{more}");
    let two = |a: &str, b: &str| with_routes(&[&route("/a", &shared(a)), &route("/b", &shared(b))]);
    let (whole, caller) = ("limit_by = \"route\"", "limit_by = \"caller\"");
    assert!(parse(&two(whole, whole)).is_ok() && parse(&two("", caller)).is_ok());
    for (a, b) in [(whole, caller), ("", whole), (whole, "")] {
        let fault = "`routes[0]` has the same policy with another limit_by; write the same";
        one_fault(&two(a, b), fault);
    }
}

#[test]
fn test_mode_is_for_developers_only() {
    assert!(parse("environment = \"dev\"\ntest_mode = true").unwrap().test_mode);
    for environment in ["staging", "prod"] {
        one_fault(
            &format!("environment = \"{environment}\"\ntest_mode = true"),
            "test_mode: it lets everybody in: only where `environment = \"dev\"`",
        );
    }
    one_fault("test_mode = true", "only where `environment = \"dev\"`");
}

#[test]
fn lifetimes_that_contradict_each_other_are_faults() {
    one_fault("auth.access_ttl = \"25h\"", "our own tokens would be refused");
    one_fault(
        "auth.access_ttl = \"2h\"\nauth.refresh_ttl = \"1h\"",
        "it is shorter than `auth.access_ttl`",
    );
    one_fault("auth.leeway = \"61s\"", "`61s` is not from `0s` to `1m`");
    assert!(parse("auth.leeway = \"60s\"").is_ok());
}

#[test]
fn addresses_that_cannot_both_be_bound_are_faults() {
    one_fault("listen.public = []", "an empty list serves nobody: write an address");
    one_fault("listen.public = [\"127.0.0.1:9180\"]", "`127.0.0.1:9180` is `listen.ops` as well");
    one_fault(
        "listen.public = [\"127.0.0.1:1\", \"127.0.0.1:1\"]",
        "`127.0.0.1:1` is listed twice",
    );
    assert!(parse("listen.public = [\"127.0.0.1:0\", \"127.0.0.1:0\"]").is_ok());
}

#[test]
fn redirects_lead_to_absolute_urls_and_in_the_clear_only_to_this_machine() {
    for key in ["listen.public_url", "auth.frontend_url"] {
        for url in
            ["/app", "//evil.example", "http://app.example.com", "javascript:x", "https://a@b"]
        {
            assert_eq!(faults(&format!("{key} = \"{url}\"")).len(), 1, "{key} {url}");
        }
        assert!(parse(&format!("{key} = \"http://localhost:3000\"")).is_ok());
    }
}

#[test]
fn an_issuer_of_others_needs_an_audience_and_a_name_of_its_own() {
    let issuer = |name: &str, audiences: &str| {
        format!(
            "[[issuers]]\nissuer = \"{name}\"\njwks_url = \"https://a/k\"\naudiences = {audiences}\n"
        )
    };
    assert!(parse(&issuer("https://a", "[\"x\"]")).is_ok());
    one_fault(
        &issuer("https://a", "[]"),
        "would accept tokens meant for anybody: write an audience",
    );
    one_fault(&issuer("doorward", "[\"x\"]"), "there is already an issuer `doorward`");
    one_fault(&issuer("https://a", "[\"x\"]").repeat(2), "there is already an issuer `https://a`");
}

#[test]
fn the_admin_role_always_grants_admin() {
    let config = parse("roles.admin = [\"orders:write\"]").unwrap();
    assert_eq!(config.roles["admin"], ["admin", "orders:write"]);
}

#[test]
fn a_database_password_is_percent_encoded_into_the_url() {
    let text = "[database]\nurl = \"postgres://ann@db/app\"\npassword = { env = \"P\" }";
    let config = parse_with(text, &[("P", "p@ss:word!")]).unwrap();
    let Database::Postgres { url } = config.database else { panic!("it is Postgres") };
    assert_eq!(url.expose(), "postgres://ann:p%40ss%3Aword%21@db/app");
}

#[test]
fn an_issuer_or_audience_that_no_token_may_have_is_a_fault() {
    for key in ["issuer", "audience"] {
        let text = |bytes: usize| format!("[auth]\n{key} = \"{}\"\n", "i".repeat(bytes));
        assert!(parse(&text(255)).is_ok());
        one_fault(&text(256), "it is longer than 255 bytes: no token with it would be taken");
    }
}

#[test]
fn a_role_of_more_scopes_than_a_token_carries_is_a_fault() {
    let role = |count: usize, bytes: usize| {
        let scopes: Vec<_> = (0..count).map(|n| format!("\"{n:0>bytes$}\"")).collect();
        format!("[roles]\nr = [{}]\n", scopes.join(", "))
    };
    let message = "too many scopes: a token carries 64, of 1536 bytes together";
    assert!(parse(&role(64, 24)).is_ok());
    one_fault(&role(65, 2), message);
    one_fault(&role(62, 25), message);
}

#[test]
fn a_list_of_ten_thousand_items_is_the_longest() {
    let list = |items: usize| {
        let net = "\"10.0.0.0/8\", ".repeat(items);
        format!("[listen]\ntrusted_proxies = [{net}]\n")
    };
    assert!(parse(&list(10_000)).is_ok());
    one_fault(&list(10_001), "10001 items are too many: at most 10000");
}

/// The configuration of a provider, with `keys` in it.
fn provider(name: &str, keys: &str) -> String {
    let secret = "client_secret = { env = \"S\" }";
    format!("[auth.oauth.{name}]\nclient_id = \"id\"\n{secret}\n{keys}\n")
}

fn oauth(text: &str) -> Result<config::OAuth, Vec<String>> {
    let variables = [("S", "secret")];
    match parse_with(text, &variables) {
        Ok(config) => Ok(config.auth.oauth),
        Err(_) => Err(faults_with(text, &variables)),
    }
}

#[test]
fn a_browser_must_be_told_where_to_come_back_to() {
    let text =
        |listen: &str, keys: &str| format!("[listen]\n{listen}\n{}", provider("github", keys));
    let there = "public = [\"0.0.0.0:8080\"]";
    let unknown = "auth.oauth.github: where the browser comes back to is not known: set \
                   `listen.public_url`, or `redirect_uri` here";
    for listen in [there, "public = [\"127.0.0.1:0\"]"] {
        let faults = oauth(&text(listen, "")).unwrap_err();
        assert!(faults.len() == 1 && faults[0].ends_with(unknown), "{faults:?}");
    }
    let redirect = "redirect_uri = \"https://a.example/auth/github/callback\"";
    assert!(oauth(&text(there, redirect)).is_ok());
    let public_url = format!("{there}\npublic_url = \"https://a.example\"");
    assert!(oauth(&text(&public_url, "")).is_ok());
    assert!(oauth(&text("", "")).is_ok(), "the default address is this machine's own");
}

#[test]
fn the_origin_is_the_public_url_or_an_address_that_only_this_machine_reaches() {
    let origin = |listen: &str| parse(&format!("[listen]\n{listen}")).unwrap().listen.origin();
    assert_eq!(origin(""), Some("http://127.0.0.1:8080".to_owned()));
    assert_eq!(origin("public = [\"[::1]:80\"]"), Some("http://[::1]:80".to_owned()));
    assert_eq!(origin("public_url = \"https://a.example\""), Some("https://a.example".to_owned()));
    assert_eq!(origin("public = [\"0.0.0.0:8080\"]"), None);
}

#[test]
fn a_provider_of_id_tokens_is_asked_for_one() {
    let issuer = "issuer = \"https://login.example\"";
    for (name, keys) in [("google", ""), ("oidc.a", issuer)] {
        let with = |scopes: &str| oauth(&provider(name, &format!("{keys}\nscopes = {scopes}")));
        assert!(with("[\"openid\"]").is_ok(), "{name}");
        for scopes in ["[\"email\"]", "[]"] {
            let faults = with(scopes).unwrap_err();
            let message = "without the scope `openid` the provider does not say who somebody is";
            assert!(faults.len() == 1 && faults[0].ends_with(message), "{faults:?}");
        }
    }
    assert!(oauth(&provider("github", "scopes = [\"read:user\"]")).is_ok());
}

#[test]
fn every_url_of_a_provider_is_https_or_leads_to_this_machine() {
    for key in [
        "redirect_uri",
        "issuer",
        "authorization_url",
        "token_url",
        "userinfo_url",
        "emails_url",
        "jwks_url",
    ] {
        let with = |url: &str| oauth(&provider("google", &format!("{key} = \"{url}\"")));
        assert!(with("https://a.example/x").is_ok(), "{key}");
        assert!(with("http://127.0.0.1:1/x").is_ok(), "{key}");
        let faults = with("http://a.example/x").unwrap_err();
        assert!(faults.len() == 1 && faults[0].contains("in the clear"), "{faults:?}");
    }
    let faults = oauth(&provider("google", "issuer = \"https://a.example/?b\"")).unwrap_err();
    assert!(faults.len() == 1 && faults[0].ends_with("an issuer has no query"), "{faults:?}");
}

#[test]
fn another_issuer_in_googles_place_is_discovered() {
    let google = |keys: &str| oauth(&provider("google", keys)).unwrap().google.unwrap();
    assert_eq!(google("").token_url.as_deref(), Some("https://oauth2.googleapis.com/token"));
    let other = google("issuer = \"http://localhost:1\"\njwks_url = \"http://localhost:1/keys\"");
    assert_eq!((other.token_url, other.authorization_url), (None, None));
    assert_eq!(other.jwks_url.as_deref(), Some("http://localhost:1/keys"));
}

#[test]
fn tokens_in_a_query_need_a_front_end_to_go_to() {
    one_fault(
        "auth.frontend_tokens_in_query = true",
        "auth.frontend_tokens_in_query: it says what is sent to `auth.frontend_url`, and there is none",
    );
    let text = "[auth]\nfrontend_url = \"https://a\"\nfrontend_tokens_in_query = true";
    assert!(parse(text).unwrap().auth.frontend_tokens_in_query);
}

#[test]
fn a_new_password_has_8_characters_at_least_whatever_is_written() {
    assert!(parse("[auth]\npassword_chars_min = 8\n").is_ok());
    one_fault("[auth]\npassword_chars_min = 7\n", "`7` is not a whole number from 8 to 64");
    one_fault("[auth]\npassword_chars_min = 65\n", "`65` is not a whole number from 8 to 64");
}

#[test]
fn a_name_at_the_mail_server_and_its_password_are_written_together() {
    let mail =
        |more: &str| format!("[mail]\nsmtp_url = \"smtps://mail\"\nfrom = \"a@b.c\"\n{more}\n");
    assert_eq!(parse(&mail("")).unwrap().mail.unwrap().credentials, None);
    one_fault(&mail("username = \"u\""), "a name without `mail.password`");
    let password = [("P", "secret")];
    let both = mail("username = \"u\"\npassword = { env = \"P\" }");
    assert!(parse_with(&both, &password).unwrap().mail.unwrap().credentials.is_some());
    let faults = faults_with(&mail("password = { env = \"P\" }"), &password);
    assert!(faults[0].ends_with("a password without `mail.username`"), "{faults:#?}");
}

#[test]
fn a_mail_server_without_a_sender_is_a_fault() {
    one_fault("[mail]\nsmtp_url = \"smtps://mail\"\n", "the key `from` is missing");
    one_fault("[mail]\nfrom = \"a@b.c\"\n", "the key `smtp_url` is missing");
}

#[test]
fn what_is_of_no_use_to_a_redis_is_said() {
    one_fault(
        "redis = { url = \"redis://r\", ca = \"-----BEGIN CERTIFICATE-----\" }",
        "redis.ca: it is of no use without TLS: the URL begins with `redis://`",
    );
    one_fault(
        "celery.broker_url = \"redis-cluster://r\"",
        "celery.broker_url: Celery has no use for a cluster: its broker is a single Redis",
    );
    one_fault(
        "celery = { broker_url = \"redis://r\", ca = \"-----BEGIN CERTIFICATE-----\" }",
        "celery.ca: it is of no use without TLS: the URL of the broker begins with `redis://`",
    );
    let timeout = |period: &str| {
        parse(&format!("redis = {{ url = \"rediss-cluster://r\", call_timeout = \"{period}\" }}"))
    };
    for fits in ["1ms", "5s"] {
        assert!(timeout(fits).unwrap().redis.unwrap().uses_tls(), "{fits}");
    }
    for past in ["0ms", "5001ms"] {
        assert!(timeout(past).is_err(), "{past}");
    }
}

#[test]
fn revocations_are_shared_with_the_old_service_only_where_it_is_said_and_there_is_a_redis() {
    let beside = |text: &str, variables| {
        parse_with(text, variables).unwrap().redis.map(|redis| redis.beside_old_service)
    };
    let said = "redis = { url = \"redis://r/2\", beside_old_service = true }";
    assert_eq!(beside(said, &[]), Some(true));
    assert_eq!(beside("redis.url = \"redis://r/2\"", &[]), Some(false));
    assert_eq!(beside("", &[("REDIS_HOST", "r")]), Some(false));
    let by_variable = "redis.beside_old_service = true";
    assert_eq!(beside(by_variable, &[("REDIS_HOST", "r")]), Some(true));
    one_fault(by_variable, "the key `url` is missing");
}

#[test]
fn beside_the_old_service_tokens_must_be_remembered() {
    let text = |bytes: u64, beside: bool| {
        format!(
            "auth.token_cache_bytes = {bytes}\n\
             redis = {{ url = \"redis://r\", beside_old_service = {beside} }}"
        )
    };
    one_fault(
        &text(0, true),
        "auth.token_cache_bytes: with `redis.beside_old_service` it cannot be 0: what the old \
         service says of a token is kept there",
    );
    for (bytes, beside) in [(1, true), (0, false)] {
        assert!(parse(&text(bytes, beside)).is_ok(), "{bytes} {beside}");
    }
}

#[test]
fn a_redis_of_which_only_the_url_is_said_is_as_the_file_has_it() {
    let read = parse("redis.url = \"redis://r/7\"").unwrap().redis;
    assert_eq!(read, Some(Redis::at(Secret::new("redis://r/7"))));
}

#[test]
fn the_number_of_a_redis_database_is_at_most_255_wherever_one_is_named() {
    let texts = |number: u32| {
        let url = format!("redis://r/{number}");
        [
            format!("redis.url = \"{url}\""),
            format!("celery.broker_url = \"{url}\""),
            format!("celery = {{ broker_url = \"redis://r\", result_backend = \"{url}\" }}"),
        ]
    };
    for text in texts(255) {
        assert!(parse(&text).is_ok(), "{text}");
    }
    for text in texts(256) {
        one_fault(&text, "the Redis database is not a number from 0 to 255");
    }
    for variable in ["CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"] {
        let text = "celery.broker_url = \"redis://r\"";
        let faults = faults_with(text, &[(variable, "redis://r/256")]);
        assert!(faults[0].ends_with("not a number from 0 to 255"), "{faults:#?}");
    }
}

#[test]
fn a_celery_installation_is_watched_under_the_names_it_has() {
    let celery = |text: &str| parse(&format!("[celery]\n{text}")).unwrap().celery.unwrap();
    let plain = celery("broker_url = \"redis://r/3\"");
    assert_eq!((plain.database, plain.queues.as_slice()), (3, &["celery".to_owned()][..]));
    assert_eq!(plain.names().pidbox(), "/3.celery.pidbox");
    let named = celery(
        "broker_url = \"rediss://r/3?ssl_cert_reqs=CERT_REQUIRED\"\n\
         queues = [\"mail\", \"celery\"]\nglobal_keyprefix = \"app:\"\nfanout_prefix = \"\"",
    );
    assert_eq!(named.broker_url.expose(), "rediss://r/3");
    assert!(named.broker(std::time::Duration::from_secs(1)).uses_tls());
    assert_eq!(named.queues, ["mail", "celery"]);
    assert_eq!(named.names().pidbox(), "app:celery.pidbox");
    one_fault(
        "celery.broker_url = \"rediss://r?ssl_cert_reqs=none\"",
        "celery.broker_url: certificates are always checked: in the URL write \
         `ssl_cert_reqs=required`, and name those that are trusted in `celery.ca`",
    );
}

#[test]
fn of_32_queues_of_celery_the_depth_is_told_and_one_more_is_a_fault() {
    let queues = |count: usize| {
        let names: Vec<_> = (0..count).map(|n| format!("\"q{n}\"")).collect();
        format!("celery = {{ broker_url = \"redis://r\", queues = [{}] }}", names.join(","))
    };
    assert_eq!(parse(&queues(32)).unwrap().celery.unwrap().queues.len(), 32);
    one_fault(&queues(33), "celery.queues: 33 queues; at most 32 are watched");
    one_fault(
        "celery = { broker_url = \"redis://r\", queues = [\"a\", \"a\"] }",
        "celery.queues[1]: the queue `a` is named twice",
    );
}

#[test]
fn a_worker_serves_the_queues_it_is_told_and_else_those_that_are_watched() {
    let worker = |text: &str| parse(text).unwrap().worker;
    let plain = worker("");
    assert_eq!((plain.queues, plain.concurrency, plain.prefetch), (None, None, 4));
    let told = worker("worker = { queues = [\"vectors\"], concurrency = 256, name = \"w@a\" }");
    assert_eq!(told.queues, Some(vec!["vectors".to_owned()]));
    assert_eq!((told.concurrency, told.name.as_deref()), (Some(256), Some("w@a")));
    one_fault("worker.queues = []", "worker.queues: a worker without a queue has nothing to do");
    one_fault("worker.queues = [\"a\", \"a\"]", "worker.queues[1]: the queue `a` is named twice");
    assert!(faults("worker.concurrency = 257")[0].contains("256"));
}

#[test]
fn dead_letters_are_kept_in_no_queue_and_in_none_of_celerys_books() {
    let is_queue = |list: &str| {
        format!("worker.dead_letters: `{list}` is a queue: what is no task would be taken for ever")
    };
    let celery = "celery = { broker_url = \"redis://h/0\", queues = [\"watched\"] }\n";
    let with = |more: &str| format!("environment = \"dev\"\n{celery}{more}");
    let served = "worker = { queues = [\"served\"], dead_letters = \"served\" }";
    one_fault(&with(served), &is_queue("served"));
    one_fault(&with("worker.dead_letters = \"watched\""), &is_queue("watched"));
    for list in ["unacked", "unacked_index", "unacked_mutex"] {
        let why =
            format!("worker.dead_letters: Celery keeps its books as `{list}`: use another name");
        one_fault(&format!("worker.dead_letters = \"{list}\""), &why);
    }
    assert!(parse(&with("worker.dead_letters = \"celery\"")).is_ok(), "nobody looks there");
}

#[test]
fn an_upstream_may_be_asked_for_something_before_requests_come() {
    let upstream = |more: &str| format!("[upstreams.u]\nendpoints = [\"http://u\"]\n{more}");
    let warm_up = |more: &str| parse(&upstream(more)).unwrap().upstreams[0].warm_up.clone();
    assert_eq!(warm_up(""), None);
    let asked = warm_up("warm_up = \"/health?all\"").unwrap();
    assert_eq!((asked.target.as_str(), asked.required), ("/health?all", false));
    assert_eq!(asked.timeout.as_secs(), 30);
    let asked =
        warm_up("warm_up = \"/\"\nwarm_up_timeout = \"1h\"\nwarm_up_required = true").unwrap();
    assert_eq!((asked.timeout.as_secs(), asked.required), (3600, true));

    one_fault(&upstream("warm_up = \"health\""), "`health` does not begin with `/`");
    for odd in ["warm_up_timeout = \"1s\"", "warm_up_required = true"] {
        one_fault(&upstream(odd), "there is no `warm_up` that it could be about");
    }
    for timeout in ["999ms", "3601s"] {
        let text = upstream(&format!("warm_up = \"/\"\nwarm_up_timeout = \"{timeout}\""));
        assert_eq!(faults(&text).len(), 1, "{timeout}");
    }
}
