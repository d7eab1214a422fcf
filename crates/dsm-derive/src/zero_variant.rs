use syn::{DataEnum, Expr, ExprLit, ExprUnary, Lit, UnOp, Variant};

/// The variant that zero bytes are, if the discriminants tell: they are counted from 0 and from each literal.
pub(crate) fn zero_variant(data: &DataEnum) -> Option<&Variant> {
    let mut next = Some(0_i128);
    for variant in &data.variants {
        if let Some((_, expression)) = &variant.discriminant {
            next = literal(expression);
        }
        if next == Some(0) {
            return Some(variant);
        }
        next = next.and_then(|value| value.checked_add(1));
    }
    None
}

/// The value of an integer literal; `None` for other expressions, which only the compiler can evaluate.
fn literal(expression: &Expr) -> Option<i128> {
    match expression {
        Expr::Lit(ExprLit { lit: Lit::Int(value), .. }) => value.base10_parse().ok(),
        Expr::Lit(ExprLit { lit: Lit::Byte(value), .. }) => Some(value.value().into()),
        Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => literal(expr)?.checked_neg(),
        Expr::Group(group) => literal(&group.expr),
        Expr::Paren(paren) => literal(&paren.expr),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::{Data, parse_str};

    fn check(variants: &str, expected: Option<&str>) {
        let input: syn::DeriveInput = parse_str(&format!("enum Test {{ {variants} }}")).unwrap();
        let Data::Enum(data) = &input.data else { unreachable!("it is an enum") };
        let found = zero_variant(data).map(|variant| variant.ident.to_string());
        assert_eq!(found.as_deref(), expected, "{variants}");
    }

    #[test]
    fn discriminants_are_counted() {
        check("A", Some("A"));
        check("A(u8), B { b: u8 }", Some("A"));
        check("A = 1, B = 0", Some("B"));
        check("A = -1, B", Some("B"));
        check("A = -(2), B, C", Some("C"));
        check("A = 0x0", Some("A"));
        check("A = b'\\0'", Some("A"));
    }

    #[test]
    fn what_does_not_tell_is_not_zero() {
        check("", None);
        check("A = 1, B", None);
        check("A = 5, B = 4", None);
        check("A = ZERO", None);
        check("A = ZERO, B", None);
        check("A = ZERO, B = 0", Some("B"));
    }
}
