//! The known word that a person most likely meant.

/// The one among `known` that is nearest to `word`, if it is near enough to be what was meant: a few letters differ, the words of a name
/// stand in another order (`max_connections` for `connections_max`), or one is the beginning of the other.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known.into_iter().filter_map(|k| distance(word, k).map(|d| (d, k))).min().map(|(_, k)| k)
}

/// `None` when too far.
fn distance(word: &str, known: &str) -> Option<usize> {
    // Comparing takes as long as the product of both lengths, and nobody mistypes such a name.
    if word.len().max(known.len()) > 100 {
        return None;
    }
    // A typing slip touches about one letter in three at most; beyond that a hint would be a guess.
    let limit = word.len().max(known.len()) / 3;
    let near = |a: &str, b: &str| {
        let d = if a.len().abs_diff(b.len()) > limit { usize::MAX } else { strsim::damerau_levenshtein(a, b) };
        (d <= limit).then_some(d)
    };
    let begins = || {
        let shorter = word.len().min(known.len());
        (shorter >= 4 && (word.starts_with(known) || known.starts_with(word))).then_some(limit + 1)
    };
    near(word, known).or_else(|| near(&sorted(word), &sorted(known))).or_else(begins)
}

fn sorted(name: &str) -> String {
    let mut words: Vec<&str> = name.split(['_', '-']).collect();
    words.sort_unstable();
    words.join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_what_a_person_meant() {
        let known = ["endpoints", "connections_max", "health", "timeouts", "listen"];
        for (word, meant) in [
            ("endpoint", Some("endpoints")),
            ("enpoints", Some("endpoints")),
            ("max_connections", Some("connections_max")),
            ("health_check", Some("health")),
            ("lisetn", Some("listen")),
            ("timeout", Some("timeouts")),
            ("colour", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
    }
}
