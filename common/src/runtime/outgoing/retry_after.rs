//! [`retry_after`]: what an answer says about when to come again.

use std::time::Duration;

use http::header::{DATE, HeaderMap, RETRY_AFTER};

use crate::clock::Timestamp;

/// `Retry-After` (RFC 9110 §10.2.3): seconds, or a date, which is measured by the peer's own clock if the answer says what
/// that shows. Whatever else stands there is no wish. It is a stranger's: whoever heeds it sets a bound.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let wish = text(RETRY_AFTER)?;
    if let Ok(seconds) = wish.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let theirs = text(DATE).and_then(Timestamp::from_http_date).unwrap_or(now);
    Some(Timestamp::from_http_date(wish)?.since(theirs))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_wish_to_wait_is_read_in_seconds_and_as_a_date() {
        let now = Timestamp::from_unix_seconds(784_111_777);
        let wish = |retry_after: &'static str, date: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(retry_after));
            if let Some(date) = date {
                headers.insert(DATE, HeaderValue::from_static(date));
            }
            super::retry_after(&headers, now).map(|wish| wish.as_secs())
        };
        assert_eq!(wish(" 7 ", None), Some(7));
        assert_eq!(wish("Sun, 06 Nov 1994 08:49:47 GMT", None), Some(10), "by our clock");
        let date = Some("Sun, 06 Nov 1994 08:49:44 GMT");
        assert_eq!(wish("Sun, 06 Nov 1994 08:49:47 GMT", date), Some(3), "by theirs");
        assert_eq!(wish("Sat, 05 Nov 1994 08:49:47 GMT", None), Some(0), "the past is now");
        for garbage in ["", "soon", "-1", "1994-11-06T08:49:37Z", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            assert_eq!(wish(garbage, None), None, "{garbage}");
        }
    }
}
