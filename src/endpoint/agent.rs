//! What a browser calls itself, in a person's words: `Firefox on Linux`.

use crate::pages::words::Devices;
use woothee::parser::Parser;

/// The parser's word for what it does not know.
const UNKNOWN: &str = "UNKNOWN";

/// The name of the device with this `User-Agent`.
pub fn name(agent: &str, say: &Devices) -> String {
    let parsed = Parser::new().parse(agent);
    let browser = parsed.as_ref().and_then(|found| known(found.name));
    let system = parsed.as_ref().and_then(|found| known(found.os)).map(system);
    (say.called)(browser, system)
}

fn known(name: &str) -> Option<&str> {
    Some(name).filter(|name| *name != UNKNOWN && !name.is_empty())
}

/// Systems under the names that people know.
fn system(os: &str) -> &str {
    match os {
        "Mac OSX" | "Mac OS Classic" => "macOS",
        // The version that a browser tells has stood still since Windows 10.
        windows if windows.starts_with("Windows") && !windows.contains("Phone") => "Windows",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::Language;

    #[test]
    fn browsers_and_systems_are_called_by_their_names() {
        let say = &Language::English.words().devices;
        for (agent, called) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", "Firefox on Linux"),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
                "Safari on iPhone",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
                "Chrome on Windows",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
                "Chrome on Android",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15",
                "Safari on macOS",
            ),
            ("", "An unknown device"),
            ("<script>", "An unknown device"),
        ] {
            assert_eq!(name(agent, say), called, "{agent}");
        }
    }
}
