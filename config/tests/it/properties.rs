//! Whatever is written, it loads rightly or is refused with its faults; nothing panics.

use proptest::prelude::*;
use toml::Table;
use toml::Value;

use crate::SECRET;

/// Files that load, to be broken.
const GOOD: [&str; 3] = [
    include_str!("contract.toml"),
    include_str!("../../examples/services.toml"),
    include_str!("../../examples/take-over.toml"),
];

/// What the files refer to, and nothing that would override them.
const VARIABLES: [&str; 6] = [
    "JWT_SECRET_KEY",
    "DOORWARD_SIGNING_SECRET",
    "DOORWARD_PREVIOUS_SECRET",
    "DB_PASSWORD",
    "POSTGRES_PASSWORD",
    "GOOGLE_CLIENT_SECRET",
];

fn parse(text: &str) -> Result<config::Config, config::Faults> {
    // A provider's secret that no file asks for is a fault of its own.
    let set = |name: &str| {
        VARIABLES.contains(&name) && (text.contains(name) || !name.starts_with("GOOGLE_"))
    };
    let environment = |name: &str| set(name).then(|| SECRET.to_owned());
    let parsed = config::parse("doorward.toml", text, &environment);
    if let Err(faults) = &parsed {
        assert!(!faults.problems.is_empty(), "refused without a reason:\n{text}");
        let _ = (faults.to_string(), faults.to_json());
    }
    parsed
}

/// A way to a value: keys and indexes.
type Way = Vec<Step>;

#[derive(Clone, Debug)]
enum Step {
    Key(String),
    Index(usize),
}

/// The ways to all values of the document, tables and lists included.
fn ways(value: &Value, way: &Way, all: &mut Vec<Way>) {
    let steps: Vec<(Step, &Value)> = match value {
        Value::Table(table) => table.iter().map(|(key, v)| (Step::Key(key.clone()), v)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(i, v)| (Step::Index(i), v)).collect(),
        _ => return,
    };
    for (step, value) in steps {
        let mut longer = way.clone();
        longer.push(step);
        all.push(longer.clone());
        ways(value, &longer, all);
    }
}

/// The value at the end of a way.
fn at<'v>(value: &'v mut Value, way: &[Step]) -> &'v mut Value {
    way.iter().fold(value, |value, step| match step {
        Step::Key(key) => &mut value[key.as_str()],
        Step::Index(index) => &mut value[*index],
    })
}

fn spelt(way: &[Step]) -> String {
    way.iter().fold(String::new(), |path, step| match step {
        Step::Key(key) if path.is_empty() => key.clone(),
        Step::Key(key) => format!("{path}.{key}"),
        Step::Index(index) => format!("{path}[{index}]"),
    })
}

/// Something that no key takes.
fn wrong_kind(which: usize) -> Value {
    match which % 3 {
        0 => Value::Float(1.5),
        1 => Value::Datetime("1979-05-27".parse().unwrap()),
        _ => Value::Array(vec![Value::Array(vec![])]),
    }
}

#[test]
fn the_files_to_be_broken_are_good() {
    for text in GOOD {
        parse(text).unwrap_or_else(|faults| panic!("{faults}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Property 3 of the contract: a broken configuration never starts serving.
    #[test]
    fn a_value_of_the_wrong_kind_never_loads_and_is_named(
        file in 0..GOOD.len(),
        target in any::<prop::sample::Index>(),
        kind in 0..3_usize,
    ) {
        let mut document = Value::Table(toml::from_str::<Table>(GOOD[file]).unwrap());
        let mut all = Vec::new();
        ways(&document, &Vec::new(), &mut all);
        let way = target.get(&all);
        *at(&mut document, way) = wrong_kind(kind);
        let text = toml::to_string(&document).unwrap();
        let faults = parse(&text).expect_err("a value of the wrong kind");
        let path = spelt(way);
        let named = faults.problems.iter().any(|fault| fault.path.starts_with(&path));
        prop_assert!(named, "{path}: {faults}");
    }

    #[test]
    fn a_key_that_nobody_knows_never_loads_wherever_it_stands(
        file in 0..GOOD.len(),
        target in any::<prop::sample::Index>(),
    ) {
        let mut document = Value::Table(toml::from_str::<Table>(GOOD[file]).unwrap());
        let mut all = vec![Vec::new()];
        ways(&document, &Vec::new(), &mut all);
        // An upstream, role or tier may have any name, but no upstream, role or tier is a number.
        all.retain(|way| at(&mut document, way).is_table());
        let way = target.get(&all);
        at(&mut document, way).as_table_mut().unwrap().insert("zz".to_owned(), Value::Integer(7));
        let faults = parse(&toml::to_string(&document).unwrap()).expect_err("an unknown key");
        prop_assert!(faults.problems.iter().any(|fault| fault.path.ends_with("zz")), "{faults}");
    }

    #[test]
    fn parsing_any_text_never_panics(text in "(.|\n){0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn parsing_a_damaged_file_never_panics(
        file in 0..GOOD.len(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..6_usize, "[\\[\\]{}=\"'.,#\n a0é\u{feff}]{0,4}"), 1..6),
    ) {
        let mut text = GOOD[file].chars().collect::<Vec<_>>();
        for (at, length, insert) in cuts {
            let start = at.index(text.len());
            let end = (start + length).min(text.len());
            text.splice(start..end, insert.chars());
        }
        let _ = parse(&text.into_iter().collect::<String>());
    }

    #[test]
    fn deep_nesting_is_refused_and_does_not_overflow_the_stack(depth in 1..5_000_usize) {
        let lists = format!("a = {}", "[".repeat(depth));
        let tables = format!("a = {}", "{a=".repeat(depth));
        let keys = format!("a{} = 1", ".a".repeat(depth));
        for text in [lists, tables, keys] {
            prop_assert!(parse(&text).is_err());
        }
    }
}
