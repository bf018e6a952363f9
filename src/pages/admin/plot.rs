//! A plot, drawn as SVG: one step for each minute, the last hour from left to right, and the same in words.

use super::grouped;

/// The drawing's width and height, in its own units; the page stretches it.
const WIDTH: usize = 600;
const HEIGHT: f64 = 100.0;

/// One minute.
const STEP: usize = 10;

/// What is counted minute by minute.
pub struct Plot {
    pub title: &'static str,
    pub unit: &'static str,
    /// The first one has its area filled.
    pub curves: Vec<Curve>,
}

/// One line; at most sixty points, the last one ends now.
pub struct Curve {
    pub name: &'static str,
    pub points: Vec<u64>,
}

impl Plot {
    /// What the upper edge stands for: a round number that every point stays below.
    pub fn top(&self) -> u64 {
        let most = self.curves.iter().flat_map(|curve| &curve.points).copied().max().unwrap_or(0);
        let round = |power: u32| [1, 2, 5].map(|factor| 10_u64.saturating_pow(power).saturating_mul(factor));
        (0..20).flat_map(round).find(|round| *round >= most.max(5)).unwrap_or(u64::MAX)
    }

    /// The same for those who cannot see it.
    pub fn in_words(&self) -> String {
        let curves: Vec<String> = self.curves.iter().map(|curve| curve.in_words(self.unit)).collect();
        format!("{}: {}", self.title, curves.join("; "))
    }

    /// The line, as an SVG path.
    pub fn line(&self, curve: &Curve) -> String {
        let points = curve.points.iter().zip(curve.left()..);
        let mut path = String::new();
        for (point, minute) in points {
            let (x, y) = (minute * STEP, HEIGHT - *point as f64 * HEIGHT / self.top() as f64);
            path.push_str(&if path.is_empty() { format!("M{x} {y:.1}") } else { format!("V{y:.1}") });
            path.push_str(&format!("H{}", x + STEP));
        }
        path
    }

    /// The area below the line.
    pub fn area(&self, curve: &Curve) -> String {
        format!("{}V{HEIGHT}H{}Z", self.line(curve), curve.left() * STEP)
    }
}

impl Curve {
    /// The sum of all minutes.
    pub fn total(&self) -> String {
        grouped(self.points.iter().sum())
    }

    /// The first minute that is known, from the left.
    fn left(&self) -> usize {
        (WIDTH / STEP).saturating_sub(self.points.len())
    }

    fn in_words(&self, unit: &str) -> String {
        let (least, most) = (self.points.iter().min().unwrap_or(&0), self.points.iter().max().unwrap_or(&0));
        let last = self.points.last().unwrap_or(&0);
        format!("{} between {least} and {most} {unit}, {last} in the last minute", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(points: &[u64]) -> Plot {
        Plot { title: "Sessions", unit: "a minute", curves: vec![Curve { name: "begun", points: points.to_vec() }] }
    }

    #[test]
    fn the_last_minute_stands_at_the_right_and_nothing_reaches_beyond_the_edge() {
        let plot = plot(&[0, 50, 100]);

        assert_eq!(plot.line(&plot.curves[0]), "M570 100.0H580V50.0H590V0.0H600");
        assert_eq!(plot.area(&plot.curves[0]), "M570 100.0H580V50.0H590V0.0H600V100H570Z");
    }

    #[test]
    fn the_edge_is_a_round_number() {
        assert_eq!([&[][..], &[0], &[5], &[6], &[201], &[5001]].map(|points| plot(points).top()), [5, 5, 5, 10, 500, 10_000]);
        assert!(plot(&[u64::MAX]).top() >= 10_u64.pow(19));
    }

    #[test]
    fn a_plot_can_be_read_aloud() {
        assert_eq!(plot(&[80, 240, 96]).in_words(), "Sessions: begun between 80 and 240 a minute, 96 in the last minute");
    }
}
