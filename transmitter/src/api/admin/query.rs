//! Queries and path members read into types. What is wrong is named, never quoted.

use std::str::FromStr;

use serde::Deserialize;
use ssf_common::clock::Timestamp;
use ssf_common::event::{EventType, Vocabulary};
use utoipa::IntoParams;

use super::ApiError;
use crate::admin::MAX_PAGE;

/// Which page.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// What the page before gave as `next`.
    pub(super) after: Option<String>,
    /// The most items, 1 to 1000; 100 if left out.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 1000)]
    limit: Option<String>,
}

impl PageQuery {
    pub(super) fn limit(&self) -> Result<u16, ApiError> {
        limit(self.limit.as_deref().map(|text| text.parse().unwrap_or(0)))
    }

    /// The place, if it is one that a page named.
    pub(super) fn after<T: FromStr>(&self) -> Result<Option<T>, ApiError> {
        optional("after", self.after.as_deref(), "is not what a page gave as next")
    }
}

/// A limit within its bounds.
pub(super) fn limit(asked: Option<u64>) -> Result<u16, ApiError> {
    let limit = asked.unwrap_or(u64::from(DEFAULT_PAGE));
    let fits = u16::try_from(limit).ok().filter(|limit| (1..=MAX_PAGE).contains(limit));
    fits.ok_or_else(|| ApiError::Invalid(format!("limit must be a number from 1 to {MAX_PAGE}")))
}

/// A member of the query that may be left out.
pub(super) fn optional<T: FromStr>(name: &str, text: Option<&str>, fault: &str) -> Result<Option<T>, ApiError> {
    text.map(|text| text.parse().map_err(|_| ApiError::Invalid(format!("{name} {fault}")))).transpose()
}

/// A time that may be left out.
pub(super) fn time(name: &str, text: Option<&str>) -> Result<Option<Timestamp>, ApiError> {
    let time: Option<Timestamp> = optional(name, text, "must be an RFC 3339 time, such as 2026-11-24T10:00:00Z")?;
    within_reach(name, time)
}

/// A time that the database can tell too.
pub(super) fn within_reach(name: &str, time: Option<Timestamp>) -> Result<Option<Timestamp>, ApiError> {
    if time.is_some_and(|at| at < Timestamp::EPOCH) {
        return Err(ApiError::Invalid(format!("{name} lies before 1970")));
    }
    Ok(time)
}

/// The URI of an event type, given by it or by its short name.
pub(super) fn event_type(text: Option<&str>, vocabulary: &Vocabulary) -> Result<Option<String>, ApiError> {
    let Some(text) = text else { return Ok(None) };
    let text = fit("type", text)?;
    let known = EventType::from_name(text, vocabulary).map(|known| known.uri(vocabulary).to_owned());
    known
        .map(Some)
        .ok_or_else(|| ApiError::invalid("type is neither a known short name (such as session-revoked) nor a URI"))
}

/// A text that is not empty, not long, and has no character that a log or the database would choke on.
pub(super) fn fit<'a>(name: &str, text: &'a str) -> Result<&'a str, ApiError> {
    if text.is_empty() || text.len() > MAX_TEXT || text.chars().any(char::is_control) {
        return Err(ApiError::Invalid(format!("{name} must have 1 to {MAX_TEXT} bytes and no control characters")));
    }
    Ok(text)
}

const DEFAULT_PAGE: u16 = 100;
const MAX_TEXT: usize = 1_024;
