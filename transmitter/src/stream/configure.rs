//! From a receiver's request to a checked configuration: pure, and every refusal says what to change.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use ssf_common::jwks::Algorithm;
use ssf_common::protocol::{CreateStream, Delivery, DeliveryMethod, StreamConfiguration, UpdateStream};
use ssf_common::runtime::outgoing::{Guard, NotAllowed};
use url::Url;

use super::Stream;
use crate::client::{Client, Profile};

/// What an issuer offers to every receiver.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The type URIs it can send.
    pub events: Arc<[String]>,
    /// How new streams are signed.
    pub algorithm: Algorithm,
    /// Seconds between two verification requests.
    pub min_verification_interval_s: u32,
    /// Seconds without activity before a stream may be paused.
    pub inactivity_timeout_s: Option<u32>,
    /// Which push endpoints are taken.
    pub endpoints: Guard,
}

impl Offer {
    /// The type URIs offered to `client`.
    pub fn events_for(&self, client: &Client) -> Vec<String> {
        let offered = self.events.iter();
        offered.filter(|uri| client.events_supported.as_ref().is_none_or(|own| own.contains(uri))).cloned().collect()
    }
}

/// What a receiver wants, checked and completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The types it asked for, as it wrote them.
    pub events_requested: Option<Vec<String>>,
    /// The types it gets: offered and asked for.
    pub events_delivered: Vec<String>,
    /// How.
    pub method: DeliveryMethod,
    /// Push: where to.
    pub endpoint_url: Option<String>,
    /// Its own words.
    pub description: Option<String>,
    /// Legacy profile: it names its method by a URI of old RISC.
    pub legacy_words: bool,
    /// Legacy profile: the subject format it would like.
    pub format: Option<String>,
}

impl Wanted {
    /// Checks a creation (§8.1.1.1). No `delivery` means poll.
    pub fn create(request: &CreateStream, client: &Client, offer: &Offer) -> Result<Self, ConfigurationError> {
        check_audience(request.aud.as_ref().map(|aud| aud.0.as_slice()), &client.audience)?;
        let delivery = request.delivery.clone().unwrap_or_else(|| Delivery::poll(None));
        let (requested, description) = (request.events_requested.clone(), request.description.clone());
        Self::check(requested, &delivery, description, request.format.clone(), client, offer)
    }

    /// Checks a PATCH (§8.1.1.3): what is missing stays. A changed `delivery` replaces the old one whole.
    pub fn patch(
        request: &UpdateStream,
        present: &Stream,
        client: &Client,
        offer: &Offer,
    ) -> Result<Self, ConfigurationError> {
        let requested = request.events_requested.clone().or_else(|| present.wanted.events_requested.clone());
        let description = request.description.clone().or_else(|| present.wanted.description.clone());
        let delivery = request.delivery.clone().unwrap_or_else(|| present.wanted.delivery());
        let format = request.format.clone().or_else(|| present.wanted.format.clone());
        Self::check(requested, &delivery, description, format, client, offer)
    }

    /// Checks a PUT (§8.1.1.4): what is missing goes.
    pub fn replace(request: &UpdateStream, client: &Client, offer: &Offer) -> Result<Self, ConfigurationError> {
        let delivery = request.delivery.clone().unwrap_or_else(|| Delivery::poll(None));
        let (requested, description) = (request.events_requested.clone(), request.description.clone());
        Self::check(requested, &delivery, description, request.format.clone(), client, offer)
    }

    fn check(
        events_requested: Option<Vec<String>>,
        delivery: &Delivery,
        description: Option<String>,
        format: Option<String>,
        client: &Client,
        offer: &Offer,
    ) -> Result<Self, ConfigurationError> {
        let is_legacy = client.profile == Profile::Legacy;
        let method = delivery.known_method().filter(|_| is_legacy || !delivery.is_legacy());
        let method = method.ok_or(ConfigurationError::Method)?;
        let endpoint_url = match (method, &delivery.endpoint_url) {
            (DeliveryMethod::Poll, _) => None,
            (DeliveryMethod::Push, None) => return Err(ConfigurationError::NoEndpoint),
            (DeliveryMethod::Push, Some(text)) => Some(check_endpoint(text, &offer.endpoints)?),
        };
        if let Some(header) = &delivery.authorization_header {
            let text = header.expose_secret();
            if method == DeliveryMethod::Poll
                || text.len() > MAX_HEADER
                || !text.bytes().all(|b| (0x20..0x7f).contains(&b))
            {
                return Err(ConfigurationError::Authorization);
            }
        }
        if events_requested.as_ref().is_some_and(|events| events.len() > MAX_EVENTS) {
            return Err(ConfigurationError::TooManyEvents);
        }
        if events_requested.iter().flatten().any(|uri| uri.len() > MAX_URL || uri.contains('\0')) {
            return Err(ConfigurationError::EventType);
        }
        if description.as_ref().is_some_and(|text| text.chars().count() > MAX_DESCRIPTION || text.contains('\0')) {
            return Err(ConfigurationError::Description);
        }
        // who speaks SSF 1.0 may send members it does not know; they mean nothing
        let format = format.filter(|_| is_legacy);
        if format.as_ref().is_some_and(|text| text.len() > MAX_FORMAT || text.contains('\0')) {
            return Err(ConfigurationError::Format);
        }
        let mut events_delivered = offer.events_for(client);
        events_delivered.retain(|uri| events_requested.as_ref().is_some_and(|asked| asked.contains(uri)));
        let legacy_words = delivery.is_legacy();
        Ok(Self { events_requested, events_delivered, method, endpoint_url, description, legacy_words, format })
    }

    /// `delivery` in the receiver's words, without what is secret and without the address of a poll stream.
    pub(super) fn delivery(&self) -> Delivery {
        let delivery = match self.method {
            DeliveryMethod::Push => Delivery::push(self.endpoint_url.clone().unwrap_or_default(), None),
            DeliveryMethod::Poll => Delivery::poll(None),
        };
        if self.legacy_words { delivery.in_legacy_words() } else { delivery }
    }
}

/// The header a PATCH leaves in force: the old one survives only if `delivery` is not touched, so that it never goes to
/// a new URL.
pub(crate) fn kept_authorization(request: &UpdateStream) -> KeptAuthorization {
    match &request.delivery {
        None => KeptAuthorization::Keep,
        Some(delivery) => KeptAuthorization::Replace(delivery.authorization_header.clone()),
    }
}

/// What becomes of the stored authorization header.
pub(crate) enum KeptAuthorization {
    Keep,
    Replace(Option<SecretString>),
}

/// Members of the transmitter may be sent back only unchanged (§8.1.1.3, §8.1.1.4); the address of a poll stream,
/// `poll_endpoint`, is one of them.
pub(crate) fn check_transmitter_members(
    request: &UpdateStream,
    present: &StreamConfiguration,
    poll_endpoint: &str,
) -> Result<(), ConfigurationError> {
    let is_other_poll_endpoint = |delivery: &Delivery| {
        delivery.known_method() == Some(DeliveryMethod::Poll)
            && delivery.endpoint_url.as_ref().is_some_and(|url| url != poll_endpoint)
    };
    let changed = [
        ("iss", request.iss.as_ref().is_some_and(|iss| *iss != present.iss)),
        ("aud", request.aud.as_ref().is_some_and(|aud| !same(&aud.0, &present.aud.0))),
        ("events_supported", differs(request.events_supported.as_ref(), present.events_supported.as_ref())),
        ("events_delivered", differs(request.events_delivered.as_ref(), Some(&present.events_delivered))),
        (
            "min_verification_interval",
            request.min_verification_interval.is_some_and(|s| Some(s) != present.min_verification_interval),
        ),
        ("delivery.endpoint_url of poll", request.delivery.as_ref().is_some_and(is_other_poll_endpoint)),
        ("inactivity_timeout", request.inactivity_timeout.is_some_and(|s| Some(s) != present.inactivity_timeout)),
    ];
    changed.iter().find(|(_, changed)| *changed).map_or(Ok(()), |(name, _)| Err(ConfigurationError::NotYours(name)))
}

/// Why a configuration is not accepted. The texts go to the receiver.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigurationError {
    /// Neither of the two methods.
    #[error("delivery.method must be urn:ietf:rfc:8935 (push) or urn:ietf:rfc:8936 (poll)")]
    Method,
    /// Push without an address.
    #[error("delivery.endpoint_url is required for push")]
    NoEndpoint,
    /// The address cannot be pushed to.
    #[error("delivery.endpoint_url {0}")]
    Endpoint(&'static str),
    /// The address is none we push to.
    #[error("delivery.endpoint_url {0}")]
    EndpointNotAllowed(#[from] NotAllowed),
    /// The header cannot be sent.
    #[error(
        "delivery.authorization_header must be printable ASCII of at most {MAX_HEADER} bytes, and is for push only"
    )]
    Authorization,
    /// A longer list than there are types.
    #[error("events_requested has more than {MAX_EVENTS} members")]
    TooManyEvents,
    /// Not a URI by far. Unknown ones are ignored, but these could not even be kept.
    #[error("events_requested has a member that is longer than {MAX_URL} bytes or has a NUL")]
    EventType,
    /// Too long.
    #[error("description is longer than {MAX_DESCRIPTION} characters or has a NUL")]
    Description,
    /// Too long.
    #[error("format is longer than {MAX_FORMAT} bytes or has a NUL")]
    Format,
    /// A receiver-supplied `aud` that is not the registered one.
    #[error("aud is set by the transmitter and is not what was sent")]
    Audience,
    /// A member of the transmitter was changed.
    #[error("{0} is set by the transmitter; leave it out or send it back unchanged")]
    NotYours(&'static str),
}

fn check_audience(sent: Option<&[String]>, registered: &[String]) -> Result<(), ConfigurationError> {
    if sent.is_none_or(|sent| same(sent, registered)) { Ok(()) } else { Err(ConfigurationError::Audience) }
}

/// What is checked of the address as it is written; what its name resolves to is looked at with every push.
fn check_endpoint(text: &str, guard: &Guard) -> Result<String, ConfigurationError> {
    let url: Url = text.parse().map_err(|_| ConfigurationError::Endpoint("is not a URL"))?;
    if text.len() > MAX_URL {
        return Err(ConfigurationError::Endpoint("is too long"));
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(ConfigurationError::Endpoint("must be written in the characters of a URL (RFC 3986 §2)"));
    }
    if url.fragment().is_some() {
        return Err(ConfigurationError::Endpoint("must have no fragment"));
    }
    guard.check(&url)?;
    Ok(text.to_owned())
}

fn same(one: &[String], other: &[String]) -> bool {
    let within = |one: &[String], other: &[String]| one.iter().all(|item| other.contains(item));
    one.len() == other.len() && within(one, other) && within(other, one)
}

fn differs(sent: Option<&Vec<String>>, present: Option<&Vec<String>>) -> bool {
    sent.is_some_and(|sent| present.is_none_or(|present| !same(sent, present)))
}

const MAX_HEADER: usize = 4096;
const MAX_EVENTS: usize = 200;
const MAX_DESCRIPTION: usize = 1000;
const MAX_URL: usize = 2048;
const MAX_FORMAT: usize = 200;

#[cfg(test)]
mod tests {
    use ssf_common::random::SystemRandom;
    use ssf_common::set::Audience;

    use super::*;
    use crate::client::{ClientKey, Scopes};
    use crate::issuer::IssuerId;

    fn client() -> Client {
        let now = ssf_common::clock::Timestamp::EPOCH;
        Client {
            key: ClientKey::new(now, &SystemRandom),
            issuer_id: IssuerId::new(now, &SystemRandom),
            client_id: "rp".into(),
            scopes: Scopes::from_words(["ssf.manage"]),
            audience: vec!["https://rp.example".into()],
            max_streams: 1,
            events_supported: None,
            is_operator: false,
            profile: Profile::Strict,
        }
    }

    fn offer() -> Offer {
        Offer {
            events: ["urn:a".into(), "urn:b".into()].into(),
            algorithm: Algorithm::Rs256,
            min_verification_interval_s: 30,
            inactivity_timeout_s: None,
            endpoints: Guard::new(Vec::new()),
        }
    }

    fn push(endpoint: &str) -> CreateStream {
        CreateStream { delivery: Some(Delivery::push(endpoint.to_owned(), None)), ..CreateStream::default() }
    }

    #[test]
    fn what_is_delivered_is_what_is_offered_and_asked_for_and_unknown_types_are_ignored() {
        let request =
            CreateStream { events_requested: Some(vec!["urn:b".into(), "urn:z".into()]), ..CreateStream::default() };
        let wanted = Wanted::create(&request, &client(), &offer()).unwrap();
        assert_eq!(wanted.events_delivered, ["urn:b"]);
        assert_eq!(wanted.method, DeliveryMethod::Poll);
        let peer = Client { events_supported: Some(vec!["urn:a".into()]), ..client() };
        assert!(Wanted::create(&request, &peer, &offer()).unwrap().events_delivered.is_empty());
    }

    #[test]
    fn a_type_that_cannot_be_kept_is_refused() {
        for uri in ["urn:a\0", &"x".repeat(MAX_URL + 1)] {
            let request = CreateStream { events_requested: Some(vec![uri.to_owned()]), ..CreateStream::default() };
            assert_eq!(Wanted::create(&request, &client(), &offer()), Err(ConfigurationError::EventType));
        }
    }

    #[test]
    fn only_https_to_the_outside_is_pushed_to_unless_in_development() {
        let refused = [
            "http://rp.example/push",
            "https://127.0.0.1/",
            "https://localhost/",
            "https://10.0.0.1/",
            "https://169.254.169.254/",
            "https://[::1]/",
            "https://[fd00::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://localhost./",
            "ftp://rp.example/",
            "not a url",
            "https://u:p@rp.example/",
            "https://rp.example/#f",
            "https://rp.example/\0",
            " https://rp.example/",
        ];
        for endpoint in refused {
            assert!(
                matches!(
                    Wanted::create(&push(endpoint), &client(), &offer()),
                    Err(ConfigurationError::Endpoint(_) | ConfigurationError::EndpointNotAllowed(_))
                ),
                "{endpoint}"
            );
        }
        assert!(Wanted::create(&push("https://rp.example/push"), &client(), &offer()).is_ok());
        let development = Offer { endpoints: Guard::open(), ..offer() };
        assert!(Wanted::create(&push("http://127.0.0.1:8702/push"), &client(), &development).is_ok());
    }

    #[test]
    fn a_foreign_audience_is_refused_and_the_registered_one_accepted() {
        let with = |aud: &str| CreateStream { aud: Some(Audience::from(aud)), ..CreateStream::default() };
        assert_eq!(
            Wanted::create(&with("https://other.example"), &client(), &offer()),
            Err(ConfigurationError::Audience)
        );
        assert!(Wanted::create(&with("https://rp.example"), &client(), &offer()).is_ok());
    }

    #[test]
    fn a_header_that_could_smuggle_another_is_refused() {
        for bad in ["Bearer a\r\nX: y", "Bearer ü", "\0"] {
            let delivery = Some(Delivery::push("https://rp.example/".into(), Some(bad.into())));
            let request = CreateStream { delivery, ..CreateStream::default() };
            assert_eq!(
                Wanted::create(&request, &client(), &offer()),
                Err(ConfigurationError::Authorization),
                "{bad:?}"
            );
        }
    }
}
