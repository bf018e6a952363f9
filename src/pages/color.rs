//! The operator's accent: any colour, made readable where text is written in it or on it.

use std::fmt;

/// The contrast that text of any size needs (WCAG 2.2, 1.4.3).
const READABLE: f32 = 4.5;

/// A colour in sRGB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Color {
    red: u8,
    green: u8,
    blue: u8,
}

impl Color {
    pub const BLACK: Color = Color::new(0, 0, 0);
    pub const WHITE: Color = Color::new(0xff, 0xff, 0xff);

    /// From its three parts.
    pub const fn new(red: u8, green: u8, blue: u8) -> Self {
        Color { red, green, blue }
    }

    /// `#rgb` or `#rrggbb`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: Vec<u8> =
            text.strip_prefix('#')?.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
        match digits.as_slice() {
            [r, g, b] => Some(Color::new(r * 17, g * 17, b * 17)),
            [r, rr, g, gg, b, bb] => Some(Color::new(r * 16 + rr, g * 16 + gg, b * 16 + bb)),
            _ => None,
        }
    }

    /// This colour, moved towards another one as far as text in it needs on all of these.
    pub fn readable_on(self, behind: &[Color], towards: Color) -> Self {
        let steps = (0..=20u8).map(|step| self.mixed(towards, step));
        let readable = |color: &Color| behind.iter().all(|back| color.contrast(*back) >= READABLE);
        steps.into_iter().find(readable).unwrap_or(towards)
    }

    /// Black or white, whichever is easier to read on this colour.
    pub fn text_on_it(self) -> Self {
        if self.contrast(Color::WHITE) >= self.contrast(Color::BLACK) { Color::WHITE } else { Color::BLACK }
    }

    /// From 1 to 21 (WCAG 2.2, contrast ratio).
    pub fn contrast(self, other: Color) -> f32 {
        let (one, two) = (self.luminance(), other.luminance());
        (one.max(two) + 0.05) / (one.min(two) + 0.05)
    }

    fn luminance(self) -> f32 {
        let linear = |part: u8| {
            let part = f32::from(part) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(self.red) + 0.7152 * linear(self.green) + 0.0722 * linear(self.blue)
    }

    /// So many twentieths of the other colour.
    fn mixed(self, other: Color, twentieths: u8) -> Self {
        let share = u16::from(twentieths.min(20));
        let mix = |own: u8, other: u8| u8::try_from((u16::from(own) * (20 - share) + u16::from(other) * share) / 20).unwrap_or(u8::MAX);
        Color::new(mix(self.red, other.red), mix(self.green, other.green), mix(self.blue, other.blue))
    }
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:02x}{:02x}{:02x}", self.red, self.green, self.blue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_read_in_both_lengths() {
        assert_eq!(Color::parse("#8c2f39"), Some(Color::new(0x8c, 0x2f, 0x39)));
        assert_eq!(Color::parse("#FA0"), Color::parse("#ffaa00"));
        for bad in ["", "#", "8c2f39", "#12", "#12345g", "#1234567", "red;}", "#+1+2+3", "#é12"] {
            assert_eq!(Color::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn contrast_is_what_wcag_says() {
        assert!((Color::BLACK.contrast(Color::WHITE) - 21.0).abs() < 0.01);
        assert!((Color::parse("#777").unwrap().contrast(Color::WHITE) - 4.48).abs() < 0.01);
    }

    #[test]
    fn any_accent_is_readable_in_light_and_in_dark() {
        let (light, dark) = ([Color::WHITE, Color::new(0xf6, 0xf2, 0xea)], [Color::new(0x20, 0x1c, 0x17)]);
        for text in ["#ffff00", "#ffffff", "#000000", "#00f", "#8c2f39", "#7f7f7f"] {
            let accent = Color::parse(text).unwrap();
            let (on_light, on_dark) = (accent.readable_on(&light, Color::BLACK), accent.readable_on(&dark, Color::WHITE));
            assert!(on_light.contrast(light[1]) >= READABLE && on_dark.contrast(dark[0]) >= READABLE, "{text}");
            for shown in [on_light, on_dark] {
                assert!(shown.contrast(shown.text_on_it()) >= READABLE, "{text}");
            }
        }
        assert_eq!(Color::parse("#8c2f39").unwrap().readable_on(&light, Color::BLACK).to_string(), "#8c2f39");
    }
}
