//! The harness itself: hosts are what they should be, and nothing is left of them.

use crate::TOOLS;
use dsm_lab::{Lab, Stream, User};
use std::path::Path;
use std::process::Command;

#[test]
fn three_hosts_have_their_own_name_address_processes_and_shm() {
    let Some(lab) = Lab::three_hosts(TOOLS) else { return };
    for (host, name) in ["node1", "node2", "node3"].into_iter().enumerate() {
        let mut command = lab.on_host(host);
        command.args([
            "sh",
            "-c",
            "hostname; ps ax | wc -l; ls -A /dev/shm; ip -br address show eth0",
        ]);
        let ended = lab.run(command);
        let lines: Vec<&str> = ended.texts(Stream::Stdout).collect();
        assert_eq!(lines[0], name, "{}", ended.report());
        assert!(lines[1].trim().parse::<u32>().unwrap() < 8, "{}", ended.report());
        assert!(lines[2].contains(&format!(".{}/24", host + 1)), "{}", ended.report());
    }
}

#[test]
fn every_user_reaches_every_host_over_ssh() {
    for lab in [Lab::loopback(TOOLS), Lab::three_hosts(TOOLS)].into_iter().flatten() {
        for user in User::all() {
            for host in lab.machines(3) {
                let mut command = lab.ssh(*user, host);
                command.args(["id -u; echo $SSH_CONNECTION"]);
                let ended = lab.run(command);
                let lines: Vec<&str> = ended.texts(Stream::Stdout).collect();
                assert_eq!(lines[0] == "0", *user == User::Root, "{}", ended.report());
                assert_eq!(lines[1].split(' ').count(), 4, "{}", ended.report());
            }
        }
    }
}

#[test]
fn nothing_is_left_of_a_lab() {
    let Some(lab) = Lab::three_hosts(TOOLS) else { return };
    let (directory, pids, route) = lab.traces();
    assert!(routes().contains(&route), "the lab's subnet is unreachable from outside");
    drop(lab);
    assert!(!directory.exists());
    assert!(!routes().contains(&route), "the route is gone");
    for pid in pids {
        assert!(!Path::new("/proc").join(&pid).exists(), "process {pid} is left");
    }
}

fn routes() -> String {
    let output =
        Command::new("ip").args(["route", "show", "type", "unreachable"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}
