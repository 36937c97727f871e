//! What was probably meant by a name that nothing has.

/// The longest name for which a neighbour is sought, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// The known name nearest to `name`, if any is near: a third of its characters at most may differ.
pub(crate) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    let far = (name.chars().count() / 3).max(1);
    known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), *known))
        .filter(|(distance, _)| *distance <= far)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// The names, each in backticks; `none` where there are none.
pub(crate) fn list<S: AsRef<str>>(names: &[S]) -> String {
    const SHOWN_MAX: usize = 20;
    if names.is_empty() {
        return "none".to_owned();
    }
    let quoted = |name: &S| format!("`{}`", name.as_ref());
    let mut listed = names.iter().take(SHOWN_MAX).map(quoted).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN_MAX {
        listed.push_str(&format!(" and {} more", names.len() - SHOWN_MAX));
    }
    listed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_the_name_and_nonsense_finds_none() {
        let known = ["upstream", "methods", "access"];
        assert_eq!(nearest("upstraem", &known), Some("upstream"));
        assert_eq!(nearest("acces", &known), Some("access"));
        assert_eq!(nearest("banana", &known), None);
        assert_eq!(nearest(&"a".repeat(65), &known), None);
    }
}
