//! What is wrong with the world that a file names: found by others, shown at its place in the file.

use crate::{
    Problems,
    error::{Finding, Place, Report},
    syntax::Syntax,
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A value that is right by itself and does not fit what it names, such as a certificate that has expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The path of its key, such as `listeners.web.tls.certificates[0].cert`.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// Errors at the places of these keys; at the beginning of the file, if it has no such key. `source` and `name` as in
/// [`parse`](crate::parse).
#[must_use]
pub fn misfits(source: &str, name: &str, misfits: impl IntoIterator<Item = Misfit>) -> Problems {
    let (root, faults) = DeTable::parse_recoverable(source);
    let report = Report::new(Syntax::of(source, root.get_ref(), &faults));
    for Misfit { key, message, hint } in misfits {
        let place = find(root.get_ref(), &key).map_or_else(Place::default, |value| value.span().into());
        report.add(Finding::error(place, message).hint(hint));
    }
    report.into_problems(name, source, root.get_ref())
}

/// The value of a key, by its path.
fn find<'a>(root: &'a DeTable<'a>, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
    let mut steps = key.split(['.', '[']);
    let mut value = root.get(steps.next()?)?;
    for step in steps {
        value = match step.strip_suffix(']') {
            Some(index) => value.get_ref().as_array()?.get(index.parse::<usize>().ok()?)?,
            None => value.get_ref().as_table()?.get(step)?,
        };
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misfit_is_shown_at_the_value_of_its_key_with_the_key_and_the_hint() {
        let source = "[a.b]\nlist = [{ c = \"x\" }, { c = \"yy\" }]\n";
        let misfit = |key: &str| Misfit { key: key.into(), message: "is not there".into(), hint: "look".into() };

        let problems = misfits(source, "f.toml", [misfit("a.b.list[1].c"), misfit("a.none")]);

        assert_eq!(
            problems.to_string(),
            "f.toml:1:1: error: is not there (look)\nf.toml:2:28: error: is not there (look)"
        );
        assert_eq!(problems.iter().last().unwrap().key, "a.b.list[1].c");
        assert!(problems.render(false).contains("^^^^"), "{}", problems.render(false));
    }
}
