//! The derive macros of `dsm`, which re-exports them beside the traits of the same names.
//!
//! Both traits are unsafe to implement, because a wrong implementation lets safe code follow a pointer that is
//! valid on another rank alone. The macros check what the traits demand, field by field, so that programs need no
//! unsafe code of their own: what they expand to compiles under `#![forbid(unsafe_code)]`.
#![forbid(unsafe_code)]

mod generics;
mod shareable;
mod zero_is_none;
mod zero_variant;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Implements `dsm::Shareable` for a struct whose fields are all `Shareable`, or for an enum with an integer
/// representation, a variant that is 0, and fields that are all `Shareable`.
///
/// Type parameters are required to be `Shareable`. Lifetimes are refused, and so are unions.
#[proc_macro_derive(Shareable)]
pub fn derive_shareable(input: TokenStream) -> TokenStream {
    shareable::expand(&parse_macro_input!(input as DeriveInput)).into()
}

/// Implements `dsm::ZeroIsNone` for a `#[repr(transparent)]` struct around a value that implements it, such as a
/// new type around `dsm::Box<T>`: an `Option` of it is `Shareable` then.
#[proc_macro_derive(ZeroIsNone)]
pub fn derive_zero_is_none(input: TokenStream) -> TokenStream {
    zero_is_none::expand(&parse_macro_input!(input as DeriveInput)).into()
}
