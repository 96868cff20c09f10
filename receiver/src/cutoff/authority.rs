//! About whom an issuer may decide here: a pure function of the subject and what was configured for its transmitter.

use ssf_common::event::Detail;
use ssf_common::id::IssuerUrl;
use ssf_common::subject::{Simple, Subject};

use super::effect::tenant;
use crate::config::AuthoritySettings;

/// Why what an issuer decided is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Withheld {
    /// The subject is named in a format that is not in `formats`.
    Format,
    /// It belongs to another issuer.
    Issuer,
    /// Its e-mail domain is not in `email_domains`.
    EmailDomain,
    /// Its URI begins with none of `uri_prefixes`.
    UriPrefix,
    /// It does not name one of `tenants`.
    Tenant,
    /// It reaches a whole tenant, unit or group, and `tenant_wide` is not there.
    TenantWide,
    /// There were as many such decisions as `tenant_wide` permits.
    TooMany,
}

impl Withheld {
    /// As it stands in `withheld.reason`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Issuer => "issuer",
            Self::EmailDomain => "email_domain",
            Self::UriPrefix => "uri_prefix",
            Self::Tenant => "tenant",
            Self::TenantWide => "tenant_wide",
            Self::TooMany => "tenant_wide_limit",
        }
    }

    /// In a sentence; names no subject.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Format => "the format of the subject is not in authority.formats",
            Self::Issuer => {
                "the subject belongs to an issuer that is neither the upstream's own nor in authority.issuers"
            }
            Self::EmailDomain => "the domain of the subject is not in authority.email_domains",
            Self::UriPrefix => "the URI of the subject begins with none of authority.uri_prefixes",
            Self::Tenant => "the subject names none of authority.tenants",
            Self::TenantWide => "it reaches a whole tenant, unit or group, which authority.tenant_wide must permit",
            Self::TooMany => {
                "it reaches a whole tenant, unit or group, and authority.tenant_wide permits no more at this time"
            }
        }
    }
}

/// Whether the subject lies outside what the issuer may decide about. Whether it reaches too far is [`is_wide`]'s question.
pub fn outside(authority: &AuthoritySettings, issuer: &IssuerUrl, subject: &Subject) -> Option<Withheld> {
    let bounds = Bounds { authority, issuer };
    let of_identifiers = match subject {
        Subject::Simple(simple) => bounds.outside(simple),
        Subject::Complex(complex) => complex.members().values().find_map(|member| bounds.outside(member)),
    };
    of_identifiers.or_else(|| {
        let is_ours = |id: &str| authority.tenants.iter().any(|ours| ours == id);
        (!authority.tenants.is_empty() && !tenant(subject).is_some_and(is_ours)).then_some(Withheld::Tenant)
    })
}

/// Whether a decision about this subject reaches more than a user, a device or a session: it names none of them, or says
/// itself that it is about more (CAEP 1.0 §3.8.1).
pub fn is_wide(subject: &Subject, detail: &Detail) -> bool {
    let names_nobody = match subject {
        Subject::Simple(_) => false,
        Subject::Complex(complex) => {
            !["user", "device", "session"].iter().any(|one| complex.members().contains_key(*one))
        }
    };
    let says_so = matches!(detail, Detail::RiskLevelChange { principal, .. } if WIDE.contains(&principal.as_str()));
    names_nobody || says_so
}

struct Bounds<'a> {
    authority: &'a AuthoritySettings,
    issuer: &'a IssuerUrl,
}

impl Bounds<'_> {
    fn outside(&self, simple: &Simple) -> Option<Withheld> {
        if let Simple::Aliases { identifiers } = simple {
            return identifiers.iter().find_map(|one| self.outside(one));
        }
        let AuthoritySettings { formats, email_domains, uri_prefixes, .. } = self.authority;
        if !formats.is_empty() && !formats.iter().any(|format| format == simple.format()) {
            return Some(Withheld::Format);
        }
        match simple {
            Simple::IssSub { iss, .. } | Simple::JwtId { iss, .. } => {
                (!self.is_of_an_issuer(iss)).then_some(Withheld::Issuer)
            }
            // an entity id is seldom the issuer of SETs: it is bounded only if somebody said which they are
            Simple::SamlAssertionId { issuer, .. } if !self.authority.issuers.is_empty() => {
                (!self.is_of_an_issuer(issuer)).then_some(Withheld::Issuer)
            }
            Simple::Email { email } if !email_domains.is_empty() => {
                let domain = email.rsplit_once('@').map_or("", |(_, domain)| domain);
                let is_ours = |ours: &String| ours.eq_ignore_ascii_case(domain);
                (!email_domains.iter().any(is_ours)).then_some(Withheld::EmailDomain)
            }
            Simple::Account { uri } | Simple::Uri { uri } | Simple::Did { url: uri } if !uri_prefixes.is_empty() => {
                (!uri_prefixes.iter().any(|prefix| uri.starts_with(prefix))).then_some(Withheld::UriPrefix)
            }
            _ => None,
        }
    }

    /// A slash at the end is no other issuer: OpenID providers and SSF transmitters of one house differ in it.
    fn is_of_an_issuer(&self, iss: &str) -> bool {
        let iss = iss.trim_end_matches('/');
        let ours = std::iter::once(self.issuer.as_str()).chain(self.authority.issuers.iter().map(String::as_str));
        ours.map(|issuer| issuer.trim_end_matches('/')).any(|issuer| issuer == iss)
    }
}

const WIDE: [&str; 3] = ["TENANT", "ORG_UNIT", "GROUP"];

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use ssf_common::event::{Event, EventType};

    use super::*;

    fn judged(authority: &Value, subject: &Value) -> Option<&'static str> {
        let authority: AuthoritySettings = serde_json::from_value(authority.clone()).unwrap();
        outside(&authority, &"https://idp.example".into(), &Subject::parse(subject).unwrap()).map(Withheld::as_str)
    }

    #[test]
    fn a_subject_is_inside_only_if_all_that_it_names_is() {
        let sub = |iss: &str| json!({"format": "iss_sub", "iss": iss, "sub": "1"});
        let mail = |address: &str| json!({"format": "email", "email": address});
        let opaque = |id: &str| json!({"format": "opaque", "id": id});
        let complex = |user: &Value, tenant: &str| json!({"format": "complex", "user": user, "tenant": opaque(tenant)});
        let listed = json!({"issuers": ["https://login.idp.example"]});
        let domains = json!({"email_domains": ["example.com"]});
        let prefixes = json!({"uri_prefixes": ["did:web:example.com:"]});
        let acme = json!({"tenants": ["acme"]});
        let saml = json!({"format": "saml_assertion_id", "issuer": "https://o.example/saml", "assertion_id": "1"});
        for (authority, subject, expected) in [
            (json!({}), sub("https://idp.example"), None),
            (json!({}), sub("https://idp.example/"), None),
            (json!({}), sub("https://idp.example.evil"), Some("issuer")),
            (json!({}), sub("https://login.idp.example"), Some("issuer")),
            (listed.clone(), sub("https://login.idp.example"), None),
            (listed.clone(), json!({"format": "jwt_id", "iss": "https://other.example", "jti": "1"}), Some("issuer")),
            (json!({}), saml.clone(), None),
            (listed.clone(), saml, Some("issuer")),
            (json!({}), mail("a@anywhere.example"), None),
            (domains.clone(), mail("a@EXAMPLE.com"), None),
            (domains.clone(), mail("a@sub.example.com"), Some("email_domain")),
            (
                domains.clone(),
                json!({"format": "aliases", "identifiers": [mail("a@example.com"), mail("a@evil.example")]}),
                Some("email_domain"),
            ),
            (domains, opaque("u"), None),
            (prefixes.clone(), json!({"format": "did", "url": "did:web:example.com:u"}), None),
            (prefixes, json!({"format": "uri", "uri": "https://evil.example/u"}), Some("uri_prefix")),
            (json!({"formats": ["email"]}), opaque("u"), Some("format")),
            (json!({"formats": ["email"]}), mail("a@example.com"), None),
            (acme.clone(), complex(&opaque("u"), "acme"), None),
            (acme.clone(), complex(&opaque("u"), "other"), Some("tenant")),
            (acme, opaque("acme"), Some("tenant")),
            (json!({}), complex(&sub("https://evil.example"), "acme"), Some("issuer")),
        ] {
            assert_eq!(judged(&authority, &subject), expected, "{authority} {subject}");
        }
    }

    #[test]
    fn what_names_no_user_device_or_session_is_wide_and_so_is_the_risk_of_a_tenant() {
        let opaque = json!({"format": "opaque", "id": "x"});
        let wide = |subject: Value, principal: &str| {
            let payload = json!({"principal": principal, "current_level": "HIGH"});
            let event = Event::parse(EventType::RiskLevelChange, &payload).unwrap();
            is_wide(&Subject::parse(&subject).unwrap(), &event.detail)
        };
        for member in ["tenant", "org_unit", "group", "application", "team"] {
            assert!(wide(json!({"format": "complex", member: opaque}), "USER"), "{member}");
            assert!(!wide(json!({"format": "complex", member: opaque, "user": opaque}), "USER"), "{member}");
        }
        assert!(!wide(opaque.clone(), "USER"));
        assert!(wide(opaque.clone(), "TENANT"));
    }
}
