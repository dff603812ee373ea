//! Sets, adds or removes one header field.

use evenkeel_model::HeaderChange;
use http::HeaderMap;

pub(super) fn apply(change: &HeaderChange, headers: &mut HeaderMap) {
    match change {
        HeaderChange::Set(name, value) => {
            headers.insert(name, value.clone());
        }
        HeaderChange::Add(name, value) => {
            headers.append(name, value.clone());
        }
        HeaderChange::Remove(name) => {
            headers.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    #[test]
    fn set_replaces_all_lines_add_adds_one_and_remove_leaves_none() {
        let name = HeaderName::from_static("x-a");
        let value = HeaderValue::from_static;
        let mut headers = HeaderMap::new();
        let lines = |headers: &HeaderMap| {
            headers.get_all("x-a").iter().map(|v| v.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        apply(&HeaderChange::Add(name.clone(), value("1")), &mut headers);
        apply(&HeaderChange::Add(name.clone(), value("2")), &mut headers);
        assert_eq!(lines(&headers), ["1", "2"]);
        apply(&HeaderChange::Set(name.clone(), value("3")), &mut headers);
        assert_eq!(lines(&headers), ["3"]);
        apply(&HeaderChange::Remove(name), &mut headers);
        assert!(lines(&headers).is_empty());
    }
}
