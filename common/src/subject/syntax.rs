//! The text forms that subject formats ask for. Each function says yes to what its standard allows and to little else.

use std::net::IpAddr;

/// A URI with a scheme (RFC 3986 §3): the scheme's characters, a colon, then something of URI characters only.
pub(crate) fn is_uri(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, rest)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
            && !rest.is_empty()
            && rest.chars().all(|c| c.is_ascii_graphic() && !"\"<>\\^`{|}".contains(c))
    })
}

/// An `acct:` URI: a user, an `@`, a host (RFC 7565 §7).
pub(super) fn is_account(text: &str) -> bool {
    is_uri(text)
        && text.split_once(':').is_some_and(|(scheme, rest)| {
            scheme.eq_ignore_ascii_case("acct")
                && rest.split_once('@').is_some_and(|(user, host)| {
                    !user.is_empty() && !host.is_empty() && !host.contains(['@', '/', '?', '#'])
                })
        })
}

/// An addr-spec as far as it matters here: something, an `@`, a domain without white space (RFC 5322 §3.4.1).
pub(super) fn is_email(text: &str) -> bool {
    !text.contains(char::is_control)
        && text.rsplit_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && !domain.is_empty() && !domain.contains(char::is_whitespace)
        })
}

/// An E.164 number: `+`, then up to 15 digits of which the first is not 0. Visual separators (RFC 3966 §5.1.1) and
/// spaces between them are allowed, because SSF's own examples have them.
pub(super) fn is_phone_number(text: &str) -> bool {
    let digits = phone_digits(text);
    text.starts_with('+')
        && text.chars().skip(1).all(|c| c.is_ascii_digit() || SEPARATORS.contains(&c))
        && (2..=16).contains(&digits.len())
        && !digits.starts_with("+0")
}

/// A phone number without its visual separators.
pub(super) fn phone_digits(text: &str) -> String {
    text.chars().filter(|c| !SEPARATORS.contains(c)).collect()
}

/// A DID or DID URL: `did:`, a method name, an identifier (DID Core §3.1 and §3.2).
pub(super) fn is_did(text: &str) -> bool {
    let method_and_id = text.strip_prefix("did:").and_then(|rest| rest.split_once(':'));
    is_uri(text)
        && method_and_id.is_some_and(|(method, id)| {
            !method.is_empty()
                && method.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
                && !id.is_empty()
                && !id.starts_with(['/', '?', '#'])
        })
}

/// An IP address in its one shortest spelling, a zone (RFC 4001) kept; `None` if it is none.
pub(super) fn address(text: &str) -> Option<String> {
    match text.split_once('%') {
        None => text.parse::<IpAddr>().ok().map(|address| address.to_string()),
        Some((address, zone)) => {
            let address = address.parse::<std::net::Ipv6Addr>().ok()?;
            let plain = !zone.is_empty() && zone.chars().all(|c| c.is_ascii_alphanumeric() || "-._~".contains(c));
            plain.then(|| format!("{address}%{zone}"))
        }
    }
}

const SEPARATORS: [char; 5] = [' ', '-', '.', '(', ')'];
