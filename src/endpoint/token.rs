//! The login form's token: a signed double submit (OWASP CSRF cheat sheet). It repeats, under our signature, the nonce that this
//! browser keeps in its pre-session cookie, and holds the time. Nothing is stored, so any number of tabs may be open.

use crate::clock::Timestamp;
use crate::session::keyring::Keyring;
use std::time::Duration;

const PURPOSE: &str = "login";

/// A form may be open for this long.
const LIFETIME: Duration = Duration::from_secs(3600);

/// Clocks of several proxies may differ by this much.
const SKEW: Duration = Duration::from_secs(60);

/// What a token proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// This browser got the form from us, within the hour.
    Good,
    /// Longer ago. Without a signature this is the client's own word: good for choosing a friendlier text, for nothing else.
    Expired,
    /// It says that it is ours and fresh, and the browser sends no cookie with it: the cookie was not kept.
    Orphan,
    /// Absent, another browser's, another purpose's, or nonsense.
    Foreign,
}

/// A token for the form that this browser is given.
pub fn issue(keyring: &Keyring, nonce: &str, now: Timestamp) -> String {
    format!("{:x}-{}", now.0, keyring.token(PURPOSE, &about(nonce, now)))
}

/// Judges the token of a form that came with this nonce.
pub fn judge(keyring: &Keyring, nonce: Option<&str>, token: &str, now: Timestamp) -> Token {
    let Some((issued, signature)) = token.split_once('-') else { return Token::Foreign };
    let Some(issued) = i64::from_str_radix(issued, 16).ok().map(Timestamp) else { return Token::Foreign };
    if issued > now.plus(SKEW) {
        return Token::Foreign;
    }
    let is_expired = now.since(issued) > LIFETIME;
    match nonce {
        _ if is_expired => Token::Expired,
        Some(nonce) if keyring.is_token(PURPOSE, &about(nonce, issued), signature) => Token::Good,
        Some(_) => Token::Foreign,
        None => Token::Orphan,
    }
}

fn about(nonce: &str, issued: Timestamp) -> String {
    format!("{nonce}.{}", issued.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn ring(secret: &str) -> Keyring {
        Keyring::new(&[Secret::new(secret)]).unwrap()
    }

    #[test]
    fn a_token_is_good_for_an_hour_in_the_browser_that_got_it() {
        let ring = ring("k");
        let token = issue(&ring, "nonce", NOW);
        let later = |seconds| NOW.plus(Duration::from_secs(seconds));

        for (nonce, at, judgement) in [
            (Some("nonce"), NOW, Token::Good),
            (Some("nonce"), later(3600), Token::Good),
            (Some("nonce"), later(3601), Token::Expired),
            (None, later(3601), Token::Expired),
            (None, later(10), Token::Orphan),
            (Some("other"), later(10), Token::Foreign),
            (Some("nonce"), NOW.minus(Duration::from_secs(61)), Token::Foreign),
        ] {
            assert_eq!(judge(&ring, nonce, &token, at), judgement, "{nonce:?} {at:?}");
        }
    }

    #[test]
    fn a_token_of_another_key_purpose_or_time_is_foreign() {
        let key = ring("k");
        let good = issue(&key, "nonce", NOW);
        let (time, signature) = good.split_once('-').unwrap();
        let logout = format!("{time}-{}", key.token("logout", &about("nonce", NOW)));
        let moved = format!("{:x}-{signature}", NOW.0 + 1);

        for bad in [
            issue(&ring("other"), "nonce", NOW),
            logout,
            moved,
            String::new(),
            "-".into(),
            "zz-zz".into(),
            format!("{good}0"),
            good.to_uppercase(),
        ] {
            assert_eq!(judge(&key, Some("nonce"), &bad, NOW), Token::Foreign, "{bad}");
        }
    }
}
