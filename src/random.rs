//! Randomness, injected: the operating system's in production, a repeatable one in tests.

use std::sync::atomic::{AtomicU64, Ordering};

/// Where unpredictable bytes come from. Production has exactly one: [`OsEntropy`].
pub trait Entropy: Send + Sync + 'static {
    /// Fills the whole buffer.
    fn fill(&self, bytes: &mut [u8]);
}

/// The operating system's generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    /// Ends the process if the system has no randomness: a session id that can be guessed is worse than no service.
    fn fill(&self, bytes: &mut [u8]) {
        if let Err(error) = getrandom::fill(bytes) {
            tracing::error!(%error, "the operating system gives no random bytes");
            std::process::abort();
        }
    }
}

/// Counts upwards: every value is new and the same in each run. For tests.
#[derive(Debug, Default)]
pub struct CountingEntropy(AtomicU64);

impl Entropy for CountingEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let number = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            chunk.iter_mut().zip(number.iter().rev()).for_each(|(to, from)| *to = *from);
        }
    }
}
