//! What the agent reported last, and what of it the server has: a digest for each part of the
//! agent's state (R1, R2). The bytes themselves are kept elsewhere.
//!
//! ```text
//!            reported anew               sent
//!  (none) ───────────────► owed ─────────────────────► held
//!                           ▲ ▲                          │ another digest is reported
//!                           │ └──────────────────────────┤
//!                           │  refused as UNAVAILABLE,   │ a link's new incarnation
//!                           └── or lost unanswered ──────┤
//!                                                        ▼
//!                               asked for ◄──────── not known (reported, not held, not owed)
//! ```
//!
//! Sent counts as held until the server says otherwise. Of an incarnation that has not seen the
//! agent nothing is known: it is not told again unless it asks, but nothing is suppressed either.

use super::full_state::has_all_promised;
use super::{FullState, Route, Session, Turn};
use crate::mutation::{Breach, is_on};
use crate::opamp::agent::AgentScan;
use crate::opamp::digest::{Digest, Digester, RawHash, Scratch, has_components, report_hash};
use crate::opamp::field_set::{FieldSet, agent_field};
use crate::opamp::fields::fields;

/// Each part has its place in [`Picture`].
const PARTS: [u32; agent_field::STATE_PARTS.len()] = agent_field::STATE_PARTS;

const COMPONENTS: FieldSet = FieldSet::of(&[agent_field::AVAILABLE_COMPONENTS]);
const CAPABILITIES: FieldSet = FieldSet::of(&[agent_field::CAPABILITIES]);

/// Whether a message with these parts says more than that the agent is there: capabilities go with
/// every message.
pub(super) const fn says_something(parts: FieldSet) -> bool {
    !parts.minus(CAPABILITIES).is_empty()
}

/// See the module's text.
#[derive(Debug, Clone)]
pub(super) struct Picture {
    /// Parts that the agent has reported: their digests count.
    reported: FieldSet,
    /// Of them, those that the server has.
    held: FieldSet,
    /// Those that it is yet to get.
    owed: FieldSet,
    /// Those sent since it last owed no answer.
    in_flight: FieldSet,
    /// The last report's parts.
    parts: FieldSet,
    /// Everything goes in one message, for the server asked.
    pub(super) full_owed: bool,
    /// This state went as one message on this incarnation, and the server has not been content
    /// since (R4).
    pub(super) full_given: bool,
    /// The same of the component map.
    pub(super) components_given: bool,
    /// The components reported are there, and not their hash alone.
    pub(super) has_components: bool,
    /// `hash` and `parts` are a report's.
    hash_counts: bool,
    /// Of the report whose digests were taken last: equal bytes need no second look.
    hash: RawHash,
    digests: [Digest; PARTS.len()],
}

impl Picture {
    const EMPTY: Self = Self {
        reported: FieldSet::EMPTY,
        held: FieldSet::EMPTY,
        owed: FieldSet::EMPTY,
        in_flight: FieldSet::EMPTY,
        parts: FieldSet::EMPTY,
        full_owed: false,
        full_given: false,
        components_given: false,
        has_components: false,
        hash_counts: false,
        hash: RawHash(0),
        digests: [Digest([0; 16]); PARTS.len()],
    };

    /// What the agent has reported.
    pub(super) const fn reported(&self) -> FieldSet {
        self.reported
    }

    /// What the server is yet to get.
    const fn owed(&self) -> FieldSet {
        if self.full_owed { self.reported } else { self.owed }
    }

    /// The server is to get everything in one message, if there is anything.
    pub(super) const fn owe_all(&mut self) {
        self.full_owed = says_something(self.reported);
    }

    /// Whether a server that knows nothing of the agent may take what it is owed for all there is:
    /// the description goes with full reports only ("Agent Status Compression").
    pub(super) const fn passes_for_all(&self) -> bool {
        self.owed.contains(agent_field::AGENT_DESCRIPTION)
    }

    /// Whether the server is not known to have anything.
    pub(super) const fn holds_nothing(&self) -> bool {
        !says_something(self.held)
    }

    /// A message went: whatever it was, the capabilities went with it.
    pub(super) const fn capabilities_sent(&mut self) {
        let sent = CAPABILITIES.intersection(self.reported);
        self.held = self.held.union(sent);
        self.owed = self.owed.minus(sent);
        self.in_flight = self.in_flight.union(sent);
    }

    /// The server is to get the component map.
    pub(super) const fn owe_components(&mut self) {
        self.owed = self.owed.union(COMPONENTS.intersection(self.reported));
    }

    /// Whether the server is to get the component map, which it has asked for and which is kept.
    const fn owes_map(&self) -> bool {
        self.components_given
            && self.has_components
            && self.owed.contains(agent_field::AVAILABLE_COMPONENTS)
    }

    /// The server wants the component map, not its hash alone: a report of it is news.
    pub(super) const fn forget_components(&mut self) {
        self.held = self.held.minus(COMPONENTS);
    }

    /// What is on its way to the server has not been taken. `again`: it is to be sent once more.
    pub(super) const fn not_taken(&mut self, again: bool) {
        self.held = self.held.minus(self.in_flight);
        if again {
            self.owed = self.owed.union(self.in_flight);
        }
        self.in_flight = FieldSet::EMPTY;
        self.full_given = false;
        self.components_given = false;
    }

    /// The server may not have drawn the right conclusions from what it has: all of it is news.
    pub(super) const fn owe_all_again(&mut self) {
        self.held = FieldSet::EMPTY;
        self.full_given = false;
        self.components_given = false;
        self.owe_all();
    }

    /// The server has refused something: of what is on its way, or, not `awaited`, of anything.
    pub(super) const fn refused(&mut self, awaited: bool, again: bool) {
        if !awaited {
            self.in_flight = self.held;
        }
        self.not_taken(again);
    }

    /// These parts are kept no longer. Where everything was owed, whatever else the server has is news
    /// again: it wants all of it in one message.
    fn lose(&mut self, missing: FieldSet) {
        self.reported = self.reported.minus(missing);
        self.owed = self.owed.minus(missing);
        if !says_something(self.owed) {
            // They go with the agent's answer.
            self.owed = FieldSet::EMPTY;
        }
        self.held = if self.full_owed { FieldSet::EMPTY } else { self.held.minus(missing) };
        self.full_owed = false;
        self.hash_counts = false;
    }

    /// The server owes no answer.
    pub(super) const fn all_answered(&mut self) {
        self.in_flight = FieldSet::EMPTY;
    }

    /// Another incarnation of the server. What the former left unanswered may be lost.
    fn new_incarnation(&mut self, unanswered: bool) {
        self.not_taken(unanswered);
        self.held = FieldSet::EMPTY;
    }
}

/// The digests of one report.
#[derive(Debug)]
struct Taken {
    parts: FieldSet,
    hash: RawHash,
    digests: [Digest; PARTS.len()],
}

/// What a report says that is new.
#[derive(Debug)]
pub struct News {
    /// Parts that the server does not have.
    changed: FieldSet,
    /// Of them, those without a digest: the message is over all limits.
    without: FieldSet,
    /// Parts that differ from what the agent reported before.
    fresh: FieldSet,
    /// The report carries the components, and not their hash alone.
    has_components: bool,
    /// The components came whose hash has been reported before.
    components_came: bool,
    /// `None`: the report has the bytes of the last one, and so its digests.
    taken: Option<Taken>,
}

impl News {
    /// The parts whose bytes are not those kept, with their digests.
    pub fn to_keep(&self) -> impl Iterator<Item = (u32, Digest)> + '_ {
        let wanted = if self.components_came { self.fresh.union(COMPONENTS) } else { self.fresh };
        self.taken.iter().flat_map(move |taken| {
            let parts = PARTS.into_iter().zip(taken.digests);
            parts.filter(move |(part, _)| wanted.contains(*part))
        })
    }
}

/// What of a report goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carry {
    /// Nothing: the server has it all (R1).
    Nothing,
    /// These fields (R2).
    Fields(FieldSet),
    /// The message as it is.
    Whole,
}

/// The parts of the agent's state that a message brings, sent on in this form.
fn parts_of(scan: &AgentScan<'_>, carry: Carry) -> FieldSet {
    const UNKNOWN: FieldSet = FieldSet::of(&[FieldSet::OTHER]);
    let state = scan.present.intersection(agent_field::STATUS.union(UNKNOWN)).union(CAPABILITIES);
    match carry {
        Carry::Nothing => FieldSet::EMPTY,
        Carry::Fields(keep) => state.intersection(keep.union(UNKNOWN).union(CAPABILITIES)),
        Carry::Whole => state,
    }
}

impl Session {
    /// Compares a report with what the agent reported before and what the server has.
    pub fn news(&self, scan: &AgentScan<'_>, digester: &Digester, scratch: &mut Scratch) -> News {
        let picture = self.picture.as_deref().unwrap_or(&Picture::EMPTY);
        let hash = report_hash(&digester.key, scan);
        let none = FieldSet::EMPTY;
        if picture.hash_counts && picture.hash == hash {
            return News {
                changed: picture.parts.minus(picture.held),
                without: none,
                fresh: none,
                has_components: false,
                components_came: false,
                taken: None,
            };
        }
        let mut taken = Taken { parts: none, hash, digests: [Digest([0; 16]); PARTS.len()] };
        let (mut changed, mut fresh) = (none, none);
        digester.report(scan, scratch, |number, digest| {
            let Some(place) = PARTS.iter().position(|part| *part == number) else { return };
            taken.parts.insert(number);
            taken.digests[place] = digest;
            if !picture.reported.contains(number) || picture.digests[place] != digest {
                fresh.insert(number);
                changed.insert(number);
            } else if !picture.held.contains(number) {
                changed.insert(number);
            }
        });
        let has_components =
            taken.parts.contains(agent_field::AVAILABLE_COMPONENTS) && reports_components(scan);
        // The digest is that of their hash, which may have been reported alone.
        let components_came = has_components && !picture.has_components;
        let asked = picture.components_given || self.map_question() != FullState::Reported;
        if components_came && asked {
            // The server has asked for them, whatever it got since.
            changed.insert(agent_field::AVAILABLE_COMPONENTS);
        }
        let without = scan.present.intersection(agent_field::STATUS).minus(taken.parts);
        let changed = changed.union(without).minus(breach(changed));
        News { changed, without, fresh, has_components, components_came, taken: Some(taken) }
    }

    /// Takes the news into the picture: the server is owed them. Returns what of the report has to
    /// go on.
    pub fn learn(&mut self, scan: &AgentScan<'_>, news: &News, route: Option<Route>) -> Carry {
        if let Some(route) = route {
            self.note_incarnation(route);
        }
        let carry = self.carry(scan, news.changed, route);
        // To a server that has lost the agent it would pass for all there is.
        let passes_for_all =
            self.needs_introduction(route) && has_all_promised(scan.capabilities, scan.present);
        if news.has_components {
            self.close_map_question();
        }
        let picture = self.picture.get_or_insert_with(|| Box::new(Picture::EMPTY));
        if let Some(taken) = &news.taken {
            picture.take(taken, news);
        }
        // Capabilities go with every message: only a change of them is worth one of its own.
        let goes_anyway = CAPABILITIES.minus(news.fresh).union(news.without);
        picture.owed = picture.owed.union(news.changed.minus(goes_anyway));
        if passes_for_all {
            // What it does not bring follows.
            picture.owed = picture.owed.union(picture.reported);
        }
        carry
    }

    fn carry(&self, scan: &AgentScan<'_>, changed: FieldSet, route: Option<Route>) -> Carry {
        if scan.disconnects()
            || !self.is_introduced(route)
            || is_on(Breach::R1ForwardsUnchanged)
            || is_on(Breach::R2SendsUnchanged) && !changed.is_empty()
        {
            return Carry::Whole;
        }
        let keep = changed.union(super::upstream_side::one_shot(scan));
        if keep.is_empty() {
            return Carry::Nothing;
        }
        /// These go with every message.
        const ALWAYS: FieldSet = FieldSet::of(&[
            agent_field::INSTANCE_UID,
            agent_field::SEQUENCE_NUM,
            agent_field::CAPABILITIES,
            FieldSet::OTHER,
        ]);
        if scan.present.is_subset(keep.union(ALWAYS)) { Carry::Whole } else { Carry::Fields(keep) }
    }

    /// A report went to the server in this form, [`Session::sent`] having been told.
    pub fn report_sent(&mut self, scan: &AgentScan<'_>, carry: Carry) {
        let parts = parts_of(scan, carry);
        let map_owed = self.picture.as_ref().is_some_and(|picture| picture.owes_map());
        self.parts_sent(parts);
        if map_owed
            && parts.contains(agent_field::AVAILABLE_COMPONENTS)
            && !reports_components(scan)
            && let Some(picture) = &mut self.picture
        {
            // The server has asked for the map and got its hash once more: the map itself follows.
            picture.forget_components();
            picture.owe_components();
        }
    }

    /// These parts of the picture went to the server in one message.
    pub fn parts_sent(&mut self, parts: FieldSet) {
        let Some(picture) = &mut self.picture else { return };
        // Capabilities went with them, as with every message.
        let parts = parts.union(CAPABILITIES).intersection(picture.reported);
        picture.held = picture.held.union(parts);
        picture.owed = picture.owed.minus(parts);
        picture.in_flight = picture.in_flight.union(parts);
        if picture.reported.is_subset(parts) {
            picture.full_given = true;
            picture.full_owed = false;
        }
    }

    /// A report without digests could not be sent: nobody but the agent has it.
    pub fn news_lost(&mut self, news: &News) {
        if !news.without.is_empty() {
            self.want_full_state();
        }
    }

    /// Of what the turn on `route` is to report, these parts are no longer kept: the agent is to be
    /// asked, and its answer has this turn. Returns what goes now: the rest, if that says anything;
    /// but of a whole state only if the agent is not there, for its answer will be whole.
    pub fn lacks(&mut self, missing: FieldSet, report: FieldSet, route: Route) -> Turn {
        let whole = self.owes_full_state();
        if let Some(picture) = &mut self.picture {
            picture.lose(missing);
        }
        self.want_full_state();
        self.has_turn = true;
        let rest = report.minus(missing);
        let touch = self.owes_announce(route);
        if says_something(rest) && (touch || !whole || !self.is_present()) {
            return Turn::Report(rest);
        }
        if touch { Turn::Announce } else { Turn::Nothing }
    }

    /// Whether a report, the answer to a question that [`Session::lacks`] led to, has the turn that
    /// the session had then: were it to wait for another, the store might have lost it again.
    pub fn takes_turn(&mut self, scan: &AgentScan<'_>) -> bool {
        let answers = scan.is_full() && self.full_state == FullState::Reported;
        answers && std::mem::take(&mut self.has_turn)
    }

    /// What the server is yet to get of the agent's state.
    pub fn owed_parts(&self) -> FieldSet {
        self.picture.as_deref().map_or(FieldSet::EMPTY, Picture::owed)
    }

    /// Whether the server is to get the whole state.
    pub(super) fn owes_full_state(&self) -> bool {
        self.picture.as_deref().is_some_and(|picture| picture.full_owed)
    }

    /// The agent's process is a new one: what the old one said of itself is past.
    pub(super) fn forget_picture(&mut self) {
        self.picture = None;
        self.close_map_question();
    }

    /// Another incarnation of the server, of which nothing is known. `moved`: another server even.
    /// It may know the agent from before, and believe that nothing has changed since.
    pub(super) fn forget_held(&mut self, unanswered: bool, moved: bool) {
        // It asks as it did when it hears of the agent.
        self.close_map_question();
        if let Some(picture) = &mut self.picture {
            picture.new_incarnation(unanswered);
            if moved {
                picture.owed = picture.reported;
            }
        }
    }
}

impl Picture {
    fn take(&mut self, taken: &Taken, news: &News) {
        for (place, part) in PARTS.into_iter().enumerate() {
            if taken.parts.contains(part) {
                self.digests[place] = taken.digests[place];
            }
        }
        if news.fresh.contains(agent_field::AVAILABLE_COMPONENTS) {
            self.components_given = false;
            self.has_components = news.has_components;
        }
        self.has_components |= news.components_came;
        self.held = self.held.minus(news.fresh);
        self.full_given &= news.fresh.is_empty();
        self.reported = self.reported.union(taken.parts);
        self.parts = taken.parts;
        self.hash = taken.hash;
        self.hash_counts = true;
    }
}

/// Changes to overlook, when a rule is to be broken.
fn breach(changed: FieldSet) -> FieldSet {
    const CONFIG: FieldSet = FieldSet::of(&[agent_field::EFFECTIVE_CONFIG]);
    if is_on(Breach::R1SuppressesNews) {
        return changed;
    }
    let beside_others = is_on(Breach::R2DropsChange) && !changed.is_subset(CONFIG);
    if beside_others { CONFIG } else { FieldSet::EMPTY }
}

/// Whether a message carries the components themselves.
fn reports_components(scan: &AgentScan<'_>) -> bool {
    fields(scan.bytes)
        .map_while(Result::ok)
        .filter(|field| field.number == agent_field::AVAILABLE_COMPONENTS)
        .any(|field| has_components(&scan.bytes[field.value]))
}
