//! What the lab's switch does to packets, measured by hosts that send some to each other.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "these are tests")]

mod probe;

use dsm_lab::{Conditions, Corruption, Lab};
use probe::{datagrams, stream};
use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::Duration;

#[test]
fn a_perfect_line_is_quick_and_loses_nothing() {
    let Some(lab) = Lab::on_hosts(2, 1, &[]) else { return };
    let seen = datagrams(&lab, 0, 1, 500);
    assert_eq!((seen.arrived, seen.distinct, seen.late, seen.wrong), (500, 500, 0, 0), "{seen:?}");
    assert!(seen.median_ms < 2.0, "{seen:?}");
    let sent = stream(&lab, 0, 1, 32 << 20);
    assert!(sent.is_intact(), "{sent:?}");
    assert!(sent.mbit_per_s > 200.0, "{sent:?}");
    println!("perfect line: {:.3} ms one way, {:.0} Mbit/s", seen.median_ms, sent.mbit_per_s);
}

#[test]
fn packets_are_delayed_and_stay_in_order() {
    let Some(lab) = Lab::on_hosts(2, 1, &[]) else { return };
    let (delay, jitter) = (Duration::from_millis(50), Duration::from_millis(20));
    // So that the hosts know each other's hardware addresses.
    datagrams(&lab, 0, 1, 1);
    lab.network().set(0, 1, &Conditions { delay, jitter, ..Conditions::default() });
    let there = datagrams(&lab, 0, 1, 200);
    assert!(there.least_ms >= 50.0 && there.most_ms < 120.0, "{there:?}");
    assert!(there.median_ms > 52.0, "{there:?}");
    assert_eq!((there.distinct, there.late), (200, 0), "{there:?}");
    let back = datagrams(&lab, 1, 0, 200);
    assert!(back.median_ms < 5.0, "the other direction is as it was: {back:?}");
    println!("50 ms and jitter of 20: {:.1} to {:.1} ms", there.least_ms, there.most_ms);
}

#[test]
fn packets_are_lost_duplicated_and_overtaken() {
    let Some(lab) = Lab::on_hosts(2, 1, &[]) else { return };
    // So that the hosts know each other's hardware addresses.
    datagrams(&lab, 0, 1, 1);
    let check =
        |what: &str, conditions: Conditions, is_right: &dyn Fn(probe::Datagrams) -> bool| {
            lab.network().set(0, 1, &conditions);
            let seen = datagrams(&lab, 0, 1, 1_000);
            println!("{what}: {seen:?}");
            assert!(is_right(seen), "{what}: {seen:?}");
            lab.network().set(0, 1, &Conditions::default());
        };
    check("10 % lost", Conditions { loss_ppm: 100_000, ..Conditions::default() }, &|seen| {
        (850..950).contains(&seen.distinct) && seen.arrived == seen.distinct
    });
    let twice = Conditions { duplicate_ppm: 100_000, ..Conditions::default() };
    check("10 % twice", twice, &|seen| {
        seen.distinct == 1_000 && (1_050..1_150).contains(&seen.arrived)
    });
    let late = Conditions {
        reorder_ppm: 50_000,
        reorder_by: Duration::from_millis(20),
        ..Conditions::default()
    };
    check("5 % overtaken", late, &|seen| seen.distinct == 1_000 && (20..90).contains(&seen.late));
}

#[test]
fn corruption_is_caught_by_the_kernel_or_reaches_the_program() {
    let Some(lab) = Lab::on_hosts(2, 1, &[]) else { return };
    let corrupt =
        |corruption| Conditions { corrupt_ppm: 20_000, corruption, ..Conditions::default() };
    lab.network().set(0, 1, &corrupt(Corruption::Caught));
    let caught = stream(&lab, 0, 1, 4 << 20);
    assert!(caught.is_intact(), "TCP sends again what the checksum disproves: {caught:?}");
    let before = lab.network().counts(0, 1).corrupted;
    assert!(before > 10, "{before} packets were corrupted");
    lab.network().set(0, 1, &corrupt(Corruption::Delivered));
    let delivered = stream(&lab, 0, 1, 4 << 20);
    assert!(!delivered.is_intact(), "{delivered:?}");
    assert_eq!(delivered.received, delivered.sent, "nothing is lost by it");
    println!("caught: {caught:?}\ndelivered: {delivered:?}");
}

#[test]
fn a_rate_is_kept() {
    let Some(lab) = Lab::on_hosts(2, 1, &[]) else { return };
    lab.network().set(
        0,
        1,
        &Conditions { bits_per_second: Some(10_000_000), ..Conditions::default() },
    );
    let sent = stream(&lab, 0, 1, 4 << 20);
    println!("10 Mbit/s: {sent:?}");
    assert!(sent.is_intact() && (7.0..10.5).contains(&sent.mbit_per_s), "{sent:?}");
}

#[test]
fn a_cut_is_of_one_direction_and_others_are_not_touched() {
    let Some(lab) = Lab::on_hosts(3, 1, &[]) else { return };
    // So that the hosts know each other's hardware addresses: learning them takes both directions.
    datagrams(&lab, 0, 1, 1);
    lab.network().set(0, 1, &Conditions::cut());
    assert_eq!(datagrams(&lab, 0, 1, 50).arrived, 0);
    assert_eq!(datagrams(&lab, 1, 0, 50).arrived, 50);
    assert_eq!(datagrams(&lab, 0, 2, 50).arrived, 50);
    assert_eq!(lab.network().counts(1, 0).lost, 0);
    lab.network().set_around(1, &Conditions::cut());
    assert_eq!(datagrams(&lab, 1, 0, 50).arrived, 0);
    lab.network().set_all(&Conditions::default());
    assert_eq!(datagrams(&lab, 0, 1, 50).arrived, 50);
    lab.network().darken_where(Duration::from_secs(2), |from, _| from == 0);
    assert_eq!(datagrams(&lab, 0, 1, 20).arrived, 0, "for two seconds nothing arrives");
}

#[test]
fn nothing_leaves_the_machine() {
    let Some(lab) = Lab::on_hosts(2, 1, &[]) else { return };
    let address = format!("{}:22", lab.address(0)).parse().unwrap();
    let refused = TcpStream::connect_timeout(&address, Duration::from_secs(5)).unwrap_err();
    let unreachable = [ErrorKind::HostUnreachable, ErrorKind::NetworkUnreachable];
    assert!(unreachable.contains(&refused.kind()), "{refused}");
    // A host has no way but to the others.
    let mut command = lab.on_host(0);
    command.args(["sh", "-c", "ip -br link | cut -d' ' -f1; ip route"]);
    let ended = lab.run(command);
    let lines: Vec<&str> = ended.lines.iter().map(|line| line.text.trim()).collect();
    assert_eq!(lines[..2], ["lo", "eth0"], "{}", ended.report());
    assert_eq!(lines.len(), 3, "one route, to the lab's subnet\n{}", ended.report());
    assert!(lines[2].starts_with("10.77."), "{}", ended.report());
}
