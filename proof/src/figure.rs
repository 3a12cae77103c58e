//! A figure beside its goal, and the table of all of them.

/// What a figure must be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    /// It is shown for its own sake.
    Shown,
    Exactly(f64),
    AtMost(f64),
    AtLeast(f64),
}

/// A figure that was wanted, and what it came to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Judged {
    pub(crate) what: String,
    /// `None` if the step failed before it had the figure, which counts as missed.
    pub(crate) value: Option<f64>,
    pub(crate) goal: Goal,
}

impl Judged {
    /// Whether the figure is there and is what it must be.
    pub(crate) fn is_met(&self) -> bool {
        let Some(value) = self.value else { return false };
        match self.goal {
            Goal::Shown => true,
            #[allow(clippy::float_cmp, reason = "counts, which are exact")]
            Goal::Exactly(wanted) => value == wanted,
            Goal::AtMost(most) => value <= most,
            Goal::AtLeast(least) => value >= least,
        }
    }

    fn row(&self) -> String {
        let goal = match self.goal {
            Goal::Shown => String::new(),
            Goal::Exactly(wanted) => number(wanted),
            Goal::AtMost(most) => format!("at most {}", number(most)),
            Goal::AtLeast(least) => format!("at least {}", number(least)),
        };
        let value = self.value.map_or_else(|| "-".to_owned(), number);
        let verdict = match (self.goal, self.is_met()) {
            (Goal::Shown, true) => "",
            (_, true) => "met",
            (_, false) => "MISSED",
        };
        format!("{:<62} {value:>13}  {goal:<18} {verdict}", self.what).trim_end().to_owned()
    }
}

/// All figures, and in the last line how many are as they must be.
pub(crate) fn table(figures: &[Judged]) -> String {
    let mut lines: Vec<String> = figures.iter().map(Judged::row).collect();
    let missed = figures.iter().filter(|figure| !figure.is_met()).count();
    let verdict = if missed == 0 { "PROVED" } else { "NOT PROVED" };
    lines.push(format!("{verdict}: {} figures, {missed} missed", figures.len()));
    lines.join("\n")
}

/// With thousands in groups and at most three decimals.
fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    let (sign, text) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(w, f)| (w, Some(f)));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let fraction = fraction.map_or_else(String::new, |digits| format!(".{digits}"));
    format!("{sign}{grouped}{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(value: Option<f64>, goal: Goal) -> Judged {
        Judged { what: "agents missing".to_owned(), value, goal }
    }

    #[test]
    fn a_goal_is_met_at_its_bound_and_missed_beyond() {
        for (value, goal, met) in [
            (3.0, Goal::AtMost(3.0), true),
            (3.001, Goal::AtMost(3.0), false),
            (0.97, Goal::AtLeast(0.97), true),
            (0.969, Goal::AtLeast(0.97), false),
            (0.0, Goal::Exactly(0.0), true),
            (1.0, Goal::Exactly(0.0), false),
            (9.0, Goal::Shown, true),
        ] {
            assert_eq!(judged(Some(value), goal).is_met(), met, "{value} {goal:?}");
        }
    }

    #[test]
    fn a_figure_that_never_came_is_missed() {
        assert!(!judged(None, Goal::Shown).is_met());
        let text = table(&[judged(None, Goal::Shown), judged(Some(0.0), Goal::Exactly(0.0))]);
        assert!(text.ends_with("NOT PROVED: 2 figures, 1 missed"), "{text}");
        assert!(text.lines().next().unwrap().ends_with("MISSED"), "{text}");
        let text = table(&[judged(Some(0.0), Goal::Exactly(0.0))]);
        assert!(text.ends_with("\nPROVED: 1 figures, 0 missed"), "{text}");
    }

    #[test]
    fn numbers_are_grouped_and_rounded() {
        let texts = [0.0, 15_000.0, 126_831_241.0, 0.3186, -1_234.5, 999.0].map(number);
        assert_eq!(texts, ["0", "15,000", "126,831,241", "0.319", "-1,234.5", "999"]);
    }
}
