//! What the types must not let a program do does not compile, and the compiler says why.
//!
//! `TRYBUILD=overwrite cargo test -p dsm-rt --test typed_misuse` writes what the compiler says; read the difference.

#[test]
fn misuse_does_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/compile_fail/*.rs");
    cases.pass("tests/compile_pass/*.rs");
}
