//! `cloakroom secret`: a fresh signing key, ready to paste.

use crate::random::Entropy;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io::Write;

/// Writes `base64:` and 32 random bytes, one line.
pub fn print(entropy: &dyn Entropy, out: &mut dyn Write) -> std::io::Result<()> {
    let mut key = zeroize::Zeroizing::new([0; 32]);
    entropy.fill(key.as_mut());
    writeln!(out, "base64:{}", STANDARD.encode(key.as_slice()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{CountingEntropy, OsEntropy};

    fn printed(entropy: &dyn Entropy) -> String {
        let mut out = Vec::new();
        print(entropy, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_secret_is_32_bytes_as_base64_on_one_line() {
        let line = printed(&CountingEntropy::default());

        let key = STANDARD.decode(line.strip_prefix("base64:").unwrap().strip_suffix('\n').unwrap()).unwrap();
        assert_eq!(key.len(), 32);
        assert_ne!(key, [0; 32]);
    }

    #[test]
    fn every_secret_is_another() {
        assert_ne!(printed(&OsEntropy), printed(&OsEntropy));
    }
}
