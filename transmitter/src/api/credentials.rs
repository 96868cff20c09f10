//! What a client presents at the token endpoint: exactly one way of showing who it is (RFC 6749 §2.3, RFC 7521 §4.2).

use axum::body::Bytes;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use utoipa::ToSchema;

use super::token::TokenError;
use crate::authorization::claimed_client;
use crate::client::{AuthMethod, ClientId, Digest};

/// A request for a token (RFC 6749 §4.4.2), as far as it was given. A parameter without a value was not (§3.2).
#[derive(Default, ToSchema)]
#[schema(as = TokenRequest)]
#[expect(clippy::struct_field_names, reason = "the RFCs name them")]
pub(super) struct Grant {
    /// `client_credentials`.
    pub(super) grant_type: Option<String>,
    /// What is asked for, separated by spaces.
    pub(super) scope: Option<String>,
    /// For which resource (RFC 8707 §2).
    pub(super) resource: Vec<String>,
    /// Unless it stands in the header or in the assertion.
    client_id: Option<String>,
    /// Unless it stands in the header.
    #[schema(write_only)]
    client_secret: Option<String>,
    /// `urn:ietf:params:oauth:client-assertion-type:jwt-bearer`.
    client_assertion_type: Option<String>,
    /// A JWT that the client signed (RFC 7523 §3).
    #[schema(write_only)]
    client_assertion: Option<String>,
}

impl Grant {
    /// Reads a form. `Err` says what is wrong with it.
    pub(super) fn read(headers: &HeaderMap, body: &Bytes) -> Result<Self, &'static str> {
        let is_form = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
            let media_type = value.split(';').next().unwrap_or_default().trim();
            media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        });
        if !is_form {
            return Err("the body must be a form with grant_type=client_credentials");
        }
        let mut grant = Self::default();
        for (name, value) in url::form_urlencoded::parse(body).filter(|(_, value)| !value.is_empty()) {
            let (member, repeated) = match &*name {
                "grant_type" => (&mut grant.grant_type, "grant_type stands there twice"),
                "scope" => (&mut grant.scope, "scope stands there twice"),
                "client_id" => (&mut grant.client_id, "client_id stands there twice"),
                "client_secret" => (&mut grant.client_secret, "client_secret stands there twice"),
                "client_assertion" => (&mut grant.client_assertion, "client_assertion stands there twice"),
                "client_assertion_type" => {
                    (&mut grant.client_assertion_type, "client_assertion_type stands there twice")
                }
                "resource" => {
                    grant.resource.push(value.into_owned());
                    continue;
                }
                // unrecognised ones are ignored (§3.2)
                _ => continue,
            };
            if member.replace(value.into_owned()).is_some() {
                return Err(repeated);
            }
        }
        Ok(grant)
    }
}

/// What is presented.
pub(super) enum Proof {
    /// A secret.
    Secret(Digest),
    /// An assertion.
    Assertion(String),
    /// Nothing.
    Nothing,
}

/// Who somebody says it is, and how that is to be proved.
pub(super) struct Presented {
    /// Who.
    pub(super) client_id: ClientId,
    /// By which method.
    pub(super) method: AuthMethod,
    /// With what.
    pub(super) proof: Proof,
}

impl Presented {
    /// Reads header and form; a form that could not be read presents nothing.
    pub(super) fn read(headers: &HeaderMap, form: Option<&Grant>) -> Result<Self, TokenError> {
        let header = basic(headers)?;
        let nothing = Grant::default();
        let form = form.unwrap_or(&nothing);
        let ways = [header.is_some(), form.client_secret.is_some(), form.client_assertion.is_some()];
        if ways.iter().filter(|is_used| **is_used).count() > 1 {
            return Err(TokenError::Request("the client must show who it is in one way only"));
        }
        let (client_id, method, proof) = match (header, &form.client_secret, &form.client_assertion) {
            (Some((client_id, secret)), ..) => (client_id, AuthMethod::SecretBasic, Proof::Secret(Digest::of(&secret))),
            (_, Some(secret), _) => {
                let client_id = form.client_id.clone().ok_or(TokenError::Client)?;
                (client_id, AuthMethod::SecretPost, Proof::Secret(Digest::of(secret)))
            }
            (.., Some(assertion)) => {
                if form.client_assertion_type.as_deref() != Some(JWT_BEARER) {
                    return Err(TokenError::Request(
                        "client_assertion_type must be urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                    ));
                }
                let client_id = claimed_client(assertion).ok_or(TokenError::Client)?;
                (client_id.0, AuthMethod::PrivateKeyJwt, Proof::Assertion(assertion.clone()))
            }
            (None, None, None) => (form.client_id.clone().ok_or(TokenError::Client)?, AuthMethod::None, Proof::Nothing),
        };
        if form.client_id.as_ref().is_some_and(|named| *named != client_id) {
            return Err(TokenError::Request("client_id is not the client that shows who it is"));
        }
        // no client has such a name, and PostgreSQL could not even look for it
        if client_id.is_empty() || client_id.contains('\0') {
            return Err(TokenError::Client);
        }
        Ok(Self { client_id: ClientId(client_id), method, proof })
    }
}

/// The id and secret of a Basic header, form-decoded (RFC 6749 §2.3.1); `None` without such a header.
fn basic(headers: &HeaderMap) -> Result<Option<(String, String)>, TokenError> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let Some(header) = given.next() else { return Ok(None) };
    if given.next().is_some() {
        return Err(TokenError::Request("there must be one Authorization header only"));
    }
    let pair = header.to_str().ok().and_then(|text| {
        let (scheme, encoded) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("basic").then_some(())?;
        let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
        let (id, secret) = decoded.split_once(':')?;
        Some((form_decoded(id), form_decoded(secret)))
    });
    pair.map(Some).ok_or(TokenError::Client)
}

fn form_decoded(text: &str) -> String {
    let pair = format!("v={text}");
    url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
