//! `[status]`: stages and statuses, each once and within bounds.

use std::time::Duration;

use kernel::status::STAGES_MAX;
use kernel::status::STATUSES_MAX;
use kernel::status::Standing;

use crate::faults;
use crate::parse;

#[test]
fn unless_it_is_said_otherwise_there_are_the_stages_and_statuses_of_the_replaced_service() {
    let status = parse("").unwrap().status;
    assert_eq!(*status.plan, kernel::status::Plan::default());
    assert_eq!(status.ttl, kernel::status::TTL);
    assert_eq!((status.resources_max.get(), status.buffer_max.get()), (20_000, 10_000));
}

#[test]
fn stages_and_further_statuses_are_the_operators_own() {
    let status = parse(
        "[status]\nstages = [\"fetch\", \"parse\"]\nstatuses = { skipped = \"completed\" }\nttl = \"1h\"",
    );
    let status = status.unwrap().status;
    assert_eq!(status.plan.stages().iter().map(|s| &**s).collect::<Vec<_>>(), ["fetch", "parse"]);
    assert_eq!(status.plan.status("skipped").unwrap().standing, Standing::Completed);
    assert_eq!(status.ttl, Duration::from_secs(3600));
}

#[test]
fn what_cannot_be_a_plan_is_said_all_at_once() {
    let text = "[status]\nstages = [\"a\", \"b\", \"a\"]\n\
                statuses = { failed = \"pending\", odd = \"done\", \"a b\" = \"pending\" }";
    let faults = faults(text);
    assert!(faults.iter().any(|f| f.contains("the stage `a` is listed twice")), "{faults:#?}");
    assert!(faults.iter().any(|f| f.contains("`done` is not one of")), "{faults:#?}");
    for wrong in ["`failed` is there in any case, and means itself", "`a b` is no name"] {
        let text = "[status]\nstatuses = { failed = \"pending\", \"a b\" = \"pending\" }";
        assert!(crate::faults(text).iter().any(|f| f.contains(wrong)), "{wrong}");
    }
}

#[test]
fn there_are_from_one_to_32_stages_and_at_most_32_statuses() {
    let stages = |number: usize| {
        let names: Vec<_> = (0..number).map(|n| format!("\"s{n}\"")).collect();
        parse(&format!("[status]\nstages = [{}]", names.join(", "))).is_ok()
    };
    let statuses = |number: usize| {
        let names: Vec<_> = (0..number).map(|n| format!("s{n} = \"pending\"")).collect();
        parse(&format!("[status]\nstatuses = {{ {} }}", names.join(", "))).is_ok()
    };
    assert_eq!([0, 1, STAGES_MAX, STAGES_MAX + 1].map(stages), [false, true, true, false]);
    assert_eq!([STATUSES_MAX - 4, STATUSES_MAX - 3].map(statuses), [true, false]);
}
