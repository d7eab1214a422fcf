//! dsmwrap without a dsmexec: what it does when it is alone.

use dsm_net::frame;
use dsm_net::launch::{Job, JobId, JobKey, LaunchProfile, Node, Order, Start};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn a_dsmwrap_that_hears_nothing_for_ten_seconds_ends_its_program() {
    let mut wrapper = Command::new(env!("CARGO_BIN_EXE_dsmwrap"))
        .args(["job=0", "rank=0"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut orders = wrapper.stdin.take().unwrap();
    let reports = wrapper.stdout.take().unwrap();
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let node = Node { host: "localhost".into(), address: SocketAddr::new(address, 1) };
    let start = Start {
        job: Job { id: JobId(0), key: Some(JobKey::new([0; 32])), rank: 0, nodes: vec![node] },
        program: b"sh".to_vec(),
        args: [&b"-c"[..], b"echo program $$; exec tail -f /dev/null"].map(<[u8]>::to_vec).into(),
        environment: Vec::new(),
        directory: b"/".to_vec(),
        input: false,
        profile: LaunchProfile::Native,
        lease_ms: 10_000,
        grace_ms: 2000,
        explain_after_ms: 0,
    };
    orders.write_all(&frame::encode(&Order::Bind(address))).unwrap();
    orders.write_all(&frame::encode(&Order::Start(Box::new(start)))).unwrap();
    let began_at = Instant::now();
    // Frames hold the program's line as it is; it ends with a newline.
    let mut reports = BufReader::new(reports);
    let mut line = Vec::new();
    while !String::from_utf8_lossy(&line).contains("program ") {
        line.clear();
        assert!(reports.read_until(b'\n', &mut line).unwrap() > 0, "dsmwrap ended early");
    }
    let line = String::from_utf8_lossy(&line).into_owned();
    let pid = line.split_whitespace().next_back().unwrap().parse().unwrap();
    let program = pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap();
    // Its reports end when it ends; orders stay open.
    reports.read_to_end(&mut Vec::new()).unwrap();
    let took = began_at.elapsed();
    assert!(took > Duration::from_secs(9) && took < Duration::from_secs(14), "{took:?}");
    assert!(wrapper.wait().unwrap().success());
    let mut gone = [rustix::event::PollFd::new(&program, rustix::event::PollFlags::IN)];
    assert_eq!(rustix::event::poll(&mut gone, Some(&Default::default())), Ok(1));
    drop(orders);
}

#[test]
fn a_person_is_told_what_dsmwrap_is() {
    let output = Command::new(env!("CARGO_BIN_EXE_dsmwrap")).arg("--help").output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with("dsmwrap: started by dsmexec, never by hand: expected job="),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
    let output = Command::new(env!("CARGO_BIN_EXE_dsmwrap")).arg("--version").output().unwrap();
    assert_eq!(output.stdout, concat!("dsmwrap ", env!("CARGO_PKG_VERSION"), "\n").as_bytes());
}
