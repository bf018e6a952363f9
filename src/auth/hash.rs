//! Stored password hashes: argon2id (PHC strings) and bcrypt, with caps so that a planted one cannot exhaust memory or time.

use super::password::Password;
use crate::random::Entropy;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, CustomizedPasswordHasher as _, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
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

impl From<Strength> for Kind {
    fn from(Strength { memory, passes, lanes }: Strength) -> Self {
        Kind::Argon2 { memory, passes, lanes, is_id: true }
    }
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

    /// A hash that no password has, and that costs as much to compare with as others of its kind.
    pub fn nobodys(kind: Kind, entropy: &dyn Entropy) -> Self {
        let mut random = [0; 48];
        entropy.fill(&mut random);
        let (salt, rest) = random.split_at(16);
        let text = match kind {
            Kind::Argon2 { memory, passes, lanes, is_id } => {
                let name = if is_id { "argon2id" } else { "argon2i" };
                format!("${name}$v=19$m={memory},t={passes},p={lanes}${}${}", STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(rest))
            }
            Kind::Bcrypt { cost } => {
                let digest = rest.get(..23).unwrap_or(rest);
                format!("$2b${cost:02}${}{}", bcrypt::BASE_64.encode(salt), bcrypt::BASE_64.encode(digest))
            }
        };
        StoredHash { text, kind }
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
    // Absent parameters would be the library's defaults: whoever wrote such a hash may have meant others.
    if ["m", "t", "p"].iter().any(|name| hash.params.get(*name).is_none()) {
        return Err(HashError::Damaged);
    }
    let params = Params::try_from(&hash).map_err(|_| HashError::Damaged)?;
    Ok(Kind::Argon2 { memory: params.m_cost(), passes: params.t_cost(), lanes: params.p_cost(), is_id })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{CountingEntropy, OsEntropy};

    fn password(text: &str) -> Password {
        Password::new(text).unwrap()
    }

    #[test]
    fn hashes_of_other_programs_work_as_they_are() {
        // Of "pässwörd 🦊": by the Node packages argon2 0.44.0 (argon2id, argon2i) and bcrypt 6.0.0 (2b, 2a), and by Apache's `htpasswd -B`.
        let foreign = [
            "$argon2id$v=19$m=65536,t=3,p=4$yf+U6NGCFkxANVbHF6bQSw$itENh+iWtF2im/nvl1pQGnwiHZLVKqUOM/tpqpyzBao",
            "$argon2i$v=19$m=1024,t=2,p=1$zGAUXdB82dcsp+399N0QaQ$lzTDeem7b+T9XsBphUyNd+nH3DehA0lm04QD7fgOyKY",
            "$2b$10$UU.SnId495DX.8C0MAdLsOQRGc1xaHj4HvHPG1P/GoGR3Kg0pM7ha",
            "$2a$05$g1aCmhkcJKk4S/EuanyE/eXTjjmgNc6ocmtQxWMk.9h4xULnIhxEW",
            "$2y$05$HxyiViiP5e2ieLWCV1p9WeYzNjtxaD.uI7pV0ZBSlmBOFPN6YcHPG",
        ];
        for text in foreign {
            let hash = StoredHash::parse(text).unwrap();

            assert!(hash.is_of(&password("pässwörd 🦊")) && !hash.is_of(&password("passwörd 🦊")), "{text}");
        }
        // Node's bcrypt reads the first 72 bytes of 80.
        let long = StoredHash::parse("$2b$04$1P2LPmjgYzJeZkHoyFXDv.JQBQImkHKrBKAMPJCOeKdwwBGYDYypS").unwrap();
        assert!(long.is_of(&password(&"x".repeat(80))) && !long.is_of(&password(&"x".repeat(71))));
    }

    #[test]
    fn shipped_hashes_are_as_hard_as_owasp_asks() {
        let hash = StoredHash::make(&password("correct horse"), Strength::SHIPPED, &OsEntropy).unwrap();

        assert!(hash.as_text().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.as_text());
        assert_eq!(hash.kind(), Strength::SHIPPED.into());
        assert!(hash.is_of(&password("correct horse")) && !hash.is_of(&password("correct horse ")));
    }

    #[test]
    fn each_hash_has_a_salt_of_its_own() {
        let strength = Strength { memory: 8, passes: 1, lanes: 1 };
        let made = [(); 2].map(|()| StoredHash::make(&password("x"), strength, &OsEntropy).unwrap());

        assert_ne!(made[0], made[1]);
    }

    #[test]
    fn a_hash_that_asks_for_too_much_is_refused() {
        let asks = |memory: u32, passes: u32, lanes: u32| {
            let kind = Kind::Argon2 { memory, passes, lanes, is_id: true };
            StoredHash::parse(StoredHash::nobodys(kind, &OsEntropy).as_text()).map(|hash| hash.kind())
        };

        assert!(asks(256 << 10, 10, 16).is_ok());
        for (memory, passes, lanes) in [((256 << 10) + 1, 1, 1), (u32::MAX, 1, 1), (64, 11, 1), (4096, 1, 17), (64, u32::MAX, 1)] {
            assert_eq!(asks(memory, passes, lanes), Err(HashError::TooCostly), "{memory} {passes} {lanes}");
        }
        let cost = |cost| StoredHash::parse(StoredHash::nobodys(Kind::Bcrypt { cost }, &OsEntropy).as_text()).map(|hash| hash.kind());
        assert_eq!((cost(15), cost(16), cost(31)), (Ok(Kind::Bcrypt { cost: 15 }), Err(HashError::TooCostly), Err(HashError::TooCostly)));
    }

    #[test]
    fn what_is_no_hash_is_refused_and_never_repeated() {
        for text in [
            "",
            "$",
            "hunter2",
            "$1$abc$def",
            "$apr1$abc$def",
            "{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=",
            "$argon2d$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo",
            "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ",
            "$argon2id$v=19$$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo",
            "$argon2id$v=18$m=64,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo",
            "$argon2id$v=19$m=-1,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo",
            "$2b$10$short",
            "$2x$10$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyzABCDE",
            "$2b$99$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyzABCDE",
        ] {
            let error = StoredHash::parse(text).expect_err(text).to_string();

            assert!(text.is_empty() || text == "$" || !error.contains(text), "{error}");
        }
    }

    #[test]
    fn nobodys_hash_can_be_compared_with_and_is_nobodys() {
        for kind in [
            Kind::Argon2 { memory: 64, passes: 1, lanes: 2, is_id: false },
            Kind::Bcrypt { cost: 4 },
            Strength { memory: 8, passes: 1, lanes: 1 }.into(),
        ] {
            let hash = StoredHash::nobodys(kind, &CountingEntropy::default());

            assert_eq!(StoredHash::parse(hash.as_text()).unwrap(), hash);
            assert!(!hash.is_of(&password("x")));
        }
    }

    #[test]
    fn older_kinds_and_smaller_products_are_weaker() {
        let shipped = Strength::SHIPPED;
        let weaker = |kind| StoredHash::nobodys(kind, &OsEntropy).is_weaker_than(shipped);
        let argon2 = |memory, passes, is_id| Kind::Argon2 { memory, passes, lanes: 1, is_id };

        assert_eq!([argon2(19_456, 2, true), argon2(47_104, 1, true), argon2(65_536, 3, true)].map(weaker), [false; 3]);
        assert_eq!([argon2(19_456, 1, true), argon2(65_536, 3, false), Kind::Bcrypt { cost: 12 }].map(weaker), [true; 3]);
    }

    #[test]
    fn a_hash_prints_without_itself() {
        let hash = StoredHash::nobodys(Kind::Bcrypt { cost: 4 }, &OsEntropy);

        assert_eq!(format!("{hash:?}"), "StoredHash(Bcrypt { cost: 4 })");
    }
}
