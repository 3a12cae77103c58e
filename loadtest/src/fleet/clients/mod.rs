//! The stock clients that a fleet can behave as: which there are, what each does ([`table`]), how each
//! comes again ([`pauses`]), and which agent is which ([`shares`]).

pub(crate) mod habits;
pub(crate) mod pauses;
pub(crate) mod shares;
mod table;

use serde::{Deserialize, Serialize};

use habits::Habits;

/// A stock client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ClientKind {
    /// opamp-go from v0.23 on, on a WebSocket
    OpampGo,
    /// opamp-go up to v0.22: full state on each reconnect
    #[value(name = "opamp-go-022")]
    #[serde(rename = "opamp-go-022")]
    OpampGo022,
    /// Python's client: HTTP, gives up after a second, can be told nothing
    Python,
    /// Java's client over HTTP
    JavaHttp,
    /// Java's client on a WebSocket: silent after its first connection
    JavaWs,
    /// Node's client: HTTP
    Node,
    /// The .NET client: HTTP, says once who it is
    Dotnet,
    /// otel-arrow: WebSocket, ignores Retry-After
    OtelArrow,
    /// newrelic-opamp-rs: HTTP, ignores the status
    Newrelic,
    /// opamp-fleet's client: WebSocket, obeys retry_info alone
    OpampFleet,
}

impl ClientKind {
    /// What it does.
    pub(crate) const fn habits(self) -> &'static Habits {
        match self {
            Self::OpampGo => &table::OPAMP_GO,
            Self::OpampGo022 => &table::OPAMP_GO_022,
            Self::Python => &table::PYTHON,
            Self::JavaHttp => &table::JAVA_HTTP,
            Self::JavaWs => &table::JAVA_WS,
            Self::Node => &table::NODE,
            Self::Dotnet => &table::DOTNET,
            Self::OtelArrow => &table::OTEL_ARROW,
            Self::Newrelic => &table::NEWRELIC,
            Self::OpampFleet => &table::OPAMP_FLEET,
        }
    }

    /// As it is written on the command line.
    pub(crate) fn title(self) -> String {
        let value = clap::ValueEnum::to_possible_value(&self);
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::habits::{First, Rhythm, Transport};
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn each_row_agrees_with_itself() {
        for kind in ClientKind::value_variants() {
            let habits = kind.habits();
            assert!(!habits.transports.is_empty(), "{kind:?}");
            // A client that is silent by nature has one transport on which it can be.
            if habits.rhythm == Rhythm::Never {
                assert_eq!(habits.transports, [Transport::WebSocket], "{kind:?}");
            }
            let json = serde_json::to_value(kind).unwrap();
            assert_eq!(json, kind.title(), "one name everywhere");
        }
        let partly = |kind: &&ClientKind| !kind.habits().speech.first.tells_all();
        let partly: Vec<_> = ClientKind::value_variants().iter().filter(partly).collect();
        assert_eq!(partly, [&ClientKind::JavaWs, &ClientKind::Dotnet]);
        assert_eq!(ClientKind::Dotnet.habits().speech.first, First::Identification);
    }
}
