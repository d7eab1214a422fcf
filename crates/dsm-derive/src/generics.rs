use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{DeriveInput, Error, Generics, WherePredicate, parse_quote};

/// The generics of a type with `bound` on each type parameter, as `#[derive(Clone)]` has them.
pub(crate) fn bounded(generics: &Generics, bound: &TokenStream) -> Generics {
    let predicates = generics.type_params().map(|parameter| -> WherePredicate {
        let name = &parameter.ident;
        parse_quote!(#name: #bound)
    });
    let predicates: Vec<_> = predicates.collect();
    let mut generics = generics.clone();
    generics.make_where_clause().predicates.extend(predicates);
    generics
}

/// What lives in shared memory borrows from no process.
///
/// # Errors
/// At the first lifetime parameter.
pub(crate) fn refuse_lifetimes(input: &DeriveInput) -> Result<(), Error> {
    match input.generics.lifetimes().next() {
        None => Ok(()),
        Some(lifetime) => Err(Error::new_spanned(
            lifetime,
            "a type in shared memory has no lifetimes: what it would borrow belongs to one process",
        )),
    }
}

/// Errors as `compile_error!`s, one each.
pub(crate) fn compile_errors(errors: &[Error]) -> TokenStream {
    errors.iter().map(Error::to_compile_error).collect()
}

/// Whether a type has `#[repr(name)]`, alone or among others.
pub(crate) fn has_repr(input: &DeriveInput, is_wanted: impl Fn(&str) -> bool) -> bool {
    let mut found = false;
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("repr")) {
        // What the attribute may hold is the compiler's to check.
        let _ = attribute.parse_nested_meta(|meta| {
            found |= meta.path.get_ident().is_some_and(|name| is_wanted(&name.to_string()));
            // The number of `align(8)` is of no interest.
            if meta.input.peek(syn::token::Paren) {
                let content;
                syn::parenthesized!(content in meta.input);
                content.parse::<TokenStream>()?;
            }
            Ok(())
        });
    }
    found
}

/// A type as it stands in the source, for messages.
pub(crate) fn text(tokens: &impl ToTokens) -> String {
    tokens.to_token_stream().to_string()
}
