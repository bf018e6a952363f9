//! Which passwords may be chosen (ASVS 6.2.1, 6.2.4). What has been chosen elsewhere is taken as it is.

use super::Password;
use std::collections::HashSet;
use std::sync::LazyLock;

const SHORTEST: usize = 8;

/// The file names its origin and licence.
const LIST: &str = include_str!("common_passwords.txt");

static COMMON: LazyLock<HashSet<&str>> = LazyLock::new(|| LIST.lines().filter(|line| !line.starts_with('#')).collect());

/// Why a password may not be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Weak {
    #[error("a password has at least {SHORTEST} characters")]
    Short,
    #[error("a password has at most 1024 bytes")]
    Long,
    #[error("this is one of the most common passwords")]
    Common,
    #[error("the user's name is no password")]
    Name,
}

impl Password {
    /// A new password for a user.
    pub fn choose(user: &str, typed: &str) -> Result<Password, Weak> {
        let lower = typed.to_lowercase();
        if typed.chars().count() < SHORTEST {
            Err(Weak::Short)
        } else if COMMON.contains(lower.as_str()) {
            Err(Weak::Common)
        } else if lower == user.to_lowercase() {
            Err(Weak::Name)
        } else {
            Password::new(typed).ok_or(Weak::Long)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(typed: &str) -> Result<(), Weak> {
        Password::choose("alice.smith", typed).map(drop)
    }

    #[test]
    fn the_list_holds_more_than_the_3000_most_common_that_are_long_enough() {
        assert!(COMMON.len() >= 3000, "{}", COMMON.len());
        assert!(COMMON.iter().all(|word| word.chars().count() >= SHORTEST && *word == word.to_lowercase()));
    }

    #[test]
    fn short_common_and_obvious_passwords_are_refused() {
        assert_eq!(["1234567", "🦊🦊🦊", ""].map(choice), [Err(Weak::Short); 3]);
        assert_eq!(["password", "PassWord", "12345678", "sunshine", "swetlana"].map(choice), [Err(Weak::Common); 5]);
        assert_eq!((choice("Alice.Smith"), choice(&"x".repeat(1025))), (Err(Weak::Name), Err(Weak::Long)));
    }

    #[test]
    fn any_other_text_is_a_password() {
        assert_eq!(["correct horse", "ünïcödé pässwörd", "        ", "🦊🦊🦊🦊🦊🦊🦊🦊"].map(choice), [Ok(()); 4]);
    }
}
