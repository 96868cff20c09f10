//! `[upstreams.<name>.authority]`: about whom a transmitter may decide here.

use serde::{Deserialize, Serialize};
use ssf_common::runtime::config::Span;
use ssf_common::subject::Simple;

use super::settings::{SettingsError, wrong};

/// About whom a transmitter may decide; `config.default.toml` says what each setting means.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "config.default.toml says what each setting means")]
pub struct AuthoritySettings {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub formats: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub issuers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub email_domains: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub uri_prefixes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_wide: Option<TenantWide>,
}

/// How many cut-offs that reach a whole tenant, unit or group are applied by themselves; what is more is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantWide {
    /// So many …
    pub limit: u32,
    /// … in any span of this length.
    pub per: Span,
}

impl AuthoritySettings {
    /// Whether it says nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// `key` is what errors call it.
    pub(super) fn check(&self, key: &str) -> Result<(), SettingsError> {
        let lists = [
            ("formats", &self.formats),
            ("issuers", &self.issuers),
            ("email_domains", &self.email_domains),
            ("uri_prefixes", &self.uri_prefixes),
            ("tenants", &self.tenants),
        ];
        for (name, list) in lists {
            if list.iter().any(String::is_empty) {
                return wrong(format!("{key}.{name}"), "must not hold an empty text; an empty list sets no bound");
            }
        }
        if !self.formats.iter().all(|format| is_format(format)) {
            return wrong(format!("{key}.formats"), FORMATS);
        }
        if self.email_domains.iter().any(|domain| domain.contains('@')) {
            return wrong(format!("{key}.email_domains"), "must hold domains without @, for example \"example.com\"");
        }
        match self.tenant_wide {
            Some(TenantWide { limit: 0, .. }) => {
                wrong(format!("{key}.tenant_wide.limit"), "must be at least 1; leave tenant_wide out to permit none")
            }
            Some(TenantWide { per, .. }) if per.duration().is_zero() || per > LONGEST => {
                wrong(format!("{key}.tenant_wide.per"), "must be more than 0 and at most 7d, for example \"1h\"")
            }
            _ => Ok(()),
        }
    }
}

/// One of the standards, or one that two parties have agreed on: by a name that cannot be a slip of the pen.
fn is_format(name: &str) -> bool {
    Simple::FORMATS.contains(&name) || name.starts_with("x-") || name.contains(['.', ':'])
}

const FORMATS: &str = "holds a name that is not a subject identifier format: account, email, iss_sub, opaque, phone_number, did, uri, aliases, jwt_id, saml_assertion_id, ip-addresses; one of your own must be named by a domain or a URI (RFC 9493 §3), or begin with x-";
/// Grants are counted over this at most.
const LONGEST: Span = Span::from_secs(7 * 24 * 3_600);

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(format: &str) -> Result<(), String> {
        let authority = AuthoritySettings { formats: vec![format.to_owned()], ..AuthoritySettings::default() };
        authority.check("authority").map_err(|error| error.to_string())
    }

    #[test]
    fn formats_are_those_of_the_standards_or_ones_that_nobody_writes_by_mistake() {
        for format in Simple::FORMATS.into_iter().chain(["x-badge", "https://rp.example/badge", "badge.rp.example"]) {
            assert_eq!(checked(format), Ok(()), "{format}");
        }
        for format in ["emial", "Email", "phone", "iss-sub", "complex", " email"] {
            let text = checked(format).unwrap_err();
            assert!(text.starts_with("authority.formats holds a name that is not"), "{format}: {text}");
            assert!(Simple::FORMATS.iter().all(|known| text.contains(known)), "{text}");
        }
    }
}
