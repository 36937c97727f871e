use super::*;

/// Resources by their names and needs; a name that ends with `?` is optional.
fn plan(resources: &[(&str, &[&str])]) -> Result<(), String> {
    let resources = resources.iter().map(|(name, needs)| {
        let weight = if name.ends_with('?') { Weight::Optional } else { Weight::Required };
        let (resource, _) = Resource::new(name, weight, || async { Ok(()) });
        resource.after(needs)
    });
    let planned = WarmUp::new(resources.collect(), Scribe::default());
    planned.map(|_| ()).map_err(|error| error.to_string())
}

fn check(resources: &[(&str, &[&str])], error: &str) {
    assert_eq!(plan(resources), Err(error.to_owned()));
}

#[test]
fn needs_may_be_shared_and_named_in_any_order() {
    let diamond: &[(&str, &[&str])] =
        &[("d", &["b", "c"]), ("b", &["a"]), ("c", &["a"]), ("a", &[]), ("e?", &["d"])];
    assert_eq!(plan(diamond), Ok(()));
}

#[test]
fn a_need_that_is_not_there_is_named_with_all_that_are() {
    check(
        &[("keys", &["databse"]), ("database", &[])],
        "`keys` needs `databse`, which there is not; there are `keys`, `database`",
    );
}

#[test]
fn two_of_one_name_are_an_error() {
    check(&[("keys", &[]), ("keys", &[])], "there are two resources `keys`");
}

#[test]
fn a_circle_is_named_without_the_way_to_it() {
    check(
        &[("routes", &["keys"]), ("keys", &["store"]), ("store", &["keys"]), ("far", &[])],
        "resources need each other in a circle: `keys` → `store` → `keys`",
    );
    check(&[("keys", &["keys"])], "resources need each other in a circle: `keys` → `keys`");
}

#[test]
fn what_is_required_cannot_need_what_is_optional() {
    check(
        &[("routes", &["model?"]), ("model?", &[])],
        "`routes` is required and needs `model?`, which is optional",
    );
}
