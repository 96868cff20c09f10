//! How much of what was taken from the outbox one transaction makes deliveries of: events are bounded in number when they
//! are taken, but each becomes as many deliveries as there are streams that want it, and a transaction that never ends
//! would hold up everything behind it.

use std::collections::HashMap;

use super::store::fan_out::Recorded;

/// Which of `batch` (in order of recording, closed under "earlier of the same subject") are done now, as their places in
/// order. `deliveries` is how many each becomes. The most urgent come first, each with what was recorded before it about its
/// subject, until `most` deliveries are made; one event at least.
///
/// What is chosen is closed as well, so what is left keeps its place behind what goes.
pub(super) fn portion(batch: &[Recorded], deliveries: &[usize], most: usize) -> Vec<usize> {
    if deliveries.iter().sum::<usize>() <= most {
        return (0..batch.len()).collect();
    }
    let mut of_subject: HashMap<i64, Vec<usize>> = HashMap::new();
    for (place, event) in batch.iter().enumerate() {
        of_subject.entry(event.order_key).or_default().push(place);
    }
    let mut by_urgency: Vec<usize> = (0..batch.len()).collect();
    by_urgency.sort_by_key(|place| (batch[*place].lane, *place));
    let (mut chosen, mut made) = (Vec::new(), 0);
    // how many of each subject were chosen: always its first ones
    let mut begun: HashMap<i64, usize> = HashMap::new();
    for urgent in by_urgency {
        let (places, begun) =
            (&of_subject[&batch[urgent].order_key], begun.entry(batch[urgent].order_key).or_default());
        while let Some(place) = places.get(*begun).filter(|place| **place <= urgent) {
            if made + deliveries[*place] > most && !chosen.is_empty() {
                chosen.sort_unstable();
                return chosen;
            }
            made += deliveries[*place];
            chosen.push(*place);
            *begun += 1;
        }
    }
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fan_out::tests::recorded;
    use super::*;
    use crate::outbox::Lane;

    #[test]
    fn the_urgent_one_goes_before_bulk_that_was_recorded_earlier() {
        let lanes = [Lane::Bulk, Lane::Bulk, Lane::Urgent, Lane::Bulk];
        let batch: Vec<Recorded> = (0..).zip(lanes).map(|(seq, lane)| recorded(seq, seq, lane)).collect();
        assert_eq!(portion(&batch, &[10, 10, 10, 10], 20), [0, 2]);
        assert_eq!(portion(&batch, &[10, 10, 50, 10], 20), [2], "one at least");
        assert_eq!(portion(&batch, &[5, 5, 5, 5], 20), [0, 1, 2, 3]);
    }

    proptest! {
        #[test]
        fn what_is_chosen_is_bounded_and_leaves_nothing_earlier_of_its_subject(
            events in proptest::collection::vec((0_i64..5, 0_i16..3, 0_usize..8), 1..40), most in 1_usize..30,
        ) {
            let batch: Vec<Recorded> = (0..).zip(&events).map(|(seq, (key, lane, _))| recorded(seq, *key, Lane::from_number(*lane))).collect();
            let deliveries: Vec<usize> = events.iter().map(|(.., count)| *count).collect();
            let chosen = portion(&batch, &deliveries, most);
            prop_assert!(!chosen.is_empty() && chosen.is_sorted());
            let made: usize = chosen.iter().map(|place| deliveries[*place]).sum();
            prop_assert!(made <= most || chosen.len() == 1);
            for place in &chosen {
                for earlier in (0..*place).filter(|earlier| batch[*earlier].order_key == batch[*place].order_key) {
                    prop_assert!(chosen.contains(&earlier), "{earlier} is left behind {place}");
                }
            }
        }
    }
}
