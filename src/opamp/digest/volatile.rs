//! Volatile fields: they may change while the state counts as unchanged, so digests leave them out.
//!
//! Paths are checked against the schema, so that a misspelt one is a mistake in the configuration. Must not
//! know configuration files.

use super::schema::{KEY_VALUE, SHAPES, STATUS, Shape, ValueKind};

/// A set of fields within the status fields of AgentToServer. The default leaves out the time of
/// observation in health, which moves with every report.
///
/// Nodes that share digests must agree on it, or they take each other's for changed ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volatile {
    /// One bit for each field of each shape. That is enough: attributes stay opaque, every other shape is
    /// reached by one path, and a recursive one is meant at every depth.
    masks: [u16; SHAPES],
}

/// What is wrong with a path. The operator's mistake; retrying does not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VolatileError {
    /// The first part is other than a status field of AgentToServer.
    #[error("`{path}`: `{part}` is not a status field; these are: {known}")]
    NoStatusField {
        /// The path as given.
        path: String,
        /// Its first part.
        part: String,
        /// What it could have been.
        known: String,
    },
    /// A part names a field that the message before it lacks.
    #[error("`{path}`: {message} has no field `{part}`; it has: {known}")]
    NoField {
        /// The path as given.
        path: String,
        /// The part.
        part: String,
        /// The message's name in the schema.
        message: &'static str,
        /// What it could have been.
        known: String,
    },
    /// The path ends with its first part.
    #[error("`{path}` is a whole status field: without it no change of it would ever be reported")]
    WholeField {
        /// The path as given.
        path: String,
    },
    /// A part that is a plain value has parts behind it.
    #[error("`{path}`: `{part}` has no fields of its own")]
    NoMessage {
        /// The path as given.
        path: String,
        /// The part.
        part: String,
    },
    /// The path looks into attributes.
    #[error("`{path}`: `{part}` holds attributes, which can be left out only as a whole")]
    Attributes {
        /// The path as given.
        path: String,
        /// The part.
        part: String,
    },
    /// The path goes down a recursive map.
    #[error("`{path}`: leave `.{part}` out; fields of {message} are meant at every depth of it")]
    Recursive {
        /// The path as given.
        path: String,
        /// The part that names the map.
        part: String,
        /// The message's name in the schema.
        message: &'static str,
    },
}

impl Volatile {
    /// The empty set: every field counts.
    pub const NONE: Self = Self { masks: [0; SHAPES] };

    /// The paths of the default.
    pub const DEFAULT_PATHS: [&'static str; 1] = ["health.status_time_unix_nano"];

    /// Reads paths: the schema's names, with dots between them, from a status field of AgentToServer.
    /// A map's name stands for its values.
    ///
    /// # Errors
    /// All wrong paths, each with its reason.
    pub fn parse<P: AsRef<str>>(
        paths: impl IntoIterator<Item = P>,
    ) -> Result<Self, Vec<VolatileError>> {
        let mut volatile = Self::NONE;
        let mut errors = Vec::new();
        for path in paths {
            match resolve(path.as_ref()) {
                Ok((shape, number)) => volatile.masks[shape.index] |= 1 << number,
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(volatile) } else { Err(errors) }
    }

    /// The fields of a shape that are left out, a bit for each number.
    #[inline]
    pub(super) const fn mask(&self, shape: &Shape) -> u16 {
        self.masks[shape.index]
    }
}

impl Default for Volatile {
    fn default() -> Self {
        Self::parse(Self::DEFAULT_PATHS).expect("a test parses the default")
    }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

fn resolve(path: &str) -> Result<(&'static Shape, u32), VolatileError> {
    let owned = || path.to_owned();
    let mut parts = path.split('.');
    let first = parts.next().unwrap_or_default();
    let Some(&(_, _, mut shape)) = STATUS.iter().find(|(_, name, _)| *name == first) else {
        let known = list(STATUS.iter().map(|(_, name, _)| *name));
        return Err(VolatileError::NoStatusField { path: owned(), part: first.to_owned(), known });
    };
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        let Some(number) = shape.number(part) else {
            let known = list(shape.fields.iter().map(|(name, _)| *name));
            let (part, message) = (part.to_owned(), shape.name);
            return Err(VolatileError::NoField { path: owned(), part, message, known });
        };
        if parts.peek().is_none() {
            return Ok((shape, number));
        }
        let part = part.to_owned();
        match shape.kind(number).and_then(ValueKind::shape) {
            None => return Err(VolatileError::NoMessage { path: owned(), part }),
            Some(inner) if inner.index == KEY_VALUE.index => {
                return Err(VolatileError::Attributes { path: owned(), part });
            }
            Some(inner) if inner.index == shape.index => {
                let message = shape.name;
                return Err(VolatileError::Recursive { path: owned(), part, message });
            }
            Some(inner) => shape = inner,
        }
    }
    Err(VolatileError::WholeField { path: owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opamp::digest::schema::{AGENT_CONFIG_FILE, COMPONENT_HEALTH};

    fn error(path: &str) -> String {
        let errors = Volatile::parse([path]).unwrap_err();
        assert_eq!(errors.len(), 1);
        errors[0].to_string()
    }

    #[test]
    fn paths_name_fields_of_the_schema() {
        assert_eq!(Volatile::default().mask(&COMPONENT_HEALTH), 1 << 5);
        let paths = [
            "health.attributes",
            "health.last_error",
            "effective_config.config_map.config_map.content_type",
            "package_statuses.packages.download_details.download_percent",
        ];
        let volatile = Volatile::parse(paths).unwrap();
        assert_eq!(volatile.mask(&COMPONENT_HEALTH), 1 << 7 | 1 << 3);
        assert_eq!(volatile.mask(&AGENT_CONFIG_FILE), 1 << 2);
        assert_eq!(Volatile::parse::<&str>([]).unwrap(), Volatile::NONE);
    }

    #[test]
    fn each_mistake_says_what_is_wrong() {
        let known = "agent_description, health, effective_config, remote_config_status, \
            package_statuses, custom_capabilities, available_components, connection_settings_status";
        let no_field = format!("`helth.status`: `helth` is not a status field; these are: {known}");
        assert_eq!(error("helth.status"), no_field);
        assert!(error("").contains("`` is not a status field"));
        assert_eq!(
            error("effective_config.config_map.config_map.boby"),
            "`effective_config.config_map.config_map.boby`: AgentConfigFile has no field `boby`; \
             it has: body, content_type"
        );
        assert!(error("health.").contains("ComponentHealth has no field ``"));
        assert_eq!(
            error("health"),
            "`health` is a whole status field: without it no change of it would ever be reported"
        );
        assert_eq!(
            error("health.status.length"),
            "`health.status.length`: `status` has no fields of its own"
        );
        assert_eq!(
            error("health.attributes.value"),
            "`health.attributes.value`: `attributes` holds attributes, which can be left out only \
             as a whole"
        );
        assert_eq!(
            error("health.component_health_map.status_time_unix_nano"),
            "`health.component_health_map.status_time_unix_nano`: leave `.component_health_map` \
             out; fields of ComponentHealth are meant at every depth of it"
        );
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        assert_eq!(Volatile::parse(["health", "health.status", "x.y"]).unwrap_err().len(), 2);
    }
}
