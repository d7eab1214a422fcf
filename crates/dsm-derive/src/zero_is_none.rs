use crate::generics::{bounded, has_repr, refuse_lifetimes};
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Type};

/// The implementation for a transparent struct, or what is wrong with it.
///
/// That the first field implements the trait is enough: it has a size, so a transparent struct has no other field
/// with one.
pub(crate) fn expand(input: &DeriveInput) -> TokenStream {
    let field = match field(input) {
        Ok(field) => field,
        Err(error) => return error.to_compile_error(),
    };
    let name = &input.ident;
    let bounds = bounded(&input.generics, &quote!(::dsm::Shareable));
    let (parameters, arguments, conditions) = bounds.split_for_impl();
    let assertion = quote_spanned!(field.span()=> is_zero_is_none::<#field>(););
    quote! {
        #[automatically_derived]
        unsafe impl #parameters ::dsm::ZeroIsNone for #name #arguments #conditions {
            fn assert_fields() {
                fn is_zero_is_none<Field: ::dsm::ZeroIsNone>() {}
                #assertion
            }
        }
    }
}

fn field(input: &DeriveInput) -> Result<&Type, Error> {
    refuse_lifetimes(input)?;
    let refusal = |message| Err(Error::new_spanned(&input.ident, message));
    let Data::Struct(data) = &input.data else {
        return refusal("only a struct can be `ZeroIsNone`");
    };
    if !has_repr(input, |name| name == "transparent") {
        return refusal("a struct that is `ZeroIsNone` needs `#[repr(transparent)]`");
    }
    match data.fields.iter().next() {
        Some(field) => Ok(&field.ty),
        None => refusal("a struct without fields is not `ZeroIsNone`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_str;

    fn check(source: &str, expected: &str) {
        let found = expand(&parse_str(source).unwrap()).to_string();
        assert!(found.contains(expected), "{source}: {found}");
    }

    #[test]
    fn the_first_field_is_asserted() {
        let source = "#[repr(transparent)] struct S<T>(Owned<T>, PhantomData<T>);";
        check(source, "is_zero_is_none :: < Owned < T > > ()");
        check(source, "for S < T > where T : :: dsm :: Shareable");
    }

    #[test]
    fn what_has_another_layout_is_refused() {
        check("struct S(Owned);", "needs `#[repr(transparent)]`");
        check("#[repr(transparent)] struct S;", "without fields");
        check("#[repr(u8)] enum E { A }", "only a struct");
        check("#[repr(transparent)] struct S<'a>(Owned<'a>);", "has no lifetimes");
    }
}
