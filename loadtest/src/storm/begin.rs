//! How a storm begins: agents that are connected are cut off, or agents that no gateway knows start.

use std::io;
use std::time::{Duration, Instant};

use seawall::clock;

use super::admission::RateSetting;
use super::args::StormArgs;
use super::conditions::Beginning;
use super::cut::{CUT_LEAD, cut};
use super::entries::AdmissionSample;
use super::fill::fill;
use super::outcome::StormOutcome;
use super::probes;
use super::progress::Progress;
use super::server::ServerReport;
use crate::crew::Crew;
use crate::fleet::Options;
use crate::fleet::measured::Measured;
use crate::gateway;
use crate::oracle::judge::OracleVerdict;

/// How long the gateway has its rate before the cut: long enough for its bucket, which holds a
/// second of admissions, to fill.
const BUCKET_FILLS: Duration = Duration::from_secs(2);

/// A storm that has begun, and how everything was just before.
pub(super) struct Begun {
    pub(super) crew: Crew,
    pub(super) before: Measured,
    pub(super) entries_before: Option<AdmissionSample>,
    pub(super) watch: gateway::Watch,
    pub(super) cpu_start: f64,
    /// From when on its agents come.
    pub(super) cut_at: Instant,
}

/// What a storm begins with.
pub(super) struct Scene<'a> {
    pub(super) args: &'a StormArgs,
    pub(super) options: &'a Options,
    pub(super) server: Option<&'a ServerReport>,
    pub(super) admission: &'a RateSetting,
}

impl Scene<'_> {
    /// Begins the storm. Instead, an outcome that says why there is none.
    ///
    /// # Errors
    /// When the instrument itself fails.
    pub(super) async fn begin(
        &self,
        progress: &mut Progress,
    ) -> io::Result<Result<Begun, StormOutcome>> {
        match self.args.conditions.begin {
            Beginning::Cut => self.cut(progress).await,
            Beginning::Start => self.start().await.map(Ok),
        }
    }

    async fn cut(&self, progress: &mut Progress) -> io::Result<Result<Begun, StormOutcome>> {
        let Self { args, server, .. } = self;
        let mut crew = self.fill(progress).await?;
        if let Some(server) = server {
            let verdict = server.settle(&mut crew, args.settle.settle.0).await?.verdict;
            if !verdict.holds() {
                return self.failed_before_the_cut(server, &mut crew, verdict).await.map(Err);
            }
            self.prepare(server).await?;
        }
        if args.conditions.fill_rate.is_some() {
            self.set_rate().await?;
        }
        args.announce("filled");
        let before = crew.measured().await?;
        let watch = gateway::Watch::begin(&args.gateway.gateway_metrics).await;
        let entries_before = AdmissionSample::take(&args.gateway.gateway_metrics).await;
        let cpu_start = crew.cpu_seconds().await?;
        let cut_at = clock::now() + CUT_LEAD;
        probes::begin(&mut crew, args, cut_at).await?;
        cut(&mut crew, cut_at).await?;
        Ok(Ok(Begun { crew, before, entries_before, watch, cpu_start, cut_at }))
    }

    /// The agents are new to the gateway, and to the server.
    async fn start(&self) -> io::Result<Begun> {
        let Self { args, server, .. } = self;
        let bystanders = probes::hire(args, self.options).await?;
        if let Some(server) = server {
            self.prepare(server).await?;
        }
        self.set_rate().await?;
        args.announce("filled");
        let watch = gateway::Watch::begin(&args.gateway.gateway_metrics).await;
        let entries_before = AdmissionSample::take(&args.gateway.gateway_metrics).await;
        let cut_at = clock::now();
        let options = Options {
            storms_at_start: true,
            after_outage: args.conditions.after_outage,
            // All at one instant.
            dial_rate: f64::from(self.options.agents) * 1e3,
            ..self.options.clone()
        };
        let mut crew = Crew::hire(&options).await?;
        crew.bystanders = bystanders;
        probes::begin(&mut crew, args, cut_at).await?;
        let before = Measured::default();
        Ok(Begun { crew, before, entries_before, watch, cpu_start: 0.0, cut_at })
    }

    /// From here on the server misbehaves if it is to, and counts.
    async fn prepare(&self, server: &ServerReport) -> io::Result<()> {
        if let Some(how) = &self.args.misbehave {
            server.misbehave(how).await?;
        }
        server.reset().await
    }

    async fn set_rate(&self) -> io::Result<()> {
        if let Some(rate) = self.args.conditions.admission_rate {
            self.admission.set(rate).await?;
            tokio::time::sleep(BUCKET_FILLS).await;
        }
        Ok(())
    }

    /// Starts the fleet of a storm, and the probes, at the rate meant for that.
    async fn fill(&self, progress: &mut Progress) -> io::Result<Crew> {
        if let Some(rate) = self.args.conditions.fill_rate {
            self.admission.set(rate).await?;
        }
        let bystanders = probes::hire(self.args, self.options).await?;
        let mut crew = fill(self.options, self.args.timeout.0, progress).await?;
        crew.bystanders = bystanders;
        Ok(crew)
    }

    /// A storm is worth its time only if the server is right at its beginning.
    async fn failed_before_the_cut(
        &self,
        server: &ServerReport,
        crew: &mut Crew,
        verdict: OracleVerdict,
    ) -> io::Result<StormOutcome> {
        let counts = server.counts().await?;
        let mut outcome = StormOutcome::new(self.options.census(), crew.measured().await?);
        outcome.with_server(counts, verdict);
        outcome
            .faults
            .push("the server's view was wrong before the cut; there was no storm".to_owned());
        Ok(outcome)
    }
}
