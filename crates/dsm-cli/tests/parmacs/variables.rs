//! CREATE sends the program's variables, all of them and no others, however the program is linked.

use crate::built::{Built, STATIC};
use crate::job_of_script;

/// On three ranks: an instance each, more of them than ranks, and created one by one.
fn check(flags: &[&str]) {
    let Some(built) = Built::of(&["globals.C"], &[], flags) else { return };
    for engine in ["auto", "sigsegv"] {
        for (arguments, verdict) in [
            (&["-p3"][..], "globals: 3 instances, counter 600, right"),
            (&["-p7"], "globals: 7 instances, counter 1400, right"),
            (&["-p7", "-o"], "globals: 7 instances, counter 1400, right"),
        ] {
            let ended = built.job(3, engine, arguments);
            let stdout = &ended.assert_code(0).stdout;
            assert_eq!(
                stdout,
                &format!("globals: main runs once\n{verdict}\n"),
                "{flags:?}: {ended}"
            );
        }
    }
}

#[test]
fn variables_of_a_position_independent_program() {
    check(&["-fPIE", "-pie"]);
}

/// Its libraries are elsewhere on each rank.
#[test]
fn variables_of_a_program_at_a_fixed_address() {
    check(&["-fno-pie", "-no-pie"]);
}

/// What the loader fills in lies beside the program's variables.
#[test]
fn variables_beside_tables_that_stay_writable() {
    check(&["-fno-pie", "-no-pie", "-Wl,-z,norelro", "-Wl,-z,lazy"]);
    check(&["-fPIE", "-pie", "-Wl,-z,norelro", "-Wl,-z,now"]);
}

#[test]
fn variables_of_a_program_that_exports_them() {
    check(&["-rdynamic", "-no-pie"]);
}

#[test]
fn variables_on_one_to_four_ranks() {
    let Some(built) = Built::of(&["globals.C"], &[], &[]) else { return };
    built.alone(&["-p4", "-o"]);
    for ranks in 1..=4 {
        let ended = built.job(ranks, "auto", &["-p4", "-o"]);
        assert!(ended.assert_code(0).stdout.ends_with("counter 800, right\n"), "{ended}");
    }
}

#[test]
fn another_build_is_refused() {
    for flags in [&[][..], &["-Wl,--build-id=none"]] {
        let with =
            |optimisation| Built::of(&["globals.C"], &[], &[&[optimisation], flags].concat());
        let (Some(one), Some(other)) = (with("-O1"), with("-O2")) else { return };
        let script = format!(
            "test $DSM_NODE_ID = 1 && exec '{}'; exec '{}'",
            other.program.display(),
            one.program.display()
        );
        job_of_script(2, &script).assert_code(78).assert_stderr(&[
            "dsm: rank 1: cannot run this program on several ranks: it is not the one that rank 0 runs",
        ]);
    }
}

/// The variable says that the program has executed itself again already, as it does where the kernel forbids what that is
/// good for.
#[test]
fn a_program_at_another_address_is_refused() {
    let Some(built) = Built::of(&["globals.C"], &[], &["-fPIE", "-pie"]) else { return };
    let program = built.program.display();
    let script = format!("DSM_PARMACS_EXECUTED_AGAIN=1 exec '{program}'");
    job_of_script(2, &script).assert_code(78).assert_stderr(&[
        "dsm: rank 1: cannot run this program on several ranks: it is at 0x",
        " here and at 0x",
        " on rank 0, so that variables cannot be sent: link it with -no-pie",
    ]);
}

#[test]
fn a_static_library_is_refused_on_several_ranks() {
    let Some(built) = Built::of(&["globals.C"], &[], &[STATIC]) else { return };
    built.job(1, "auto", &[]).assert_code(0);
    built.job(2, "auto", &[]).assert_code(78).assert_stderr(&[
        "dsm: rank 0: cannot run this program on several ranks: libdsm is linked statically",
    ]);
}
