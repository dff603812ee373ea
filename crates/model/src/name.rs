//! Names given in the file. A listener and an upstream are known by theirs; they outlive a reload.

use std::{fmt, str::FromStr, sync::Arc};

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name has 1 to 64 lower-case letters, digits, '-' or '_', and begins with a letter or digit")]
pub struct NameError;

fn checked(text: &str) -> Result<Arc<str>, NameError> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    let first = text.bytes().next().ok_or(NameError)?;
    let good = text.len() <= 64 && first.is_ascii_alphanumeric() && text.bytes().all(allowed);
    if good { Ok(text.into()) } else { Err(NameError) }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

name!(
    /// The name of a listener, `[listeners.NAME]`.
    ListenerName
);
name!(
    /// The name of an upstream, `[upstreams.NAME]`.
    UpstreamName
);
name!(
    /// The name of a route: its `name`, or one derived from its first host and its path. Never its position in the file, so
    /// that counters follow a route that moves.
    RouteName
);

impl FromStr for ListenerName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        checked(text).map(Self)
    }
}

impl FromStr for UpstreamName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        checked(text).map(Self)
    }
}

impl RouteName {
    /// A name written in the file: the same rule as for listeners and upstreams.
    ///
    /// # Errors
    /// When the text breaks that rule.
    pub fn explicit(text: &str) -> Result<Self, NameError> {
        checked(text).map(Self)
    }

    /// A name made of what the route matches, such as `api.example.com/v1/`. Not checked: it comes from checked parts.
    #[must_use]
    pub fn derived(text: &str) -> Self {
        Self(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_lower_case_word() {
        for good in ["web", "api-v2", "a_b", "0", &"x".repeat(64)] {
            assert_eq!(good.parse::<UpstreamName>().unwrap().as_str(), good);
        }
        for bad in ["", "Web", "a b", "-a", "é", "a.b", &"x".repeat(65)] {
            assert_eq!(bad.parse::<ListenerName>(), Err(NameError), "{bad:?}");
        }
    }
}
