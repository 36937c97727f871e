//! Lengths of time and whole numbers, each within its bounds.

use std::time::Duration;

use serde_json::Value;
use serde_json::json;
use toml::de::DeInteger;
use toml::de::DeValue;

use super::parsed;
use crate::read::Node;
use crate::read::Read;
use crate::report::Report;
use crate::report::shown;

/// One second, in the unit of [`Period`]'s bounds.
pub(crate) const SECOND: u64 = 1000;
/// One minute, in the unit of [`Period`]'s bounds.
pub(crate) const MINUTE: u64 = 60 * SECOND;
/// One hour, in the unit of [`Period`]'s bounds.
pub(crate) const HOUR: u64 = 60 * MINUTE;
/// One day, in the unit of [`Period`]'s bounds.
pub(crate) const DAY: u64 = 24 * HOUR;

/// The units a length of time is written in, longest first, in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND), ("ms", 1)];

/// A length of time from `MIN` to `MAX` milliseconds, such as `"30m"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period<const MIN: u64, const MAX: u64>(pub(crate) Duration);

impl<const MIN: u64, const MAX: u64> Period<MIN, MAX> {
    fn parse(text: &str) -> Result<Self, String> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let unit = UNITS.iter().find(|(name, _)| *name == unit && !number.is_empty());
        let Some((_, unit)) = unit else {
            return Err(format!(
                "`{}` is not a length of time: write a whole number of `ms`, `s`, `m`, `h` or `d`, \
                 such as `30s`",
                shown(text)
            ));
        };
        let millis = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*unit));
        match millis {
            Some(millis) if (MIN..=MAX).contains(&millis) => {
                Ok(Self(Duration::from_millis(millis)))
            }
            _ => Err(format!("`{}` is not from `{}` to `{}`", shown(text), spelt(MIN), spelt(MAX))),
        }
    }
}

/// `millis` as an operator writes it, in the largest unit that fits.
fn spelt(millis: u64) -> String {
    let fits = |unit: &&(&str, u64)| millis >= unit.1 && millis.is_multiple_of(unit.1);
    match UNITS.iter().find(fits) {
        Some((name, unit)) => format!("{}{name}", millis / unit),
        None => "0s".to_owned(),
    }
}

impl<const MIN: u64, const MAX: u64> Read for Period<MIN, MAX> {
    fn read(node: Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        if let DeValue::Integer(number) = node.value {
            let number = number.as_str();
            report.fault(&node.at, format!("`{number}` has no unit: write `\"{number}s\"`"));
            return None;
        }
        parsed(&node, report, "a length of time, such as `\"30s\"`", Self::parse)
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$" })
    }
}

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whole<const MIN: u64, const MAX: u64>(pub(crate) u64);

impl<const MIN: u64, const MAX: u64> Read for Whole<MIN, MAX> {
    fn read(node: Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let DeValue::Integer(number) = node.value else {
            node.is_not(&format!("a whole number from {MIN} to {MAX}"), report);
            return None;
        };
        match whole(number).and_then(|number| u64::try_from(number).ok()) {
            Some(number) if (MIN..=MAX).contains(&number) => Some(Self(number)),
            _ => {
                let number = shown(&number.to_string());
                let message = format!("`{number}` is not a whole number from {MIN} to {MAX}");
                report.fault(&node.at, message);
                None
            }
        }
    }

    fn schema() -> Value {
        json!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

/// The integer, in whatever base it was written.
fn whole(number: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: Result<u64, &str>) {
        let got = Period::<SECOND, DAY>::parse(text).map(|period| period.0.as_millis() as u64);
        assert_eq!(got, want.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn a_length_of_time_is_a_whole_number_and_a_unit() {
        check("1s", Ok(1_000));
        check("1500ms", Ok(1_500));
        check("30m", Ok(1_800_000));
        check("2h", Ok(7_200_000));
        check("1d", Ok(86_400_000));
        for text in ["", "s", "1", "1.5s", "-1s", "1 s", "1S", "1w", "١s"] {
            assert!(Period::<SECOND, DAY>::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_length_of_time_at_its_bounds_fits_and_one_past_them_does_not() {
        check("999ms", Err("`999ms` is not from `1s` to `1d`"));
        check("86400s", Ok(86_400_000));
        check("86401s", Err("`86401s` is not from `1s` to `1d`"));
        check("99999999999999999999d", Err("`99999999999999999999d` is not from `1s` to `1d`"));
    }
}
