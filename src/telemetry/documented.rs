//! What docs/METRICS.md says about a type of handle: the kind of its metric, and its labels with all values.
//! Compiled for tests alone, which hold the document to the table.

use std::fmt;

use metrics::{Counter, Gauge};

use super::handles::{Family, GaugeFamily, Grid, HistogramFamily};
use super::histogram::{Bounds, Histogram};
use super::label::Label;

/// What Prometheus is told a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MetricKind {
    /// Only ever rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Observations in buckets.
    Histogram,
}

impl fmt::Display for MetricKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        })
    }
}

/// The key of a label with every value.
pub(super) type LabelValues = (&'static str, Vec<&'static str>);

/// A type of handle as the document describes it.
pub(super) trait Documented {
    /// What Prometheus is told it is.
    const KIND: MetricKind;

    /// The labels by which the handle is split.
    fn labels() -> Vec<LabelValues> {
        Vec::new()
    }
}

impl Documented for Counter {
    const KIND: MetricKind = MetricKind::Counter;
}

impl Documented for Gauge {
    const KIND: MetricKind = MetricKind::Gauge;
}

impl<B: Bounds> Documented for Histogram<B> {
    const KIND: MetricKind = MetricKind::Histogram;
}

fn values<L: Label>() -> LabelValues {
    (L::KEY, L::ALL.iter().map(|value| value.as_str()).collect())
}

impl<L: Label> Documented for Family<L> {
    const KIND: MetricKind = MetricKind::Counter;

    fn labels() -> Vec<LabelValues> {
        vec![values::<L>()]
    }
}

impl<L: Label> Documented for GaugeFamily<L> {
    const KIND: MetricKind = MetricKind::Gauge;

    fn labels() -> Vec<LabelValues> {
        vec![values::<L>()]
    }
}

impl<L: Label, B: Bounds> Documented for HistogramFamily<L, B> {
    const KIND: MetricKind = MetricKind::Histogram;

    fn labels() -> Vec<LabelValues> {
        vec![values::<L>()]
    }
}

impl<A: Label, B: Label> Documented for Grid<A, B> {
    const KIND: MetricKind = MetricKind::Counter;

    fn labels() -> Vec<LabelValues> {
        vec![values::<A>(), values::<B>()]
    }
}
