//! [`Target`]: what a request is made to, as a DPoP proof names it.

use std::fmt::Write as _;

use url::{Position, Url};

/// A URI without query and fragment, written in the one normal form (RFC 3986 §6.2.2 and §6.2.3): scheme and host in
/// lower case, no default port, no dot segments, percent-encoding only where it is needed and in upper case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(String);

impl Target {
    /// The target of this URI; `None` if it is not an http or https URI.
    pub fn of(uri: &str) -> Option<Self> {
        // a URI of a request has no white space, which a URL of the web's standard loses silently
        if uri.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
            return None;
        }
        let url: Url = uri.parse().ok()?;
        let is_web = ["http", "https"].contains(&url.scheme()) && url.username().is_empty() && url.password().is_none();
        is_web.then(|| Self(format!("{}{}", &url[..Position::BeforePath], normal(url.path()))))
    }

    /// The target of a request with this path at an origin, such as `https://api.example`, by which clients know it.
    pub fn at(origin: &str, path: &str) -> Option<Self> {
        Self::of(&format!("{}{path}", origin.trim_end_matches('/')))
    }

    /// The URI.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Encoded unreserved characters are decoded, all other encodings are in upper case (RFC 3986 §6.2.2.1, §6.2.2.2).
fn normal(path: &str) -> String {
    let mut rest = path;
    let mut written = String::with_capacity(path.len());
    while let Some((before, after)) = rest.split_once('%') {
        written.push_str(before);
        match after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => written.push(char::from(byte)),
            Some(byte) => {
                let _ = write!(written, "%{byte:02X}");
            }
            None => {
                written.push('%');
                rest = after;
                continue;
            }
        }
        rest = &after[2..];
    }
    written.push_str(rest);
    written
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spellings_of_one_uri_are_one_target_and_other_uris_are_others() {
        let same = [
            "https://api.example/a/b~c",
            "HTTPS://API.Example:443/a/b~c",
            "https://api.example/a/b%7Ec?q=1#f",
            "https://api.example/a/./x/../b%7ec",
        ];
        for uri in same {
            assert_eq!(Target::of(uri).unwrap().as_str(), "https://api.example/a/b~c", "{uri}");
        }
        assert_eq!(Target::of("http://h/%c3%A9%2f").unwrap().as_str(), "http://h/%C3%A9%2F");
        assert_eq!(Target::of("https://h"), Target::of("https://h/"));
        assert_eq!(Target::at("https://h/", "/x?y"), Target::of("https://h/x"));
        let others = [
            "http://api.example/a/b~c",
            "https://api.example:8443/a/b~c",
            "https://api.example/a/b~c/",
            "https://api.example/A/b~c",
            "https://api.example.evil/a/b~c",
        ];
        for uri in others {
            assert_ne!(Target::of(uri), Target::of(same[0]), "{uri}");
        }
        for none in
            ["", "/a", "ftp://h/a", "https://", "https://u@h/", "https://u:p@h/", "https://h/\u{9}x", "https:\\\\h"]
        {
            assert_eq!(Target::of(none), None, "{none:?}");
        }
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(path in "(/[a-zA-Z0-9%._~-]{0,8}){0,4}(\\?[a-z]{0,3})?") {
            let once = Target::at("https://h", &path).unwrap();
            prop_assert_eq!(Target::of(once.as_str()), Some(once));
        }

        #[test]
        fn no_text_of_a_stranger_panics(text in "\\PC{0,40}") {
            let _ = Target::of(&text);
        }
    }
}
