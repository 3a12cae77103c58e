//! Labels: the bounded sets of values by which a metric is split.
//!
//! A label is an enum, so its values are known when the program is compiled, and so is the number of
//! series. A peer's text (a uid, a path, an address) stays out of the exposition.

/// A closed set of label values.
pub(crate) trait Label: Copy + 'static {
    /// The label's name in the exposition, such as `reason`.
    const KEY: &'static str;
    /// Every value, in the order of [`Label::index`].
    const ALL: &'static [Self];
    /// The value's text in the exposition.
    fn as_str(self) -> &'static str;
    /// The value's place in [`Label::ALL`].
    fn index(self) -> usize;
}

/// Makes a fieldless enum a label: `Name("key") { Variant = "text", ... }`, with every variant in the order
/// of its declaration.
macro_rules! label_for {
    ($name:ident($key:literal) { $( $variant:ident = $text:literal, )+ }) => {
        impl $crate::telemetry::label::Label for $name {
            const KEY: &'static str = $key;
            const ALL: &'static [Self] = &[$( Self::$variant, )+];

            fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $text, )+ }
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

/// Declares an enum that is a [`Label`]: `pub enum Name("key") { Variant = "text", ... }`.
macro_rules! label {
    (
        $(#[$outer:meta])*
        $visibility:vis enum $name:ident($key:literal) {
            $( $(#[$inner:meta])* $variant:ident = $text:literal, )+
        }
    ) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        $visibility enum $name { $( $(#[$inner])* $variant, )+ }

        $crate::telemetry::label::label_for! {
            $name($key) { $( $variant = $text, )+ }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str($crate::telemetry::label::Label::as_str(*self))
            }
        }
    };
}

pub(super) use {label, label_for};

#[cfg(test)]
mod tests {
    use super::Label;

    label! {
        /// A label of two.
        enum Colour("colour") {
            /// One.
            Red = "red",
            /// Two.
            Green = "green",
        }
    }

    #[test]
    fn the_place_of_a_value_is_its_index() {
        for (place, colour) in Colour::ALL.iter().enumerate() {
            assert_eq!(colour.index(), place);
        }
        assert_eq!(Colour::Green.to_string(), "green");
        assert_eq!(Colour::KEY, "colour");
    }
}
