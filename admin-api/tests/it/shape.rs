use axum::body::Body;
use http::Request;

use crate::support::*;

#[tokio::test]
async fn a_name_under_a_mount_that_is_not_ours_is_a_404() {
    let house = House::empty("").await;
    for path in
        ["/auth", "/auth/", "/auth/nothing", "/api/auth/login/", "/elsewhere", "/auth/log%69n"]
    {
        let answer = house.ask(post(path)).await;
        answer.is_problem(404, "Not Found", "NOT_FOUND");
        assert_eq!(answer.json()["instance"], path);
    }
}

#[tokio::test]
async fn a_method_that_is_not_offered_is_a_405_that_names_those_that_are() {
    let house = House::empty("").await;
    for (path, allow) in [
        ("/auth/login", "POST"),
        ("/api/auth/refresh", "POST"),
        ("/auth/logout", "POST"),
        ("/auth/me", "GET,HEAD"),
        ("/monitoring/health", "GET,HEAD"),
    ] {
        let request = Request::delete(path).body(Body::empty()).unwrap();
        let answer = house.ask(request).await;
        answer.is_problem(405, "Method Not Allowed", "METHOD_NOT_ALLOWED");
        assert_eq!(answer.header("allow"), allow, "{path}");
    }
}

#[tokio::test]
async fn a_body_of_64_kib_is_the_largest() {
    let house = House::empty("").await;
    let body = |bytes: usize| "a=".to_owned() + &"b".repeat(bytes - 2);
    let send = |bytes| {
        let request = Request::post("/auth/login")
            .header("content-type", "application/x-www-form-urlencoded");
        house.ask(request.body(Body::from(body(bytes))).unwrap())
    };
    assert_eq!(send(64 * 1024).await.status, 422);
    let answer = send(64 * 1024 + 1).await;
    answer.is_problem(413, "Request body too large", "PAYLOAD_TOO_LARGE");
}

#[tokio::test]
async fn a_body_of_65_fields_has_one_too_many() {
    let house = House::empty("").await;
    let send = |fields: usize| house.ask(login(&vec![("a", "b"); fields]));
    let most = send(64).await;
    most.is_problem(422, "Validation error: body.username, body.password", "VALIDATION_ERROR");
    send(65).await.is_problem(422, "Validation error: body", "VALIDATION_ERROR");
}

#[tokio::test]
async fn a_body_of_another_media_type_is_a_415_that_says_what_to_send() {
    let house = House::empty("").await;
    let send = |path: &str, kind: Option<&str>| {
        let mut request = Request::post(path);
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        house.ask(request.body(Body::from("<a/>")).unwrap())
    };
    for kind in [None, Some("text/xml"), Some("application/json"), Some("multipart/form-data")] {
        send("/auth/login", kind).await.is_problem(
            415,
            "Unsupported media type; send application/x-www-form-urlencoded",
            "UNSUPPORTED_MEDIA_TYPE",
        );
    }
    assert_eq!(send("/auth/refresh", Some("text/plain")).await.status, 415);
    let charset = Some("Application/X-WWW-Form-Urlencoded; charset=utf-8");
    assert_eq!(send("/auth/login", charset).await.status, 422);
}

#[tokio::test]
async fn a_request_id_is_taken_over_if_it_is_fit_to_be_repeated() {
    let house = House::empty("").await;
    let longest = "r".repeat(kernel::front::REQUEST_ID_BYTES_MAX);
    let longer = format!("{longest}r");
    for (sent, kept) in
        [("abc-1", true), (&longest, true), (&longer, false), ("a b", false), ("", false)]
    {
        let mut request = get("/auth/nothing");
        request.headers_mut().insert("x-request-id", sent.parse().unwrap());
        let answer = house.ask(request).await;
        answer.is_problem(404, "Not Found", "NOT_FOUND");
        let id = answer.json()["request_id"].as_str().unwrap().to_owned();
        assert_eq!(id == sent, kept, "{sent}: {id}");
        assert!(kept || id.len() == 36, "a UUID: {id}");
    }
}
