//! What a file declares and what it names, as a parser of Rust sees it.
//!
//! [`crate::source`] is enough for rules that look for words. Types, parameters and imports need a
//! grammar: a tuple counts by its members, an `impl` belongs to a type of another file. This module
//! reads one file at a time; `figures/` puts files together.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

use crate::source::Source;

/// A type that a file declares: a struct, an enum, a union, a trait or an alias.
pub(crate) struct Declared {
    pub(crate) name: String,
    pub(crate) line: usize,
    /// Fields of a struct; 0 for the others.
    pub(crate) fields: usize,
    /// Whether only tests compile it.
    pub(crate) is_test: bool,
}

/// One block of methods.
pub(crate) struct Block {
    /// The last segment of the type it is for.
    pub(crate) name: String,
    /// Its functions, those of a trait included. Functions that only tests compile are left out.
    pub(crate) methods: usize,
}

/// A function's head: of a function with a body, or of one that a trait asks for.
pub(crate) struct Head {
    pub(crate) name: String,
    pub(crate) line: usize,
    /// `self` included; a tuple counts by its members. Heads of a trait's methods where they are
    /// implemented are left out.
    pub(crate) parameters: usize,
}

/// A path as it is written, from its first segment on.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Named {
    /// The modules of the file inside of which it stands.
    pub(crate) inside: Vec<String>,
    pub(crate) segments: Vec<String>,
    /// For `use`: the name that it gets here, and whether others may import it from here.
    pub(crate) alias: Option<(String, bool)>,
}

/// Everything that is read of one file. Blocks and names leave out what only tests compile.
#[derive(Default)]
pub(crate) struct Syntax {
    pub(crate) path: String,
    pub(crate) declared: Vec<Declared>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) heads: Vec<Head>,
    pub(crate) named: BTreeSet<Named>,
    inside: Vec<String>,
    in_test: bool,
}

impl Syntax {
    /// # Panics
    /// If the parser refuses the file. The compiler refuses it too, in better words.
    pub(crate) fn read(source: &Source) -> Self {
        let file = syn::parse_file(&source.text)
            .unwrap_or_else(|error| panic!("{}: {error}", source.path));
        let mut syntax =
            Self { path: source.path.clone(), in_test: source.is_test, ..Self::default() };
        syntax.visit_file(&file);
        syntax
    }

    fn declare(&mut self, ident: &syn::Ident, fields: usize) {
        let line = ident.span().start().line;
        let is_test = self.in_test;
        self.declared.push(Declared { name: ident.to_string(), line, fields, is_test });
    }

    fn name(&mut self, segments: Vec<String>, alias: Option<(String, bool)>) {
        if !self.in_test && !segments.is_empty() {
            self.named.insert(Named { inside: self.inside.clone(), segments, alias });
        }
    }

    fn import(&mut self, tree: &syn::UseTree, before: &[String], public: bool) {
        let with = |ident: &syn::Ident| {
            let own = (*ident != "self").then(|| ident.to_string());
            before.iter().cloned().chain(own).collect::<Vec<String>>()
        };
        match tree {
            syn::UseTree::Path(path) => {
                let mut segments = before.to_vec();
                segments.push(path.ident.to_string());
                self.import(&path.tree, &segments, public);
            }
            syn::UseTree::Name(name) => {
                let segments = with(&name.ident);
                let alias = segments.last().cloned().map(|alias| (alias, public));
                self.name(segments, alias);
            }
            syn::UseTree::Rename(name) => {
                self.name(with(&name.ident), Some((name.rename.to_string(), public)));
            }
            syn::UseTree::Glob(_) => self.name(before.to_vec(), Some(("*".to_owned(), public))),
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|item| self.import(item, before, public));
            }
        }
    }

    fn head(&mut self, signature: &syn::Signature) {
        let parameters = signature.inputs.iter().map(|input| match input {
            syn::FnArg::Typed(typed) => members(&typed.ty),
            _ => 1,
        });
        self.heads.push(Head {
            name: signature.ident.to_string(),
            line: signature.ident.span().start().line,
            parameters: parameters.sum(),
        });
    }

    /// Names each `a::b` of a macro's tokens.
    fn paths_in(&mut self, tokens: TokenStream) {
        let (mut path, mut colons) = (Vec::new(), 0);
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.name(std::mem::take(&mut path), None);
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                other => {
                    self.name(std::mem::take(&mut path), None);
                    if let TokenTree::Group(group) = other {
                        self.paths_in(group.stream());
                    }
                    colons = 0;
                }
            }
        }
        self.name(path, None);
    }

    /// Visits with `in_test` set if the attributes say that only tests compile what follows.
    fn within(&mut self, attributes: &[syn::Attribute], visit: impl FnOnce(&mut Self)) {
        let before = self.in_test;
        self.in_test |= attributes.iter().any(is_for_tests);
        visit(self);
        self.in_test = before;
    }
}

fn is_for_tests(attribute: &syn::Attribute) -> bool {
    let is_test = |list: &syn::MetaList| list.tokens.to_string() == "test";
    match &attribute.meta {
        syn::Meta::Path(path) => path.is_ident("test"),
        syn::Meta::List(list) => list.path.is_ident("cfg") && is_test(list),
        syn::Meta::NameValue(_) => false,
    }
}

/// How much a parameter counts: a tuple, by value or by reference, as much as its members.
fn members(kind: &syn::Type) -> usize {
    match kind {
        syn::Type::Tuple(tuple) => tuple.elems.iter().map(members).sum::<usize>().max(1),
        syn::Type::Reference(reference) => members(&reference.elem),
        syn::Type::Paren(inner) => members(&inner.elem),
        _ => 1,
    }
}

impl<'ast> Visit<'ast> for Syntax {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes: &[syn::Attribute] = match item {
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            syn::Item::Struct(item) => &item.attrs,
            syn::Item::Enum(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            _ => &[],
        };
        self.within(attributes, |this| visit::visit_item(this, item));
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        self.inside.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.inside.pop();
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.declare(&item.ident, item.fields.len());
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.declare(&item.ident, 0);
        visit::visit_item_enum(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.declare(&item.ident, 0);
        visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.declare(&item.ident, 0);
        visit::visit_item_type(self, item);
    }

    fn visit_item_impl(&mut self, block: &'ast syn::ItemImpl) {
        if let syn::Type::Path(of) = &*block.self_ty
            && let Some(last) = of.path.segments.last()
            && !self.in_test
        {
            let is_method = |item: &&syn::ImplItem| match item {
                syn::ImplItem::Fn(method) => !method.attrs.iter().any(is_for_tests),
                _ => false,
            };
            let methods = block.items.iter().filter(is_method).count();
            self.blocks.push(Block { name: last.ident.to_string(), methods });
        }
        visit::visit_item_impl(self, block);
        // A method takes what its trait says, and a trait of this repository is counted itself.
        if block.trait_.is_some() {
            let is_method = |head: &Head| {
                block.items.iter().any(|item| match item {
                    syn::ImplItem::Fn(method) => method.sig.ident.span().start().line == head.line,
                    _ => false,
                })
            };
            self.heads.retain(|head| !is_method(head));
        }
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        self.head(signature);
        visit::visit_signature(self, signature);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let public = !matches!(item.vis, syn::Visibility::Inherited);
        self.import(&item.tree, &[], public);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> =
            path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.name(segments, None);
        visit::visit_path(self, path);
    }

    /// A macro may give its tokens any meaning, but a path in them is written as everywhere else.
    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.paths_in(call.tokens.clone());
        visit::visit_macro(self, call);
    }
}
