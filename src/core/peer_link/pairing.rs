//! Which of the connections between two nodes is used. Both nodes may dial, so that one blocked way, or
//! one node without an address, does no harm; frames go over one connection at a time, so that they stay
//! in order.
//!
//! The node with the lower incarnation *decides*: it begins to use a connection by opening the streams on
//! it. The other one *follows*: it uses the connection on which streams were opened. Nothing is sent on a
//! connection before that, so one that is closed as surplus takes no frame with it.
//!
//! ```text
//!   decides:  open ──► is one in use? ── no ──► begin ──► in use ── ended ──► begin the peer's, if it waits
//!                           │ yes
//!                           ├── own dial ────► close
//!                           └── the peer's ──► wait: the peer has lost the one in use and this node has yet
//!                                              to notice, or it has yet to see that one is in use and will
//!                                              close this one itself
//!
//!   follows:  open ──► wait ── streams opened ──► close the one in use and all that wait ──► in use
//! ```
//!
//! The decider begins a second connection only after the first has ended for it. So a follower that sees
//! streams on another connection knows that the one it uses is over.

/// One connection between the two nodes, by the number that its node gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Attempt(pub u64);

/// Which node dialled a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialler {
    /// This one.
    Own,
    /// The peer.
    Peer,
}

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairingEvent {
    /// This node begins to dial.
    Dialling,
    /// The dial failed.
    DialFailed,
    /// A connection is open: both nodes have shown who they are.
    Open(Attempt, Dialler),
    /// The peer has opened the streams on it. Only a follower sees this.
    Begun(Attempt),
    /// It is over, whatever it was used for.
    Ended(Attempt),
}

/// What must be done, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairingEffect {
    /// Give up the dial that is under way.
    AbortDial,
    /// Close this connection, and report its end.
    Close(Attempt),
    /// Open the streams on it, and use it. The decider's way.
    Begin(Attempt),
    /// Use it: its streams are open. The follower's way.
    Use(Attempt),
}

/// See the module's text.
#[derive(Debug, Clone)]
pub struct Pairing {
    decides: bool,
    dialling: bool,
    in_use: Option<Attempt>,
    /// Connections that are open and unused, by who dialled them.
    own: Option<Attempt>,
    peers: Option<Attempt>,
}

impl Pairing {
    /// Before the first connection. `decides`: this node's incarnation is the lower one.
    pub const fn new(decides: bool) -> Self {
        Self { decides, dialling: false, in_use: None, own: None, peers: None }
    }

    /// Whether this node must dial, as soon as its backoff allows.
    pub const fn wants_dial(&self) -> bool {
        !self.dialling && self.in_use.is_none() && self.own.is_none() && self.peers.is_none()
    }

    /// The connection in use.
    pub const fn in_use(&self) -> Option<Attempt> {
        self.in_use
    }

    /// Takes what has happened; says what must be done.
    pub fn handle(&mut self, event: PairingEvent) -> Vec<PairingEffect> {
        let mut effects = Vec::new();
        match event {
            PairingEvent::Dialling => self.dialling = true,
            PairingEvent::DialFailed => self.dialling = false,
            PairingEvent::Open(attempt, dialler) => self.opened(attempt, dialler, &mut effects),
            PairingEvent::Begun(attempt) => self.begun(attempt, &mut effects),
            PairingEvent::Ended(attempt) => self.ended(attempt, &mut effects),
        }
        effects
    }

    fn opened(&mut self, attempt: Attempt, dialler: Dialler, effects: &mut Vec<PairingEffect>) {
        let is_used = self.in_use.is_some();
        let surplus = match dialler {
            Dialler::Own => {
                self.dialling = false;
                if is_used { Some(attempt) } else { self.own.replace(attempt) }
            }
            // The peer dials again after it has given the earlier one up.
            Dialler::Peer => self.peers.replace(attempt),
        };
        effects.extend(surplus.map(PairingEffect::Close));
        self.decide(effects);
    }

    /// The decider begins a connection if none is in use.
    fn decide(&mut self, effects: &mut Vec<PairingEffect>) {
        if !self.decides || self.in_use.is_some() {
            return;
        }
        let Some(attempt) = self.own.take().or_else(|| self.peers.take()) else { return };
        self.in_use = Some(attempt);
        effects.extend(self.abort_dial());
        effects.push(PairingEffect::Begin(attempt));
    }

    fn begun(&mut self, attempt: Attempt, effects: &mut Vec<PairingEffect>) {
        if self.decides || self.in_use == Some(attempt) {
            return;
        }
        effects.extend(self.abort_dial());
        let others = [self.in_use.take(), self.own.take(), self.peers.take()];
        let others = others.into_iter().flatten().filter(|other| *other != attempt);
        effects.extend(others.map(PairingEffect::Close));
        self.in_use = Some(attempt);
        effects.push(PairingEffect::Use(attempt));
    }

    fn ended(&mut self, attempt: Attempt, effects: &mut Vec<PairingEffect>) {
        for held in [&mut self.in_use, &mut self.own, &mut self.peers] {
            if *held == Some(attempt) {
                *held = None;
            }
        }
        self.decide(effects);
    }

    fn abort_dial(&mut self) -> Option<PairingEffect> {
        std::mem::take(&mut self.dialling).then_some(PairingEffect::AbortDial)
    }
}
