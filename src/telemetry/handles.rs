//! Handles of metrics. Events hold them, so that counting is one atomic and every name is looked up once.
//!
//! A handle is one metric, or one metric for each value of a label, or of two. Each knows how to register
//! itself, which is all that the table in `names.rs` asks of a type.

use std::marker::PhantomData;

use metrics::{Counter, Gauge};

use super::description::Description;
use super::exporter::Registrar;
use super::histogram::{Bounds, Histogram, Latencies};
use super::label::Label;

/// A type of handle that the table of metrics may use.
pub(super) trait Handle: Sized {
    /// Creates its series, each with the registrar's own labels added.
    fn register(registrar: &Registrar<'_>, metric: Description) -> Self;
}

impl Handle for Counter {
    fn register(registrar: &Registrar<'_>, metric: Description) -> Self {
        registrar.counter(metric, &[])
    }
}

impl Handle for Gauge {
    fn register(registrar: &Registrar<'_>, metric: Description) -> Self {
        registrar.gauge(metric, &[])
    }
}

/// One counter for each value of a label.
pub(crate) struct Family<L: Label>(Box<[Counter]>, PhantomData<L>);

impl<L: Label> Family<L> {
    /// The counter of one value.
    pub(crate) fn with(&self, value: L) -> &Counter {
        &self.0[value.index()]
    }
}

impl<L: Label> Handle for Family<L> {
    fn register(registrar: &Registrar<'_>, metric: Description) -> Self {
        let of = |value: &L| registrar.counter(metric, &[(L::KEY, value.as_str())]);
        Self(L::ALL.iter().map(of).collect(), PhantomData)
    }
}

/// One gauge for each value of a label.
pub(crate) struct GaugeFamily<L: Label>(Box<[Gauge]>, PhantomData<L>);

impl<L: Label> GaugeFamily<L> {
    /// The gauge of one value.
    pub(crate) fn with(&self, value: L) -> &Gauge {
        &self.0[value.index()]
    }
}

impl<L: Label> Handle for GaugeFamily<L> {
    fn register(registrar: &Registrar<'_>, metric: Description) -> Self {
        let of = |value: &L| registrar.gauge(metric, &[(L::KEY, value.as_str())]);
        Self(L::ALL.iter().map(of).collect(), PhantomData)
    }
}

/// One counter for each pair of values of two labels.
pub(crate) struct Grid<A: Label, B: Label>(Box<[Counter]>, PhantomData<(A, B)>);

impl<A: Label, B: Label> Grid<A, B> {
    /// The counter of one pair.
    pub(crate) fn with(&self, one: A, other: B) -> &Counter {
        &self.0[one.index() * B::ALL.len() + other.index()]
    }
}

impl<A: Label, B: Label> Handle for Grid<A, B> {
    fn register(registrar: &Registrar<'_>, metric: Description) -> Self {
        let of = |one: &A, other: &B| {
            let labels = [(A::KEY, one.as_str()), (B::KEY, other.as_str())];
            registrar.counter(metric, &labels)
        };
        let row = |one| B::ALL.iter().map(move |other| of(one, other));
        Self(A::ALL.iter().flat_map(row).collect(), PhantomData)
    }
}

impl<B: Bounds> Handle for Histogram<B> {
    fn register(registrar: &Registrar<'_>, metric: Description) -> Self {
        let mut one = registrar.histograms(metric, std::iter::once(None));
        one.pop().expect("one was asked for")
    }
}

/// One histogram for each value of a label.
pub(crate) struct HistogramFamily<L: Label, B: Bounds = Latencies>(
    Box<[Histogram<B>]>,
    PhantomData<L>,
);

impl<L: Label, B: Bounds> HistogramFamily<L, B> {
    /// The histogram of one value.
    pub(crate) fn with(&self, value: L) -> &Histogram<B> {
        &self.0[value.index()]
    }
}

impl<L: Label, B: Bounds> Handle for HistogramFamily<L, B> {
    fn register(registrar: &Registrar<'_>, metric: Description) -> Self {
        let labels = L::ALL.iter().map(|value| Some((L::KEY, value.as_str())));
        Self(registrar.histograms(metric, labels).into(), PhantomData)
    }
}
