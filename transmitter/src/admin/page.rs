//! Pages: every list is bounded and says where it goes on.

use serde::Serialize;
use utoipa::ToSchema;

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Page<T> {
    /// What stands on it.
    pub items: Vec<T>,
    /// What to give as `after` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// The page of at most `limit` of `found`, which holds one more if the list goes on behind it.
    pub(super) fn of(mut found: Vec<T>, limit: u16, place: impl Fn(&T) -> String) -> Self {
        let goes_on = found.len() > usize::from(limit);
        found.truncate(usize::from(limit));
        let next = found.last().filter(|_| goes_on).map(place);
        Self { items: found, next }
    }

    /// The same page of other things.
    pub fn map<U>(self, show: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(show).collect(), next: self.next }
    }
}

/// The most a page holds, and the most that is done at once.
pub const MAX_PAGE: u16 = 1_000;

/// How many a query must look for, to know whether the list goes on.
pub(super) fn looked_for(limit: u16) -> i64 {
    i64::from(limit) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_where_it_goes_on_only_if_it_does() {
        let place = |n: &i32| n.to_string();
        assert_eq!(Page::of(vec![1, 2, 3], 2, place), Page { items: vec![1, 2], next: Some("2".to_owned()) });
        assert_eq!(Page::of(vec![1, 2], 2, place), Page { items: vec![1, 2], next: None });
        assert_eq!(Page::of(Vec::new(), 2, place), Page { items: Vec::new(), next: None });
    }
}
