//! What is done to a storm after the cut, when it is done, and when the storm is over.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use seawall::clock;

use super::admission::RateSetting;
use super::args::POLL;
use super::conditions::Conditions;
use super::cut::CUT_LEAD;
use super::ideal::Ideal;
use super::progress::Progress;
use crate::crew::Crew;
use crate::fleet::manners::Wave;

/// Something that is done at an instant of its own.
#[derive(Debug, Clone, Copy, PartialEq)]
enum CourseEvent {
    SecondWave,
    /// The gateway is set to this rate.
    Rate(f64),
}

/// What is yet to be done, and what it makes of the ideal time.
#[derive(Debug)]
pub(crate) struct Course {
    cut_at: Instant,
    /// By the time after the cut.
    events: VecDeque<(Duration, CourseEvent)>,
    admission: RateSetting,
    /// The rate that holds now; `None` if the gateway finds its own.
    rate: Option<f64>,
    ideal: Ideal,
    second_wave: Option<Duration>,
}

impl Course {
    /// For a storm that begins at this instant.
    pub(crate) fn new(conditions: &Conditions, admission: RateSetting, cut_at: Instant) -> Self {
        let changes = conditions.rate_change.iter();
        let mut events: Vec<_> =
            changes.map(|change| (change.at.0, CourseEvent::Rate(change.per_second))).collect();
        let second_wave = conditions.second_wave_at.map(|at| at.0);
        events.extend(second_wave.map(|at| (at, CourseEvent::SecondWave)));
        events.sort_by_key(|(at, _)| *at);
        let mut ideal = Ideal::default();
        if let Some(rate) = conditions.admission_rate {
            ideal.rate(Duration::ZERO, rate);
        }
        let rate = conditions.admission_rate;
        Self { cut_at, events: events.into(), admission, rate, ideal, second_wave }
    }

    /// A course without events, at an unknown rate.
    pub(crate) fn uneventful() -> Self {
        Self {
            cut_at: clock::now(),
            events: VecDeque::new(),
            admission: RateSetting::beside(&[]),
            rate: None,
            ideal: Ideal::default(),
            second_wave: None,
        }
    }

    /// Carries the events out until all agents are back, or the time is over; the outcome shows
    /// which.
    ///
    /// # Errors
    /// When a worker has died, or the gateway refuses the rate.
    pub(crate) async fn run(
        &mut self,
        crew: &mut Crew,
        patience: Duration,
        progress: &mut Progress,
    ) -> io::Result<()> {
        let deadline = clock::now() + patience;
        loop {
            while let Some((at, event)) = self.next_due(clock::now()) {
                self.carry_out(at, event, crew).await?;
            }
            let stats = crew.stats().await?;
            progress.show("back", stats.back, crew.agents.into(), stats.refusals);
            let now = clock::now();
            if stats.outstanding == 0 && !self.awaits_a_wave() || now >= deadline {
                progress.clear();
                return Ok(());
            }
            let next = self.events.front().map_or(now + POLL, |(at, event)| self.due(*at, *event));
            tokio::time::sleep_until(next.min(now + POLL).into()).await;
        }
    }

    /// Takes the next event, if its time has come.
    fn next_due(&mut self, now: Instant) -> Option<(Duration, CourseEvent)> {
        let (at, event) = *self.events.front()?;
        if self.due(at, event) > now {
            return None;
        }
        self.events.pop_front()
    }

    /// A wave is announced ahead, as the cut is.
    fn due(&self, at: Duration, event: CourseEvent) -> Instant {
        self.cut_at
            + if event == CourseEvent::SecondWave { at.saturating_sub(CUT_LEAD) } else { at }
    }

    /// Once all agents are back, a change of rate is of no account. A wave still is.
    fn awaits_a_wave(&self) -> bool {
        self.events.iter().any(|(_, event)| *event == CourseEvent::SecondWave)
    }

    async fn carry_out(
        &mut self,
        at: Duration,
        event: CourseEvent,
        crew: &mut Crew,
    ) -> io::Result<()> {
        match event {
            CourseEvent::SecondWave => crew.cut(self.cut_at + at, Wave::Second).await,
            CourseEvent::Rate(rate) => {
                let asked = clock::now();
                self.admission.set(rate).await?;
                // Which of the two rates held meanwhile is unknown. The ideal gets the higher one,
                // so that it errs against the gateway.
                let rises = self.rate.is_none_or(|before| rate > before);
                let changed = if rises { asked } else { clock::now() };
                self.ideal.rate(changed.saturating_duration_since(self.cut_at), rate);
                self.rate = Some(rate);
                Ok(())
            }
        }
    }

    /// The ideal of these agents, and of the connections that the second wave has cut.
    pub(crate) fn ideal(&self, returning: u64, second_wave_connections: u64) -> Ideal {
        let mut ideal = self.ideal.clone();
        ideal.arrive(Duration::ZERO, returning);
        if let Some(at) = self.second_wave {
            ideal.arrive(at, second_wave_connections);
        }
        ideal
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn course(arguments: &[&str], cut_at: Instant) -> Course {
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            conditions: Conditions,
        }
        let line = Line::parse_from(["storm"].iter().chain(arguments));
        Course::new(&line.conditions, RateSetting::beside(&[]), cut_at)
    }

    #[test]
    fn events_come_in_their_order_and_waves_ahead_of_time() {
        let cut_at = clock::now();
        let at = |ms| cut_at + Duration::from_millis(ms);
        let flags = [
            "--admission-rate=1000",
            "--rate-change=6s=500",
            "--second-wave-at=5s",
            "--rate-change=2s=7",
        ];
        let mut course = course(&flags, cut_at);
        assert_eq!(course.next_due(at(1_999)), None);
        assert_eq!(
            course.next_due(at(2_000)),
            Some((Duration::from_secs(2), CourseEvent::Rate(7.0)))
        );
        assert_eq!(course.next_due(at(4_699)), None);
        assert!(course.awaits_a_wave());
        assert_eq!(
            course.next_due(at(4_700)),
            Some((Duration::from_secs(5), CourseEvent::SecondWave))
        );
        // All agents may be back before the last change of rate, which the storm does not wait for.
        assert!(!course.awaits_a_wave() && course.events.len() == 1);
    }

    #[test]
    fn the_ideal_counts_what_the_second_wave_cut() {
        let course = course(&["--admission-rate=1000", "--second-wave-at=5s"], clock::now());
        assert_eq!(course.ideal(15_000, 2_500).seconds(), Some(17.5));
        assert_eq!(Course::uneventful().ideal(15_000, 0).seconds(), None);
    }
}
