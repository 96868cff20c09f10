//! Streams that heal by themselves, at the transmitter that is our own.

use super::pair::{Pair, revoked};

#[tokio::test]
async fn a_token_that_ends_on_the_way_is_renewed_and_nothing_is_missed() {
    for delivery in ["push", "poll"] {
        let pair = Pair::start(delivery).await;
        pair.settle().await;
        assert_eq!(pair.rp.number("select count(last_verified_at) from upstream").await, 1, "{delivery}");
        let producer = pair.idp.add_producer().await;
        for session in ["s-1", "s-2"] {
            pair.idp.emit(&producer, &revoked(session)).await;
            pair.settle().await;
            pair.later(31 * 60);
        }
        let received = "select count(*) from received_set where event_type = 'session-revoked'";
        assert_eq!(pair.rp.number(received).await, 2, "{delivery}");
        let tokens = "select count(*) from access_token where kind = 'issued'";
        assert_eq!(pair.idp.count(tokens).await, 2, "{delivery}");
    }
}
