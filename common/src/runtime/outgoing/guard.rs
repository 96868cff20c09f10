//! Which URLs may be called, and what an operator opens on purpose: pure.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use ipnet::IpNet;
use url::{Host, Url};

use super::address::is_outward;

/// What is called, and what is not. Clones share it.
#[derive(Clone, Debug)]
pub struct Guard {
    allowed: Arc<[Allowed]>,
    is_open: bool,
}

/// One thing an operator opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    what: What,
    /// At this port only.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    /// Addresses, written in a URL or resolved to.
    Network(IpNet),
    /// A name, whatever it resolves to.
    Name(String),
    /// Every name below one.
    Below(String),
}

/// A member of the list opens nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "holds something that opens nothing; write a network (10.1.2.0/24), an address, a name (rp.internal.example), all names below one (*.internal.example), each with :port behind it if only that port is meant"
)]
pub struct AllowedError;

/// Why a URL is not called. The texts go to whoever gave it, and name no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowed {
    /// No host.
    #[error("has no host")]
    NoHost,
    /// Plain text.
    #[error("must be an https URL")]
    NotHttps,
    /// Credentials.
    #[error("must not carry a user name or password")]
    UserInfo,
    /// This host, or a network next to it.
    #[error("must be on the public internet, not a loopback, link-local, private or otherwise special address")]
    Inward,
    /// A name that only a local network knows.
    #[error("must have a host name that is known on the public internet")]
    LocalName,
    /// A port of some other service.
    #[error("must use port 443 or one above 1023")]
    Port,
}

impl FromStr for Allowed {
    type Err = AllowedError;

    fn from_str(text: &str) -> Result<Self, AllowedError> {
        let text = text.trim().to_ascii_lowercase();
        if let Some(network) = network(&text) {
            return Ok(Self { what: What::Network(network), port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok().filter(|port| *port != 0).ok_or(AllowedError)?)),
            None => (text.as_str(), None),
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Some(network) = network(bare) {
            return Ok(Self { what: What::Network(network), port });
        }
        let (is_below, name) = host.strip_prefix("*.").map_or((false, host), |name| (true, name));
        // as URLs write it
        match Host::parse(name) {
            Ok(Host::Domain(name)) if !name.contains('*') => {
                let name = without_dot(&name).to_owned();
                Ok(Self { what: if is_below { What::Below(name) } else { What::Name(name) }, port })
            }
            _ => Err(AllowedError),
        }
    }
}

impl Allowed {
    fn opens_name(&self, name: &str) -> bool {
        match &self.what {
            What::Network(_) => false,
            What::Name(own) => own == name,
            What::Below(above) => name.strip_suffix(above.as_str()).is_some_and(|rest| rest.ends_with('.')),
        }
    }

    fn opens_address(&self, address: IpAddr) -> bool {
        matches!(&self.what, What::Network(network) if network.contains(&address.to_canonical()))
    }

    fn opens_port(&self, port: u16) -> bool {
        self.port.is_none_or(|own| own == port)
    }
}

impl Guard {
    /// Lets through what is outside, and what is allowed besides.
    pub fn new(allowed: Vec<Allowed>) -> Self {
        Self { allowed: allowed.into(), is_open: false }
    }

    /// Lets everything through: development.
    pub fn open() -> Self {
        Self { allowed: Arc::default(), is_open: true }
    }

    /// Looks at a URL as it is written. What its name resolves to is looked at when it is called.
    pub fn check(&self, url: &Url) -> Result<(), NotAllowed> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err(NotAllowed::UserInfo);
        }
        let host = url.host().ok_or(NotAllowed::NoHost)?;
        let port = url.port_or_known_default().unwrap_or(0);
        if self.is_open {
            let is_http = matches!(url.scheme(), "http" | "https");
            return if is_http { Ok(()) } else { Err(NotAllowed::NotHttps) };
        }
        if url.scheme() != "https" {
            return Err(NotAllowed::NotHttps);
        }
        let address = match host {
            Host::Ipv4(address) => Some(IpAddr::V4(address)),
            Host::Ipv6(address) => Some(IpAddr::V6(address)),
            Host::Domain(_) => None,
        };
        if self.opens(url) {
            return Ok(());
        }
        match (address, &host) {
            (Some(address), _) if !is_outward(address) => return Err(NotAllowed::Inward),
            (None, Host::Domain(name)) if is_local_name(without_dot(name)) => return Err(NotAllowed::LocalName),
            _ => {}
        }
        if port == 443 || port > 1023 { Ok(()) } else { Err(NotAllowed::Port) }
    }

    /// Whether an operator opened what the URL names, at its port.
    pub(super) fn opens(&self, url: &Url) -> bool {
        let port = url.port_or_known_default().unwrap_or(0);
        self.is_open
            || self.allowed.iter().any(|allowed| {
                let is_meant = match url.host() {
                    None => false,
                    Some(Host::Domain(name)) => allowed.opens_name(without_dot(name)),
                    Some(Host::Ipv4(address)) => allowed.opens_address(address.into()),
                    Some(Host::Ipv6(address)) => allowed.opens_address(address.into()),
                };
                is_meant && allowed.opens_port(port)
            })
    }

    /// Whether a name may resolve to this address. Networks that are opened at one port only are not opened for names,
    /// for which port is asked is not known here.
    pub(super) fn lets_through(&self, address: IpAddr) -> bool {
        is_outward(address)
            || self.allowed.iter().any(|allowed| allowed.port.is_none() && allowed.opens_address(address))
    }
}

fn network(text: &str) -> Option<IpNet> {
    IpNet::from_str(text).map(|network| network.trunc()).ok().or_else(|| IpAddr::from_str(text).ok().map(IpNet::from))
}

fn without_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// Names that are never delegated (RFC 6761, RFC 6762, RFC 8375, and `internal`), and names of one label.
fn is_local_name(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    !name.contains('.') || matches!(last, "localhost" | "local" | "internal") || name.ends_with(".home.arpa")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allowed: &[&str]) -> Guard {
        Guard::new(allowed.iter().map(|text| text.parse().unwrap()).collect())
    }

    fn check(guard: &Guard, url: &str) -> Result<(), NotAllowed> {
        guard.check(&url.parse().unwrap())
    }

    #[test]
    fn what_does_not_lie_outside_is_refused_however_it_is_written() {
        use NotAllowed::{Inward, LocalName, NotHttps, Port, UserInfo};
        for (url, expected) in [
            ("https://rp.example/push", Ok(())),
            ("https://rp.example.:8443/push", Ok(())),
            ("https://1.1.1.1/", Ok(())),
            ("https://[2606:4700::1]/", Ok(())),
            ("http://rp.example/", Err(NotHttps)),
            ("ftp://rp.example/", Err(NotHttps)),
            ("https://user@rp.example/", Err(UserInfo)),
            ("https://:secret@rp.example/", Err(UserInfo)),
            ("https://rp.example@127.0.0.1/", Err(UserInfo)),
            ("https://127.0.0.1/", Err(Inward)),
            ("https://2130706433/", Err(Inward)),
            ("https://0x7f000001/", Err(Inward)),
            ("https://0177.0.0.1/", Err(Inward)),
            ("https://127.1/", Err(Inward)),
            ("https://0/", Err(Inward)),
            ("https://127.0.0.1./", Err(Inward)),
            ("https://\u{ff11}\u{ff12}\u{ff17}.0.0.1/", Err(Inward)),
            ("https://169.254.169.254/latest/meta-data", Err(Inward)),
            ("https://[::1]/", Err(Inward)),
            ("https://[::ffff:10.0.0.1]/", Err(Inward)),
            ("https://[64:ff9b::7f00:1]/", Err(Inward)),
            ("https://[2002:7f00:1::]/", Err(Inward)),
            ("https://localhost/", Err(LocalName)),
            ("https://LOCALHOST./", Err(LocalName)),
            ("https://a.localhost/", Err(LocalName)),
            ("https://printer.local/", Err(LocalName)),
            ("https://metadata.google.internal/", Err(LocalName)),
            ("https://metadata/", Err(LocalName)),
            ("https://nas.home.arpa/", Err(LocalName)),
            ("https://rp.example:22/", Err(Port)),
            ("https://rp.example:0/", Err(Port)),
            ("https://rp.example:80/", Err(Port)),
        ] {
            assert_eq!(check(&guard(&[]), url), expected, "{url}");
        }
    }

    #[test]
    fn an_operator_opens_what_it_names_and_nothing_beside_it() {
        let open =
            guard(&["10.1.2.0/24", "*.internal.example", "printer.local:631", "192.168.7.7:9443", "[fd00::7]:8443"]);
        for (url, expected) in [
            ("https://10.1.2.3/", true),
            ("https://10.1.2.3:22/", true),
            ("https://[::ffff:10.1.2.3]/", true),
            ("https://10.1.3.3/", false),
            ("https://printer.local:631/", true),
            ("https://PRINTER.local.:631/", true),
            ("https://printer.local/", false),
            ("https://192.168.7.7:9443/", true),
            ("https://192.168.7.7/", false),
            ("https://[fd00::7]:8443/", true),
            ("https://[fd00::7]/", false),
            ("https://a.b.internal.example:25/", true),
            ("https://xinternal.example:25/", false),
            ("https://internal.example:25/", false),
            // opening is about where to, not about how
            ("http://10.1.2.3/", false),
            ("https://user@10.1.2.3/", false),
        ] {
            assert_eq!(check(&open, url).is_ok(), expected, "{url}");
        }
        assert!(open.lets_through("10.1.2.3".parse().unwrap()));
        assert!(!open.lets_through("10.1.3.3".parse().unwrap()) && !open.lets_through("192.168.7.7".parse().unwrap()));
    }

    #[test]
    fn a_list_that_opens_nothing_is_refused() {
        for wrong in
            ["", "*", "*.", "10.0.0.0/33", "https://rp.example/", "rp.example:0", "rp.example:many", "a.*.b", "a b"]
        {
            assert_eq!(wrong.parse::<Allowed>(), Err(AllowedError), "{wrong}");
        }
    }

    #[test]
    fn in_development_everything_that_is_http_is_called() {
        for url in ["http://127.0.0.1:8702/push", "https://localhost/", "http://rp:22/"] {
            assert_eq!(check(&Guard::open(), url), Ok(()), "{url}");
        }
        assert_eq!(check(&Guard::open(), "ftp://rp.example/"), Err(NotAllowed::NotHttps));
        assert_eq!(check(&Guard::open(), "http://user@rp.example/"), Err(NotAllowed::UserInfo));
    }
}
