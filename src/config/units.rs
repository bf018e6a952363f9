//! Lengths of time and sizes as people write them: `15m`, `64KiB`.

use std::time::Duration;

const DURATIONS: &[(&str, u64)] = &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZES: &[(&str, u64)] = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// Reads a whole number and one of the units `ms s m h d`.
pub fn duration(text: &str) -> Option<Duration> {
    measure(text, DURATIONS).map(Duration::from_millis)
}

/// Reads a whole number and one of the units `B KiB MiB GiB`; the result is in bytes.
pub(super) fn size(text: &str) -> Option<u64> {
    measure(text, SIZES)
}

/// The shortest spelling that [`duration`] reads back, in the largest unit that fits without rest.
pub(super) fn show_duration(length: Duration) -> String {
    let millis = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 { "0s".to_owned() } else { show(millis, DURATIONS) }
}

/// The shortest spelling that [`size`] reads back.
pub(super) fn show_size(bytes: u64) -> String {
    show(bytes, SIZES)
}

/// The size that a writer of `10MB` or `64k` most likely meant, spelled right.
pub(super) fn likely_size(text: &str) -> Option<String> {
    let (number, unit) = split(text)?;
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => "B",
        "k" | "kb" | "kib" => "KiB",
        "m" | "mb" | "mib" => "MiB",
        "g" | "gb" | "gib" => "GiB",
        _ => return None,
    };
    Some(format!("{number}{unit}"))
}

/// The duration that a writer of `30 min` or `2 hours` most likely meant, spelled right.
pub(super) fn likely_duration(text: &str) -> Option<String> {
    let (number, unit) = split(text)?;
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" | "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "ms" | "msec" | "millis" | "milliseconds" => "ms",
        "m" | "min" | "mins" | "minute" | "minutes" => "m",
        "h" | "hr" | "hrs" | "hour" | "hours" => "h",
        "d" | "day" | "days" => "d",
        _ => return None,
    };
    Some(format!("{number}{unit}"))
}

fn measure(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit.trim()))
}

fn show(amount: u64, units: &[(&str, u64)]) -> String {
    let fitting = units.iter().rev().find(|(_, factor)| amount.is_multiple_of(*factor));
    fitting.map_or_else(|| amount.to_string(), |(unit, factor)| format!("{}{unit}", amount / factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        let read = ["500ms", "30s", "15m", "12h", "14d", "0s"].map(|text| duration(text).map(|d| d.as_millis()));

        assert_eq!(read, [Some(500), Some(30_000), Some(900_000), Some(43_200_000), Some(1_209_600_000), Some(0)]);
    }

    #[test]
    fn a_duration_without_number_unit_or_room_is_none() {
        let read = ["", "30", "s", "1.5h", "-1s", "30 s", "5 min", "99999999999999999999d", "9999999999999999d"].map(duration);

        assert_eq!(read, [None; 9]);
    }

    #[test]
    fn sizes_are_binary() {
        assert_eq!(["1B", "8KiB", "2MiB", "1GiB"].map(size), [Some(1), Some(8192), Some(2 << 20), Some(1 << 30)]);
        assert_eq!(["8KB", "8k", "8"].map(size), [None; 3]);
    }

    #[test]
    fn what_is_shown_can_be_read_back() {
        let shown = ["0s", "90s", "2m", "14d", "1500ms"].map(|text| show_duration(duration(text).unwrap()));

        assert_eq!(shown, ["0s", "90s", "2m", "14d", "1500ms"]);
        assert_eq!([1, 8192, 8193].map(show_size), ["1B", "8KiB", "8193B"]);
    }

    #[test]
    fn near_misses_are_understood() {
        assert_eq!(likely_size("10MB").as_deref(), Some("10MiB"));
        assert_eq!(likely_duration("30 minutes").as_deref(), Some("30m"));
        assert_eq!(likely_duration("soon"), None);
    }
}
