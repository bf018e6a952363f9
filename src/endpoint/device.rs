//! Which users have signed in on this device before: they have tries of their own there (`throttle`).
//!
//! A random id of the device, and for each of a few users what they had proven, with our signature under all of it. The cookie names nobody and
//! opens nothing. With a new password it is void: a device that was lost is a stranger's from then on.

use super::own_cookie::OwnCookie;
use super::{Desk, Question};
use crate::auth::Gatekeeper;
use crate::session::keyring::Keyring;
use crate::session::record::Credential;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::time::Duration;
use subtle::ConstantTimeEq;

const PURPOSE: &str = "device";

/// Browsers keep no cookie for longer (RFC 6265bis section 5.5).
const LIFETIME: Duration = Duration::from_secs(400 * 24 * 3600);

/// A family's tablet.
const MOST_USERS: usize = 4;

const ID_LENGTH: usize = 22;

/// 128 bits of a signature, in hex.
const SIGNATURE_LENGTH: usize = 32;

/// What the browser keeps of its users.
pub struct Device {
    id: String,
    marks: Vec<Mark>,
}

/// That a user has signed in here.
struct Mark {
    signature: String,
    credential: Credential,
}

impl Mark {
    fn parse(text: &str) -> Option<Self> {
        let (signature, credential) = text.split_at_checked(SIGNATURE_LENGTH)?;
        Some(Mark { signature: signature.to_owned(), credential: Credential::parse(credential)? })
    }
}

impl Device {
    /// What the browser sent; `None` if nobody has signed in here.
    pub fn of(question: &Question<'_>) -> Option<Self> {
        let value = OwnCookie::Device.value(question)?;
        let mut parts = value.split('.');
        let id = parts.next().filter(|id| id.len() == ID_LENGTH)?.to_owned();
        let marks = parts.take(MOST_USERS).filter_map(Mark::parse).collect();
        Some(Device { id, marks })
    }

    /// One that nobody has used.
    pub fn fresh(desk: &Desk) -> Self {
        let mut bytes = [0; 16];
        desk.entropy.fill(&mut bytes);
        Device { id: URL_SAFE_NO_PAD.encode(bytes), marks: Vec::new() }
    }

    /// Names the device, and nobody.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether this user has signed in here before, by the password of now.
    pub fn knows(&self, keyring: &Keyring, gatekeeper: &Gatekeeper, user: &str) -> bool {
        // As it may have been typed, and as it may be stored. The gatekeeper, who remembers whom it was asked about, hears of no other name.
        let lowered = user.to_lowercase();
        let holds = |mark: &Mark, user: &str| self.is_of(keyring, mark, user) && gatekeeper.vouches_for(user, mark.credential);
        self.marks.iter().any(|mark| holds(mark, user) || lowered != user && holds(mark, &lowered))
    }

    /// The line that makes the browser keep that this user has signed in, too; the one who was here longest ago goes.
    pub fn line_with(&self, question: &Question<'_>, user: &str, credential: Credential) -> String {
        let keyring = question.sessions.keyring();
        let own = Mark { signature: self.signature(keyring, user, credential), credential };
        let others = self.marks.iter().filter(|mark| !self.is_of(keyring, mark, user)).take(MOST_USERS - 1);
        let value = [&own]
            .into_iter()
            .chain(others)
            .fold(self.id.clone(), |value, Mark { signature, credential }| format!("{value}.{signature}{}", credential.to_text()));
        OwnCookie::Device.line(&value, LIFETIME, question.inbound.secure, question.sessions.now())
    }

    fn is_of(&self, keyring: &Keyring, mark: &Mark, user: &str) -> bool {
        self.signature(keyring, user, mark.credential).as_bytes().ct_eq(mark.signature.as_bytes()).into()
    }

    /// For one spelling of the name, the stored one.
    fn signature(&self, keyring: &Keyring, user: &str, credential: Credential) -> String {
        let mut token = keyring.token(PURPOSE, &format!("{}.{}.{}", self.id, credential.to_text(), user));
        token.truncate(SIGNATURE_LENGTH);
        token
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::hash::{Kind, StoredHash, Strength};
    use crate::auth::{Answer, Attempt, HashPool, Password, Settings, SourceSettings, Throttle};
    use crate::clock::SystemClock;
    use crate::random::OsEntropy;
    use crate::secret::Secret;
    use std::sync::Arc;

    #[tokio::test]
    async fn a_device_knows_who_has_signed_in_until_the_password_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.toml");
        let password = Password::new("correct horse").unwrap();
        let hash = StoredHash::make(&password, Strength { memory: 8, passes: 1, lanes: 1 }, &OsEntropy).unwrap();
        let write = |hash: &StoredHash| std::fs::write(&path, format!("[users.alice]\nhash = \"{}\"\n", hash.as_text())).unwrap();
        write(&hash);
        let settings =
            Settings { sources: vec![SourceSettings::File(path.clone())], throttle: Throttle::default(), strength: Strength::SHIPPED };
        let (gatekeeper, mut ousted) =
            Gatekeeper::open(&settings, HashPool::new(), Arc::new(SystemClock), Arc::new(OsEntropy)).await.unwrap();
        let attempt = Attempt { user: "alice", password: &password, client: [192, 0, 2, 1].into(), known_device: None };
        let Answer::Welcome(_, credential) = gatekeeper.check(attempt).await else { panic!() };
        let (ring, other_ring) = (Keyring::new(&[Secret::new("ours")]).unwrap(), Keyring::new(&[Secret::new("theirs")]).unwrap());
        let mut device = Device { id: "a".repeat(ID_LENGTH), marks: Vec::new() };
        let signature = device.signature(&ring, "alice", credential);
        device.marks.push(Mark::parse(&format!("{signature}{}", credential.to_text())).unwrap());

        let known = |user: &str| device.knows(&ring, &gatekeeper, user);
        assert_eq!(["alice", "ALICE", "bob"].map(known), [true, true, false]);
        assert!(!device.is_of(&ring, &device.marks[0], "ALICE"), "the gatekeeper was asked about a name that nobody has");
        assert!(!device.knows(&other_ring, &gatekeeper, "alice"));
        let moved = Device { id: "b".repeat(ID_LENGTH), marks: vec![Mark { signature, credential }] };
        assert!(!moved.knows(&ring, &gatekeeper, "alice"), "another device's mark");

        write(&StoredHash::nobodys(Kind::Bcrypt { cost: 4 }, &OsEntropy));
        assert_eq!(ousted.recv().await.as_deref(), Some("alice"));

        assert!(!known("alice"));
    }
}
