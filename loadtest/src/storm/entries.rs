//! What a storm cost its clients beside dials, and the gateway beside time: waits that were given up,
//! entries that were spent.

use serde::Serialize;

use crate::figures::shown;
use crate::fleet::measured::Measured;
use crate::gateway::sum_of;
use crate::http;

/// What a gateway's admission has counted so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct AdmissionSample {
    /// Arrivals that had an entry of the rate.
    entries: f64,
    /// Those that were served beside it, because they can be told nothing.
    untold: f64,
    /// Those that had gone before their moment came.
    left: f64,
}

impl AdmissionSample {
    /// Asks the gateways; `None` if one of them does not tell.
    pub(crate) async fn take(urls: &[String]) -> Option<Self> {
        let mut sum = Self::default();
        for url in urls {
            let text = String::from_utf8(http::fetch(url, None).await.ok()?).ok()?;
            let one = Self::read(&text);
            sum.entries += one.entries;
            sum.untold += one.untold;
            sum.left += one.left;
        }
        (!urls.is_empty()).then_some(sum)
    }

    /// An outcome that has not come up is not there.
    fn read(text: &str) -> Self {
        let of = |outcome: &str| {
            let label = format!("outcome=\"{outcome}\"");
            sum_of(text, "seawall_admission_outcomes_total", &label).unwrap_or(0.0)
        };
        let entries = of("admitted") + of("admitted_from_park");
        Self { entries, untold: of("passed_untold"), left: of("left") }
    }
}

/// The figures; part of [`super::outcome::StormOutcome`], whose keys are an interface. Null where no
/// gateway tells.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct EntryFigures {
    /// Entries of the rate from the beginning until all were back, and after that.
    pub(crate) entries: Option<f64>,
    pub(crate) entries_later: Option<f64>,
    /// POSTs served beside the rate, until all were back.
    pub(crate) served_beside: Option<f64>,
    /// Arrivals that had gone when their moment came.
    pub(crate) left_waiting: Option<f64>,
    /// Waits that clients gave up, because their own deadline had passed.
    pub(crate) waits_given_up: u64,
    pub(crate) close_frames: u64,
    /// Agents that never come again, and agents that were refused what they say once.
    pub(crate) lost_for_ever: u64,
    pub(crate) refused_for_good: u64,
    /// Agents of which no server can know: connected and silent, or refused what they say once.
    pub(crate) agents_mute: u64,
    /// POSTs, and connections opened for them.
    pub(crate) posts: u64,
    pub(crate) post_connections: u64,
}

/// A gateway at the beginning, when all were back, and in the end.
pub(crate) type ThreeLooks = [Option<AdmissionSample>; 3];

impl EntryFigures {
    /// Between these looks, with what agents have counted since.
    pub(crate) fn new([before, back, end]: ThreeLooks, since: &Measured) -> Self {
        let between = |from: Option<AdmissionSample>, to: Option<AdmissionSample>| from.zip(to);
        let storm = between(before, back);
        Self {
            entries: storm.map(|(from, to)| to.entries - from.entries),
            entries_later: between(back, end).map(|(from, to)| to.entries - from.entries),
            served_beside: storm.map(|(from, to)| to.untold - from.untold),
            left_waiting: storm.map(|(from, to)| to.left - from.left),
            waits_given_up: since.given_up,
            close_frames: since.close_frames,
            lost_for_ever: since.lost_for_ever,
            refused_for_good: since.refused_for_good,
            agents_mute: 0,
            posts: since.posts,
            post_connections: since.post_connections,
        }
    }

    /// What a reader sees of it, as names and values.
    pub(crate) fn lines(&self) -> Vec<(&'static str, String)> {
        vec![
            ("entries of the rate", shown(self.entries, "")),
            ("entries after all were back", shown(self.entries_later, "")),
            ("POSTs served beside the rate", shown(self.served_beside, "")),
            ("waits given up by clients", self.waits_given_up.to_string()),
            ("Close frames received", self.close_frames.to_string()),
            ("agents that never come again", self.lost_for_ever.to_string()),
            ("agents refused for good", self.refused_for_good.to_string()),
            ("agents of which no server can know", self.agents_mute.to_string()),
            ("POSTs", self.posts.to_string()),
            ("connections for them", self.post_connections.to_string()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_told_from_what_was_served_beside_them() {
        let text = |admitted: u32, untold: u32| {
            let line = |outcome, count| {
                format!("seawall_admission_outcomes_total{{outcome=\"{outcome}\"}} {count}\n")
            };
            line("admitted", admitted)
                + &line("admitted_from_park", 5)
                + &line("passed_untold", untold)
        };
        let looks = [(10, 0), (30, 7), (31, 9)];
        let looks =
            looks.map(|(admitted, untold)| Some(AdmissionSample::read(&text(admitted, untold))));
        let figures = EntryFigures::new(looks, &Measured { given_up: 3, ..Measured::default() });
        assert_eq!((figures.entries, figures.entries_later), (Some(20.0), Some(1.0)));
        assert_eq!((figures.served_beside, figures.left_waiting), (Some(7.0), Some(0.0)));
        assert_eq!(figures.waits_given_up, 3);
        let none = EntryFigures::new([None, looks[1], None], &Measured::default());
        assert_eq!((none.entries, none.entries_later), (None, None));
    }
}
