//! A figure beside its goal, and the table of all of them. The counting is done elsewhere.

#[derive(Clone, Copy)]
pub(crate) enum Goal {
    None,
    AtMost(f64),
    Below(f64),
    AtLeast(f64),
}

/// One line of the table.
pub(crate) struct Figure {
    pub(crate) what: &'static str,
    pub(crate) value: f64,
    /// The same at 1af75eb.
    pub(crate) before: f64,
    pub(crate) goal: Goal,
    /// What the number is made of, or the worst of it.
    pub(crate) places: Vec<String>,
}

impl Figure {
    pub(crate) fn is_met(&self) -> bool {
        match self.goal {
            Goal::None => true,
            Goal::AtMost(most) => self.value <= most,
            Goal::Below(bound) => self.value < bound,
            Goal::AtLeast(least) => self.value >= least,
        }
    }

    fn row(&self) -> String {
        let number = |value: f64| {
            if value.fract() == 0.0 { format!("{value}") } else { format!("{value:.2}") }
        };
        let goal = match self.goal {
            Goal::None => String::new(),
            Goal::AtMost(most) => format!("at most {}", number(most)),
            Goal::Below(bound) => format!("below {}", number(bound)),
            Goal::AtLeast(least) => format!("at least {}", number(least)),
        };
        let verdict = match (self.goal, self.is_met()) {
            (Goal::None, _) => "",
            (_, true) => "met",
            (_, false) => "MISSED",
        };
        let (value, before) = (number(self.value), number(self.before));
        format!("{:<58}{value:>9}{before:>9}  {goal:<15}{verdict}", self.what)
    }
}

/// The table, and below it what each missed goal is made of.
pub(crate) fn report(figures: &[Figure]) -> String {
    let mut lines = vec![format!("{:<58}{:>9}{:>9}  {:<15}", "figure", "here", "1af75eb", "goal")];
    lines.extend(figures.iter().map(Figure::row));
    for figure in figures.iter().filter(|figure| !figure.is_met()) {
        lines.push(format!("\n{}:", figure.what));
        lines.extend(figure.places.iter().map(|place| format!("  {place}")));
    }
    lines.join("\n")
}
