//! Chance as an argument: ids, secrets and jitter draw from a [`Random`].

use std::fmt;
use std::sync::Mutex;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// Where random bytes come from.
pub trait Random: Send + Sync + fmt::Debug + 'static {
    /// Fills `into` with random bytes.
    fn fill(&self, into: &mut [u8]);
}

impl dyn Random {
    /// A secret of 256 bits in the URL-safe alphabet, 43 characters (RFC 3986 §2.3 unreserved only).
    pub fn secret(&self) -> String {
        let mut bytes = [0; 32];
        self.fill(&mut bytes);
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// A number from 0.0 up to but not including 1.0.
    pub fn unit(&self) -> f64 {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
    }
}

/// The operating system's source, through OpenSSL.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, into: &mut [u8]) {
        openssl::rand::rand_bytes(into)
            .expect("OpenSSL has no entropy source; nothing can be signed or named without one");
    }
}

/// A repeatable source for tests: SHA-256 of a seed and a counter.
#[derive(Debug)]
pub struct SeededRandom {
    seed: u64,
    counter: Mutex<u64>,
}

impl SeededRandom {
    /// The same seed gives the same bytes.
    pub const fn new(seed: u64) -> Self {
        Self { seed, counter: Mutex::new(0) }
    }
}

impl Random for SeededRandom {
    fn fill(&self, into: &mut [u8]) {
        let mut counter = self.counter.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for chunk in into.chunks_mut(32) {
            *counter += 1;
            let digest =
                Sha256::new().chain_update(self.seed.to_le_bytes()).chain_update(counter.to_le_bytes()).finalize();
            chunk.copy_from_slice(&digest[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_never_the_same_twice() {
        let (one, two): (Box<dyn Random>, Box<dyn Random>) =
            (Box::new(SeededRandom::new(7)), Box::new(SeededRandom::new(7)));
        let first = one.secret();
        assert_eq!(first, two.secret());
        assert_ne!(first, one.secret());
        assert_eq!(first.len(), 43);
    }

    #[test]
    fn unit_stays_below_one() {
        let random: Box<dyn Random> = Box::new(SystemRandom);
        assert!((0..1_000).all(|_| (0.0..1.0).contains(&random.unit())));
    }
}
