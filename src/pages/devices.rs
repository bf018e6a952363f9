//! The page with the visitor's own devices.

use super::Manner;
use askama::Template;

/// Where the visitor is signed in, this device first.
#[derive(Debug, Template)]
#[template(path = "pages/devices.html")]
pub struct DevicesPage<'a> {
    pub manner: Manner<'a>,
    pub user: &'a str,
    /// Where the forms go.
    pub action: &'a str,
    /// Proves to the POST that the forms were ours.
    pub token: String,
    pub rows: Vec<DeviceRow>,
    pub ending: Ending,
}

/// Whether the visitor may end sessions now.
#[derive(Clone, Debug)]
pub enum Ending {
    Allowed,
    /// After the password was typed once more, at this path.
    AfterPassword(String),
    /// After a new login, wherever the site's apps have it.
    AfterLogin,
}

/// One session.
#[derive(Clone, Debug)]
pub struct DeviceRow {
    pub handle: String,
    /// Browser and system.
    pub name: String,
    /// The address of its last use.
    pub address: Option<String>,
    /// When it signed in, and when it was last used, as a person says it.
    pub signed_in: Option<String>,
    pub active: Option<String>,
    pub is_this: bool,
}

impl DevicesPage<'_> {
    fn has_others(&self) -> bool {
        self.rows.iter().any(|row| !row.is_this)
    }

    /// Why there are no buttons, where there is something to end.
    fn why_not(&self) -> Option<&'static str> {
        let say = &self.manner.words.devices;
        match self.ending {
            _ if !self.has_others() => None,
            Ending::Allowed => None,
            Ending::AfterPassword(_) => Some(say.confirm_first),
            Ending::AfterLogin => Some(say.sign_in_again_first),
        }
    }

    fn may_end(&self) -> bool {
        matches!(self.ending, Ending::Allowed)
    }
}

impl DeviceRow {
    /// A short form of the handle that a person can compare, such as `4F·09·C2`.
    fn number(&self) -> String {
        super::ticket_number(&self.handle)
    }
}
