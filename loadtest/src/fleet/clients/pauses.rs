//! How long each client stays away: what it does with what it is told, and its own backoff where it
//! is told nothing or does not listen.

use std::time::Duration;

use super::habits::PauseLaw;
use crate::fleet::backoff::DialBackoff;
use crate::fleet::mix::Mix;

/// Why a client has to come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setback {
    /// A connection failed, the client's deadline passed, or what came was of no use.
    Failed,
    /// 503 or 429, with what `Retry-After` says; any other status, without.
    Refused(Option<Duration>),
    /// UNAVAILABLE in a message, with what `retry_info` says.
    Told(Option<Duration>),
}

/// How an open connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By a Close frame.
    Close,
    /// By the end of the stream.
    Fin,
    /// By a reset, or nonsense.
    Reset,
    /// Behind UNAVAILABLE, or by the client because of that.
    Told(Option<Duration>),
}

/// What a client does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// It comes again after this time.
    After(Duration),
    /// It comes with its next tick.
    Tick,
    /// It never comes again.
    Never,
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Java's first pause, and the shortest of Node's.
const HALF_A_MINUTE: Duration = secs(30);

/// One client's run of setbacks.
#[derive(Debug)]
pub(crate) struct Pauses {
    law: PauseLaw,
    go: DialBackoff,
    /// Setbacks in a row.
    failures: u32,
    /// Java: what its first setback told it, which it then keeps to until a success.
    keeps_to: Option<Duration>,
}

impl Pauses {
    /// Before any setback.
    pub(crate) const fn new(law: PauseLaw) -> Self {
        Self { law, go: DialBackoff::new(), failures: 0, keeps_to: None }
    }

    /// As they are when no gateway has answered for so long. Says how long until the next try.
    pub(crate) fn after_outage(&mut self, outage: Duration, mix: &mut Mix) -> Duration {
        let mut passed = Duration::ZERO;
        while let Next::After(pause) = self.next(Setback::Failed, mix) {
            passed += pause.max(Duration::from_millis(1));
            if passed >= outage {
                return passed - outage;
            }
        }
        Duration::ZERO
    }

    /// All is well: an answer over HTTP, or an open WebSocket. otel-arrow wants to have talked.
    pub(crate) fn succeeded(&mut self) {
        if self.law != PauseLaw::OtelArrow {
            *self = Self::new(self.law);
        }
    }

    /// Messages went both ways, two at least.
    pub(crate) fn talked(&mut self) {
        *self = Self::new(self.law);
    }

    /// What it does after this.
    pub(crate) fn next(&mut self, setback: Setback, mix: &mut Mix) -> Next {
        let before = self.failures;
        self.failures = before.saturating_add(1);
        Next::After(match self.law {
            PauseLaw::Go => {
                let told = if let Setback::Refused(told) = setback { told } else { None };
                self.go.next(told, mix)
            }
            PauseLaw::Python => doubled(secs(1), before, Duration::MAX).mul_f64(around(0.2, mix)),
            PauseLaw::Java { heeds_header } => return self.java(setback, before, heeds_header),
            PauseLaw::Node => match setback {
                Setback::Refused(told) | Setback::Told(told) => {
                    told.unwrap_or_default().max(HALF_A_MINUTE).mul_f64(around(0.1, mix))
                }
                Setback::Failed => {
                    let cubed = u64::from(self.failures.min(10)).pow(3);
                    secs((cubed + 29).min(300))
                }
            },
            PauseLaw::NextTick => return Next::Tick,
            PauseLaw::OtelArrow => match setback {
                // It waits for as long as it is told on its next connection.
                Setback::Told(_) => Duration::ZERO,
                _ => doubled(Duration::from_millis(250), before, secs(15))
                    .mul_f64(0.80 + 0.093 * mix.unit()),
            },
            PauseLaw::OpampFleet => {
                let own = doubled(secs(1), before, secs(60));
                if let Setback::Told(told) = setback { told.unwrap_or_default() + own } else { own }
            }
        })
    }

    fn java(&mut self, setback: Setback, before: u32, heeds_header: bool) -> Next {
        if let Setback::Told(Some(told)) = setback {
            // The answer itself was a success.
            self.succeeded();
            return Next::After(told);
        }
        if let (Setback::Refused(Some(told)), true, 0) = (setback, heeds_header, before) {
            self.keeps_to = Some(told);
        }
        Next::After(self.keeps_to.unwrap_or_else(|| doubled(HALF_A_MINUTE, before, Duration::MAX)))
    }

    /// What it does when an open WebSocket has ended. `talked`: two messages or more went each way.
    pub(crate) fn after_end(&mut self, ended: Ended, talked: bool, mix: &mut Mix) -> Next {
        let setback =
            if let Ended::Told(told) = ended { Setback::Told(told) } else { Setback::Failed };
        match (self.law, ended) {
            (PauseLaw::Java { .. }, Ended::Close) | (PauseLaw::NextTick, _) => Next::Never,
            // Whatever ended it.
            (PauseLaw::Go, _) => Next::After(Duration::ZERO),
            (PauseLaw::OtelArrow, Ended::Close | Ended::Fin) if talked => {
                Next::After(Duration::ZERO)
            }
            _ => self.next(setback, mix),
        }
    }

    /// Whether UNAVAILABLE in a message makes it come again later.
    pub(crate) const fn heeds_messages(law: PauseLaw) -> bool {
        !matches!(law, PauseLaw::Go | PauseLaw::Python | PauseLaw::NextTick)
    }
}

/// `first`, doubled so often, `longest` at most.
fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    first.saturating_mul(2u32.saturating_pow(times)).min(longest)
}

/// A factor from 1-SPREAD to 1+SPREAD.
fn around(spread: f64, mix: &mut Mix) -> f64 {
    1.0 - spread + 2.0 * spread * mix.unit()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(law: PauseLaw, setbacks: &[Setback]) -> Vec<f64> {
        let (mut pauses, mut mix) = (Pauses::new(law), Mix::new(1, 2, 3));
        let mut one = |setback: &Setback| match pauses.next(*setback, &mut mix) {
            Next::After(pause) => pause.as_secs_f64(),
            other => panic!("{other:?}"),
        };
        setbacks.iter().map(&mut one).collect()
    }

    fn within(got: &[f64], wanted: &[f64], spread: f64) {
        assert_eq!(got.len(), wanted.len());
        for (got, wanted) in got.iter().zip(wanted) {
            assert!((got / wanted - 1.0).abs() <= spread + 1e-9, "{got} for {wanted}");
        }
    }

    const FAILED: Setback = Setback::Failed;
    const TOLD: Setback = Setback::Told(Some(secs(17)));
    const HEADER: Setback = Setback::Refused(Some(secs(17)));

    #[test]
    fn java_keeps_to_the_header_of_its_first_setback_alone() {
        let http = PauseLaw::Java { heeds_header: true };
        assert_eq!(pauses(http, &[FAILED, HEADER, HEADER, FAILED]), [30.0, 60.0, 120.0, 240.0]);
        assert_eq!(pauses(http, &[HEADER, FAILED, FAILED]), [17.0; 3]);
        assert_eq!(pauses(http, &[Setback::Refused(None), HEADER]), [30.0, 60.0]);
        assert_eq!(
            pauses(http, &[FAILED, FAILED, TOLD, TOLD, FAILED]),
            [30.0, 60.0, 17.0, 17.0, 30.0]
        );
        let socket = PauseLaw::Java { heeds_header: false };
        assert_eq!(pauses(socket, &[HEADER, HEADER, TOLD]), [30.0, 60.0, 17.0]);
    }

    #[test]
    fn node_python_otel_arrow_and_opamp_fleet_have_their_own() {
        within(&pauses(PauseLaw::Node, &[HEADER, TOLD]), &[30.0, 30.0], 0.1);
        let long = Setback::Told(Some(secs(100)));
        within(&pauses(PauseLaw::Node, &[long]), &[100.0], 0.1);
        assert_eq!(pauses(PauseLaw::Node, &[FAILED; 8])[..3], [30.0, 37.0, 56.0]);
        assert_eq!(pauses(PauseLaw::Node, &[FAILED; 12])[11], 300.0);
        let setbacks = [FAILED, HEADER, TOLD, FAILED];
        within(&pauses(PauseLaw::Python, &setbacks), &[1.0, 2.0, 4.0, 8.0], 0.2);
        let arrow = pauses(PauseLaw::OtelArrow, &[FAILED, HEADER, FAILED, TOLD]);
        within(&arrow[..3], &[0.2116, 0.423, 0.8465], 0.056);
        assert_eq!(arrow[3], 0.0);
        assert_eq!(pauses(PauseLaw::OpampFleet, &[FAILED, HEADER, TOLD]), [1.0, 2.0, 21.0]);
    }

    #[test]
    fn a_close_frame_loses_java_and_any_end_loses_dotnet() {
        let mut mix = Mix::new(1, 2, 3);
        let mut after = |law, ended, talked| Pauses::new(law).after_end(ended, talked, &mut mix);
        let java = PauseLaw::Java { heeds_header: false };
        assert_eq!(after(java, Ended::Close, true), Next::Never);
        for ended in [Ended::Fin, Ended::Reset] {
            assert_eq!(after(java, ended, true), Next::After(HALF_A_MINUTE));
        }
        assert_eq!(after(java, Ended::Told(Some(secs(3))), false), Next::After(secs(3)));
        assert_eq!(after(PauseLaw::NextTick, Ended::Fin, true), Next::Never);
        let told = Ended::Told(Some(secs(3)));
        assert_eq!(after(PauseLaw::Go, told, false), Next::After(Duration::ZERO));
        assert_eq!(after(PauseLaw::OpampFleet, told, false), Next::After(secs(4)));
        assert_eq!(after(PauseLaw::OtelArrow, Ended::Fin, true), Next::After(Duration::ZERO));
        assert_ne!(after(PauseLaw::OtelArrow, Ended::Fin, false), Next::After(Duration::ZERO));
    }

    #[test]
    fn an_outage_of_ten_minutes_leaves_java_with_pauses_of_eight() {
        let (mut pauses, mut mix) =
            (Pauses::new(PauseLaw::Java { heeds_header: true }), Mix::new(1, 2, 3));
        // It has tried after 0, 30, 90, 210 and 450 s, and tries next after 930.
        assert_eq!(pauses.after_outage(secs(600), &mut mix), secs(330));
        assert_eq!(pauses.next(HEADER, &mut mix), Next::After(secs(960)));
        assert_eq!(pauses.next(TOLD, &mut mix), Next::After(secs(17)));
        pauses.succeeded();
        assert_eq!(pauses.next(FAILED, &mut mix), Next::After(HALF_A_MINUTE));
    }
}
