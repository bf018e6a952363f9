//! Stored password hashes: argon2id (PHC strings) and bcrypt, with caps so that a planted one cannot exhaust memory or time.

use super::password::Password;
use crate::random::Entropy;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, CustomizedPasswordHasher as _, Params, Version};
use std::fmt;

/// The most memory that a stored hash may ask for, in KiB.
const MOST_MEMORY: u32 = 256 << 10;
/// The most passes that a stored argon2 hash may ask for.
const MOST_PASSES: u32 = 10;
/// The most lanes; they are computed one after the other.
const MOST_LANES: u32 = 16;
/// The most that a stored bcrypt hash may cost: about two seconds.
const MOST_COST: u32 = 15;

/// How hard new argon2id hashes are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strength {
    /// Memory in KiB.
    pub memory: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Strength {
    /// One of the equal choices of OWASP's Password Storage Cheat Sheet.
    pub const SHIPPED: Strength = Strength { memory: 19_456, passes: 2, lanes: 1 };
}

/// A hash that a password can be compared with. Its text is only in [`StoredHash::as_text`], never in a log.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredHash {
    text: String,
    kind: Kind,
}

/// What a comparison costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// argon2id, or argon2i of older Node libraries: memory in KiB, passes, lanes.
    Argon2 { memory: u32, passes: u32, lanes: u32, is_id: bool },
    /// bcrypt: the logarithm of its rounds.
    Bcrypt { cost: u32 },
}

/// Why a text is no usable hash; its message does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    #[error("not an argon2id or bcrypt hash")]
    Unknown,
    #[error("a damaged hash")]
    Damaged,
    #[error("a hash that asks for more than 256 MiB, 10 passes, 16 lanes or a bcrypt cost of 15")]
    TooCostly,
}

impl StoredHash {
    /// Reads `$argon2id$v=19$m=…`, `$2b$…`, `$2a$…` or `$2y$…`.
    pub fn parse(text: &str) -> Result<Self, HashError> {
        let kind = match text.split('$').nth(1).unwrap_or_default() {
            "argon2id" => argon2_kind(text, true)?,
            "argon2i" => argon2_kind(text, false)?,
            "2a" | "2b" | "2y" => Kind::Bcrypt { cost: text.parse::<bcrypt::HashParts>().map_err(|_| HashError::Damaged)?.get_cost() },
            _ => return Err(HashError::Unknown),
        };
        let is_bearable = match kind {
            Kind::Argon2 { memory, passes, lanes, .. } => memory <= MOST_MEMORY && passes <= MOST_PASSES && lanes <= MOST_LANES,
            Kind::Bcrypt { cost } => cost <= MOST_COST,
        };
        is_bearable.then(|| StoredHash { text: text.to_owned(), kind }).ok_or(HashError::TooCostly)
    }

    /// Hashes a password as argon2id under a fresh salt. Takes tens of milliseconds: only on the pool, or in a command.
    pub fn make(password: &Password, strength: Strength, entropy: &dyn Entropy) -> Result<Self, HashError> {
        let mut salt = [0; 16];
        entropy.fill(&mut salt);
        let params = Params::new(strength.memory, strength.passes, strength.lanes, None).map_err(|_| HashError::TooCostly)?;
        let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        let made = hasher.hash_password_customized(password.expose_secret(), &salt, None, None, params).map_err(|_| HashError::Damaged)?;
        StoredHash::parse(&made.to_string())
    }

    /// Whether the password is the one. The comparison is constant-time; the work is that of [`StoredHash::kind`].
    pub fn is_of(&self, password: &Password) -> bool {
        match self.kind {
            Kind::Argon2 { .. } => {
                use argon2::PasswordVerifier as _;
                PasswordHash::new(&self.text).is_ok_and(|hash| Argon2::default().verify_password(password.expose_secret(), &hash).is_ok())
            }
            // bcrypt reads 72 bytes, as every library that wrote such hashes does.
            Kind::Bcrypt { .. } => bcrypt::verify(password.expose_secret(), &self.text).unwrap_or(false),
        }
    }

    /// What a comparison costs.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether a hash of this strength would be harder to guess.
    pub fn is_weaker_than(&self, strength: Strength) -> bool {
        match self.kind {
            Kind::Bcrypt { .. } | Kind::Argon2 { is_id: false, .. } => true,
            Kind::Argon2 { memory, passes, .. } => {
                u64::from(memory) * u64::from(passes) < u64::from(strength.memory) * u64::from(strength.passes)
            }
        }
    }

    /// The text as it is stored.
    pub fn as_text(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for StoredHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredHash({:?})", self.kind)
    }
}

fn argon2_kind(text: &str, is_id: bool) -> Result<Kind, HashError> {
    let hash = PasswordHash::new(text).map_err(|_| HashError::Damaged)?;
    if hash.salt.is_none() || hash.hash.is_none() || !matches!(hash.version, None | Some(16 | 19)) {
        return Err(HashError::Damaged);
    }
    let params = Params::try_from(&hash).map_err(|_| HashError::Damaged)?;
    Ok(Kind::Argon2 { memory: params.m_cost(), passes: params.t_cost(), lanes: params.p_cost(), is_id })
}
