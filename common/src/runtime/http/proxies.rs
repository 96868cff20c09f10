//! Whom a request comes from, and for which host, when proxies stand in between. What a proxy says is believed only if
//! it is one of ours; what anybody else writes into these headers is not looked at.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// In which headers the proxies write. One kind only: a proxy that writes the one may pass on the other as a stranger
/// wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedBy {
    /// `X-Forwarded-For`, `X-Forwarded-Host`, `X-Forwarded-Proto`.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239 §4).
    Forwarded,
}

/// The proxies that are believed. Clones are cheap.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    trusted: Arc<[IpNet]>,
    by: ForwardedBy,
}

/// A member of the list is no address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("holds something that is neither an address nor a network; write for example 10.0.0.0/8 or 192.0.2.7")]
pub struct ProxiesError;

/// Where a request began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The client's address, if it is known.
    pub address: Option<IpAddr>,
    /// The host the client asked for, if a trusted proxy says so.
    pub host: Option<String>,
    /// Whether the client came over TLS, if a trusted proxy says so.
    pub is_secure: Option<bool>,
}

impl Proxies {
    /// Reads the list: addresses and networks.
    pub fn new<'a>(trusted: impl IntoIterator<Item = &'a str>, by: ForwardedBy) -> Result<Self, ProxiesError> {
        let trusted = trusted.into_iter().map(network).collect::<Option<Vec<_>>>().ok_or(ProxiesError)?;
        Ok(Self { trusted: trusted.into(), by })
    }

    /// Whether this is one of our proxies.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|network| network.contains(&address))
    }

    /// Where a request from `peer` began. The chain of addresses is read from its near end: the first that is not a
    /// proxy of ours is the client, whatever it wrote in front of itself.
    pub fn origin(&self, peer: Option<SocketAddr>, headers: &HeaderMap) -> Origin {
        let Some(peer) = peer.map(|peer| peer.ip().to_canonical()) else { return Origin::default() };
        if !self.trusts(peer) {
            return Origin { address: Some(peer), ..Origin::default() };
        }
        let said = match self.by {
            ForwardedBy::XForwarded => x_forwarded(headers),
            ForwardedBy::Forwarded => forwarded(headers),
        };
        let mut address = peer;
        for hop in said.chain.iter().rev() {
            // a proxy that hides its client, or writes nonsense, is as far as we can see
            let Some(hop) = *hop else { break };
            address = hop;
            if !self.trusts(hop) {
                break;
            }
        }
        Origin { address: Some(address), host: said.host, is_secure: said.is_secure }
    }
}

fn network(text: &str) -> Option<IpNet> {
    let text = text.trim();
    IpNet::from_str(text).map(|network| network.trunc()).ok().or_else(|| IpAddr::from_str(text).ok().map(IpNet::from))
}

#[derive(Default)]
struct Said {
    /// From the client to the last proxy but one; `None` where a member is not an address.
    chain: Vec<Option<IpAddr>>,
    host: Option<String>,
    is_secure: Option<bool>,
}

/// The members of a header that is a list, over all of its lines. What cannot be read is one too: a client may have written
/// it in front of what the proxies say.
fn members<'a>(headers: &'a HeaderMap, name: &'static str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter().map(HeaderValue::as_bytes);
    let members = lines.flat_map(|line| line.split(|byte| *byte == b','));
    members.map(|member| std::str::from_utf8(member.trim_ascii()).unwrap_or("?")).filter(|member| !member.is_empty())
}

fn x_forwarded(headers: &HeaderMap) -> Said {
    // the nearest proxy writes last
    Said {
        chain: members(headers, "x-forwarded-for").map(node).collect(),
        host: members(headers, "x-forwarded-host").last().map(ToOwned::to_owned),
        is_secure: members(headers, "x-forwarded-proto").last().map(|scheme| scheme.eq_ignore_ascii_case("https")),
    }
}

/// RFC 7239 §4: `for=192.0.2.60;proto=http;host=idp.example, for="[2001:db8::1]:4711"`.
fn forwarded(headers: &HeaderMap) -> Said {
    let mut said = Said::default();
    let lines = headers.get_all("forwarded").into_iter().map(|line| line.to_str().ok());
    for element in lines.flat_map(|line| outside_quotes(line.unwrap_or("\""), ',')) {
        let mut hop = None;
        for pair in outside_quotes(element.unwrap_or_default(), ';').into_iter().flatten() {
            let Some((name, value)) = pair.split_once('=') else { continue };
            let value = value.trim();
            let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
            match name.trim().to_ascii_lowercase().as_str() {
                "for" => hop = node(value),
                "host" => said.host = Some(value.to_owned()),
                "proto" => said.is_secure = Some(value.eq_ignore_ascii_case("https")),
                _ => {}
            }
        }
        said.chain.push(hop);
    }
    said
}

/// The parts of `text` between separators, as far as those do not stand in a quoted string: a proxy may quote what a client
/// wrote. What is quoted without end is `None`, and nobody can say what it means.
fn outside_quotes(text: &str, separator: char) -> Vec<Option<&str>> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            c if c == separator && !is_quoted => {
                parts.push(Some(text[start..at].trim()));
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(if is_quoted { None } else { Some(text[start..].trim()) });
    parts
}

/// An address, with or without a port, in brackets or not.
fn node(text: &str) -> Option<IpAddr> {
    let address = IpAddr::from_str(text).ok().or_else(|| SocketAddr::from_str(text).ok().map(|with| with.ip()));
    let bare = || IpAddr::from_str(text.strip_prefix('[')?.strip_suffix(']')?).ok();
    address.or_else(bare).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use proptest::prelude::*;

    use super::*;

    fn origin(proxies: &Proxies, peer: &str, headers: &[(&str, &str)]) -> Origin {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_str(name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        proxies.origin(Some(SocketAddr::new(peer.parse().unwrap(), 4711)), &map)
    }

    fn at(address: &str) -> Option<IpAddr> {
        address.parse().ok()
    }

    #[test]
    fn a_stranger_is_who_it_is_whatever_it_writes() {
        let proxies = Proxies::new(["10.0.0.0/8"], ForwardedBy::XForwarded).unwrap();
        let headers = [
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-host", "evil.example"),
            ("forwarded", "host=evil.example"),
        ];
        let seen = origin(&proxies, "198.51.100.1", &headers);
        assert_eq!(seen, Origin { address: at("198.51.100.1"), host: None, is_secure: None });
        assert_eq!(origin(&Proxies::default(), "10.0.0.1", &headers).address, at("10.0.0.1"));
    }

    #[test]
    fn the_first_that_is_no_proxy_of_ours_is_the_client() {
        let proxies = Proxies::new(["10.0.0.0/8", "2001:db8::7"], ForwardedBy::XForwarded).unwrap();
        for (chain, client) in [
            ("203.0.113.9", "203.0.113.9"),
            // what the client wrote itself stands in front
            ("127.0.0.1, 203.0.113.9", "203.0.113.9"),
            ("203.0.113.9, 10.0.0.2, 2001:db8::7", "203.0.113.9"),
            ("203.0.113.9, [2001:db8::7]:443", "203.0.113.9"),
            ("10.9.9.9", "10.9.9.9"),
            ("203.0.113.9, unknown, 10.0.0.2", "10.0.0.2"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("", "10.0.0.1"),
        ] {
            assert_eq!(
                origin(&proxies, "::ffff:10.0.0.1", &[("x-forwarded-for", chain)]).address,
                at(client),
                "{chain}"
            );
        }
    }

    #[test]
    fn the_nearest_proxy_says_the_host_and_the_scheme() {
        let proxies = Proxies::new(["10.0.0.1"], ForwardedBy::XForwarded).unwrap();
        let headers = [
            ("x-forwarded-host", "evil.example, idp.example"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-proto", "https"),
        ];
        let seen = origin(&proxies, "10.0.0.1", &headers);
        assert_eq!((seen.host.as_deref(), seen.is_secure), (Some("idp.example"), Some(true)));
    }

    #[test]
    fn only_the_kind_of_header_that_was_chosen_is_read() {
        let proxies = Proxies::new(["10.0.0.0/8"], ForwardedBy::Forwarded).unwrap();
        let headers = [
            ("x-forwarded-host", "evil.example"),
            ("forwarded", "for=192.0.2.60;proto=HTTPS;host=\"idp.example:8443\", For=\"[2001:db8::1]:4711\""),
            ("forwarded", "for=10.1.1.1;by=_hidden"),
        ];
        let seen = origin(&proxies, "10.0.0.1", &headers);
        let host = Some("idp.example:8443".to_owned());
        assert_eq!(seen, Origin { address: at("2001:db8::1"), host, is_secure: Some(true) });
    }

    #[test]
    fn what_a_proxy_quotes_of_a_client_means_nothing() {
        let proxies = Proxies::new(["10.0.0.0/8"], ForwardedBy::Forwarded).unwrap();
        for quoted in [
            r#"for=203.0.113.9;host="x, for=198.51.100.7""#,
            r#"for=198.51.100.7, for=203.0.113.9;host="x\", for=198.51.100.7""#,
            r#"host="x;for=198.51.100.7";for=203.0.113.9"#,
        ] {
            assert_eq!(origin(&proxies, "10.0.0.1", &[("forwarded", quoted)]).address, at("203.0.113.9"), "{quoted}");
        }
        // a quotation without end is as far as one can see
        let torn = [("forwarded", "for=203.0.113.9, for=\"198.51.100.7")];
        assert_eq!(origin(&proxies, "10.0.0.1", &torn).address, at("10.0.0.1"));
    }

    #[test]
    fn what_a_client_wrote_and_nobody_can_read_hides_nothing_of_what_the_proxy_says() {
        let proxies = Proxies::new(["10.0.0.0/8"], ForwardedBy::XForwarded).unwrap();
        let mut headers = HeaderMap::new();
        let line = HeaderValue::from_bytes(b"\xff, 203.0.113.9").unwrap();
        headers.append(HeaderName::from_static("x-forwarded-for"), line);
        let peer = SocketAddr::from(([10, 0, 0, 1], 4711));
        assert_eq!(proxies.origin(Some(peer), &headers).address, at("203.0.113.9"));
    }

    proptest! {
        #[test]
        fn no_header_breaks_anything_and_strangers_are_never_believed(
            value in proptest::collection::vec(any::<u8>(), 0..80),
            written in "[0-9a-f.:,;=\"\\\\ forhspt\\[\\]]{0,60}",
        ) {
            let mut headers = HeaderMap::new();
            for name in ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"] {
                for value in [HeaderValue::from_bytes(&value), HeaderValue::from_str(&written)].into_iter().flatten() {
                    headers.append(HeaderName::from_static(name), value);
                }
            }
            let peer = SocketAddr::from(([198, 51, 100, 1], 1));
            for by in [ForwardedBy::XForwarded, ForwardedBy::Forwarded] {
                let stranger = Proxies::new(["10.0.0.0/8"], by).unwrap().origin(Some(peer), &headers);
                prop_assert_eq!(stranger, Origin { address: Some(peer.ip()), ..Origin::default() });
                let _ = Proxies::new(["198.51.100.0/24"], by).unwrap().origin(Some(peer), &headers);
            }
        }
    }

    #[test]
    fn a_list_that_cannot_be_read_is_refused() {
        for wrong in ["10.0.0.0/33", "proxy.internal", ""] {
            assert_eq!(Proxies::new([wrong], ForwardedBy::XForwarded).unwrap_err(), ProxiesError, "{wrong}");
        }
    }
}
