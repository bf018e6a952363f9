//! A password that was typed: checked for length, wiped when dropped, never printed.

use std::fmt;
use zeroize::Zeroizing;

/// Hashing takes time that grows with the length.
const LONGEST: usize = 1024;

/// 1 to 1024 bytes, exactly as typed: not trimmed, not normalised, not cut (ASVS 6.2.8).
#[derive(Clone)]
pub struct Password(Zeroizing<Vec<u8>>);

impl Password {
    /// `None` if it is empty or longer than 1024 bytes: it can be nobody's.
    pub fn new(typed: impl Into<Vec<u8>>) -> Option<Self> {
        let bytes = Zeroizing::new(typed.into());
        (1..=LONGEST).contains(&bytes.len()).then_some(Password(bytes))
    }

    /// The bytes, for hashing.
    pub fn expose_secret(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_has_1_to_1024_bytes() {
        let accepted = [0, 1, 1024, 1025].map(|length| Password::new(vec![b' '; length]).is_some());

        assert_eq!(accepted, [false, true, true, false]);
    }

    #[test]
    fn a_password_prints_as_nothing() {
        assert_eq!(format!("{:?}", Password::new("hunter2")), "Some(Password(…))");
    }
}
