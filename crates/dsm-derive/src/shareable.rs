use crate::generics::{bounded, compile_errors, has_repr, refuse_lifetimes, text};
use crate::zero_variant::zero_variant;
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DataEnum, DeriveInput, Error, Field, Type};

/// The implementation for a type, or what is wrong with the type.
///
/// The fields are asserted in the body of a function, not in a `where` clause: a type that holds boxes of itself
/// would depend on itself there.
pub(crate) fn expand(input: &DeriveInput) -> TokenStream {
    let fields = match fields(input) {
        Ok(fields) => fields,
        Err(error) => return error.to_compile_error(),
    };
    let errors: Vec<Error> = fields.iter().filter_map(|field| pointer(&field.ty)).collect();
    let errors = compile_errors(&errors);
    let assertions = fields.iter().filter(|field| pointer(&field.ty).is_none()).map(|field| {
        let field = &field.ty;
        quote_spanned!(field.span()=> is_shareable::<#field>();)
    });
    let name = &input.ident;
    let bounds = bounded(&input.generics, &quote!(::dsm::Shareable));
    let (parameters, arguments, conditions) = bounds.split_for_impl();
    quote! {
        #errors
        #[automatically_derived]
        unsafe impl #parameters ::dsm::Shareable for #name #arguments #conditions {
            fn assert_fields() {
                fn is_shareable<Field: ::dsm::Shareable>() {}
                #(#assertions)*
            }
        }
    }
}

/// All fields of a type whose zero bytes are a value if they are a value of each field.
fn fields(input: &DeriveInput) -> Result<Vec<&Field>, Error> {
    refuse_lifetimes(input)?;
    match &input.data {
        Data::Struct(data) => Ok(data.fields.iter().collect()),
        Data::Enum(data) => {
            check_enum(input, data)?;
            Ok(data.variants.iter().flat_map(|variant| &variant.fields).collect())
        }
        Data::Union(_) => Err(Error::new_spanned(
            &input.ident,
            "a union cannot be `Shareable`: nothing tells which of its fields another rank left in it",
        )),
    }
}

fn check_enum(input: &DeriveInput, data: &DataEnum) -> Result<(), Error> {
    if !has_repr(input, |name| name == "C" || INTEGERS.contains(&name)) {
        return Err(Error::new_spanned(
            &input.ident,
            "an enum in shared memory needs a representation: `#[repr(u8)]`, or another integer",
        ));
    }
    if zero_variant(data).is_none() {
        return Err(Error::new_spanned(
            &input.ident,
            "an enum in shared memory needs a variant that is 0, as a literal: fresh memory is zero",
        ));
    }
    Ok(())
}

/// Why a field of this type is refused, where its syntax tells.
fn pointer(field: &Type) -> Option<Error> {
    let what = match field {
        Type::Reference(_) => "a reference is valid in one process",
        Type::Ptr(_) => "a raw pointer is valid in one process",
        Type::FnPtr(_) => "a function has another address in each process",
        Type::TraitObject(_) => {
            "the methods of a trait object have other addresses in each process"
        }
        Type::Group(group) => return pointer(&group.elem),
        Type::Paren(paren) => return pointer(&paren.elem),
        _ => return None,
    };
    let message = format!(
        "`{}` cannot live in shared memory: {what}; `dsm::Box<T>` and `dsm::Ref<T>` point to shared memory",
        text(field)
    );
    Some(Error::new_spanned(field, message))
}

const INTEGERS: [&str; 12] =
    ["u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize"];

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_str;

    fn expanded(source: &str) -> String {
        expand(&parse_str(source).unwrap()).to_string()
    }

    fn check_refused(source: &str, expected: &str) {
        let found = expanded(source);
        assert!(found.contains("compile_error"), "{source}: {found}");
        assert!(found.contains(expected), "{source}: {found}");
    }

    fn check_accepted(source: &str, assertions: usize) {
        let found = expanded(source);
        assert!(!found.contains("compile_error"), "{source}: {found}");
        assert_eq!(found.matches("is_shareable ::").count(), assertions, "{source}: {found}");
    }

    #[test]
    fn every_field_is_asserted() {
        check_accepted("struct S;", 0);
        check_accepted("struct S(u8, String);", 2);
        check_accepted("struct S<T> where T: Copy { a: T, b: [T; 4], next: Option<Box<Self>> }", 3);
        check_accepted("#[repr(u8)] enum E { A, B }", 0);
        check_accepted("#[repr(C, u16)] enum E { A = 0, B(u8), C { c: u64 } }", 2);
        check_accepted("#[repr(align(64), i8)] enum E { A }", 0);
    }

    #[test]
    fn parameters_are_bounded() {
        let found = expanded("struct S<T: Copy, const N: usize> { items: [T; N] }");
        let expected = "impl < T : Copy , const N : usize > :: dsm :: Shareable for S < T , N > where T : :: dsm :: Shareable";
        assert!(found.contains(expected), "{found}");
    }

    #[test]
    fn pointers_are_refused() {
        check_refused("struct S { name: &'static str }", "a reference is valid in one process");
        check_refused("struct S(*const u8);", "a raw pointer is valid in one process");
        check_refused("struct S(fn());", "another address in each process");
        check_refused("#[repr(u8)] enum E { A, B(*mut u8) }", "a raw pointer");
    }

    #[test]
    fn types_that_cannot_be_shared_are_refused() {
        check_refused("struct S<'a> { a: std::marker::PhantomData<&'a ()> }", "has no lifetimes");
        check_refused("union U { a: u64, b: f64 }", "a union cannot be");
        check_refused("enum E { A }", "needs a representation");
        check_refused("#[repr(align(8))] enum E { A }", "needs a representation");
        check_refused("#[repr(u8)] enum E { A = 1 }", "a variant that is 0");
    }
}
