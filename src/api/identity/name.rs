//! The names of callers that others vouch for.

use crate::digest::Digest;

/// The longest name, in bytes, without what it begins with.
const LONGEST: usize = 200;

/// A name for journals, logs and answers: `kind`, and the subject as far as it is visible ASCII and not too long. Two
/// subjects never share one: where something is left out, the beginning of the subject's SHA-256 follows.
pub(super) fn name(kind: &str, subject: &str) -> String {
    let visible = |character: char| if character.is_ascii_graphic() { character } else { '?' };
    let plain: String = subject.chars().take(LONGEST).map(visible).collect();
    // One that has the sign itself is marked, too, so that it cannot look like another's.
    if plain == subject && !subject.contains('#') {
        return format!("{kind}:{plain}");
    }
    format!("{kind}:{plain}#{}", &Digest::of(subject).to_string()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_printable_and_bounded_and_nobody_elses() {
        assert_eq!(name("oidc", "repo:o/r:ref:refs/heads/main"), "oidc:repo:o/r:ref:refs/heads/main");
        let long = "x".repeat(5_000);
        let names =
            [long.as_str(), &long[1..], "a\nb", "a\rb", "a?b", "é", "\u{202e}evil"].map(|text| name("oidc", text));
        for (index, one) in names.iter().enumerate() {
            assert!(one.len() < 230 && one.bytes().all(|byte| byte.is_ascii_graphic()), "{one}");
            assert!(!names[..index].contains(one), "{one}");
        }
    }
}
