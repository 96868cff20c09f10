//! Who asks: the enforcement point that a request names, by the member `enforcement_point` or the header of that name.

use axum::http::HeaderMap;
use serde_json::Value;

use super::{ApiError, ApiState};
use crate::validity::{Point, Validity};

/// The validity as this request's point asks for it. The member goes before the header; who names none is `api`.
pub(super) fn asked_by(api: &ApiState, headers: &HeaderMap, member: Option<&Value>) -> Result<Validity, ApiError> {
    let named = match member {
        Some(Value::String(name)) => Some(name.as_str()),
        Some(_) => return Err(ApiError::InvalidRequest("enforcement_point: must be text".to_owned())),
        None => headers.get(HEADER).map(|name| name.to_str().unwrap_or_default()),
    };
    let Some(name) = named else { return Ok(api.validity.clone()) };
    if api.proof.terms().points.named(name).is_none() {
        let text = "enforcement_point: no such point is declared; add a section enforcement_points to the settings";
        return Err(ApiError::InvalidRequest(text.to_owned()));
    }
    Ok(api.validity.at(Point(name.into())))
}

/// `Enforcement-Point: gateway`
const HEADER: &str = "enforcement-point";
