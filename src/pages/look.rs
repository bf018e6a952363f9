//! How our pages look: the one stylesheet, the operator's title, logo and accent.

use super::Color;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// The sheet as it is without an operator's accent.
const SHEET: &str = include_str!("look.css");

/// For the browser's tab, where the operator has no logo: a page that names none has every browser ask the app for `/favicon.ico`.
const ICON: &str = include_str!("icon.svg");

/// What the designed accents must stand out against, in light and in dark: the card, and the paper around it.
const LIGHT: [Color; 2] = [Color::new(0xff, 0xfd, 0xf8), Color::new(0xf6, 0xf2, 0xea)];
const DARK: [Color; 2] = [Color::new(0x20, 0x1c, 0x17), Color::new(0x16, 0x13, 0x0f)];

/// The look of one site, prepared at start.
#[derive(Clone, Debug)]
pub struct Look {
    pub title: Option<String>,
    pub logo: Option<Logo>,
    icon: Logo,
    sheet: Bytes,
    sheet_path: String,
}

/// The operator's mark: an image of this site, so that no page asks another host for anything.
#[derive(Clone, Debug)]
pub struct Logo {
    content_type: &'static str,
    bytes: Bytes,
    path: String,
}

impl Look {
    /// The sheet of a site with this accent.
    pub fn new(title: Option<String>, logo: Option<Logo>, accent: Option<Color>) -> Self {
        let sheet = match accent {
            Some(accent) => format!("{SHEET}\n{}", accents(accent)),
            None => SHEET.to_owned(),
        };
        let sheet_path = format!("/.cloakroom/look-{}.css", short_hash(sheet.as_bytes()));
        let icon = logo.clone().unwrap_or_else(|| Logo::new("image/svg+xml", Bytes::from_static(ICON.as_bytes())));
        Look { title, logo, icon, sheet: sheet.into(), sheet_path }
    }

    /// Cloakroom's own.
    pub fn plain() -> &'static Look {
        static PLAIN: LazyLock<Look> = LazyLock::new(|| Look::new(None, None, None));
        &PLAIN
    }

    /// The picture in the browser's tab: the logo, or ours.
    pub fn icon(&self) -> &Logo {
        &self.icon
    }

    /// The sheet's text.
    pub fn sheet(&self) -> &Bytes {
        &self.sheet
    }

    /// Where it is served. Its text has a name of its own, so that a browser may keep it for ever.
    pub fn sheet_path(&self) -> &str {
        &self.sheet_path
    }
}

impl Logo {
    /// An image of a type that browsers show in `img`.
    pub fn new(content_type: &'static str, bytes: Bytes) -> Self {
        let path = format!("/.cloakroom/logo-{}", short_hash(&bytes));
        Logo { content_type, bytes, path }
    }

    /// For `Content-Type`.
    pub fn content_type(&self) -> &'static str {
        self.content_type
    }

    /// The image.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Where it is served.
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// The rules that put the operator's accent in place of ours: as it is under the text of buttons, and where it is text itself shifted as far
/// as reading it needs (WCAG 2.2, 1.4.3).
fn accents(accent: Color) -> String {
    let on_it = accent.text_on_it();
    let away = if on_it == Color::WHITE { Color::BLACK } else { Color::WHITE };
    let (light, dark) = (accent.readable_on(&LIGHT, Color::BLACK), accent.readable_on(&DARK, Color::WHITE));
    format!(
        ":root {{ --accent: {light}; --fill: {accent}; --away: {away}; --on-accent: {on_it}; }}\n@media (prefers-color-scheme: dark) {{ :root {{ --accent: {dark}; --on-accent: {on_it}; }} }}\n"
    )
}

pub(super) fn short_hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_accent_is_another_sheet_under_another_name() {
        let (red, blue) = (Color::parse("#c00").unwrap(), Color::parse("#0000ff").unwrap());
        let looks = [Look::new(None, None, None), Look::new(None, None, Some(red)), Look::new(None, None, Some(blue))];

        assert!(looks[0].sheet_path() != looks[1].sheet_path() && looks[1].sheet_path() != looks[2].sheet_path());
        assert!(std::str::from_utf8(looks[2].sheet()).unwrap().contains("--accent: #0000ff"));
    }
}
