//! `--placement` in real jobs.

use crate::harness::{Place, text};
use std::path::Path;

#[test]
fn ranks_with_different_placements_refuse_each_other_by_name() {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bin/test/counts");
    assert!(program.is_file(), "there is no {}: run `make test-programs`", program.display());
    let program = text(&program).to_owned();
    let script = format!("[ $DSM_NODE_ID = 2 ] && DSM_PLACEMENT=random; exec '{program}'");
    let ended = Place::local(3).sh(&["--placement=block", "-x", "A=1"], &script);
    ended.assert_code(78);
    assert!(
        ended.stderr.contains("it places the area's pages random, here it is block")
            || ended.stderr.contains("it places the area's pages block, here it is random"),
        "{ended}"
    );
}

#[test]
fn every_placement_reaches_the_ranks() {
    for placement in ["cyclic", "block", "random", "first-touch"] {
        let option = format!("--placement={placement}");
        let ended = Place::local(2).sh(&[&option, "--tag=none"], "echo $DSM_PLACEMENT");
        assert_eq!(ended.assert_code(0).lines(), [placement, placement]);
    }
}
