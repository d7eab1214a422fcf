use crate::process::{Process, run};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A network of its own for a lab: a bridge in a namespace without any way out.
#[derive(Debug)]
pub(crate) struct Network {
    subnet: u8,
    switch: Process,
    /// Held while the subnet is in use; the kernel lets go of it however the test ends.
    _lock: UnixListener,
}

impl Network {
    pub(crate) fn lay() -> Self {
        let (subnet, lock) = take_subnet();
        // A command started outside the lab by mistake must not send to these addresses through the machine's default
        // route. A test that was killed may have left the route.
        ip(&["route", "replace", "unreachable", &subnet_text(subnet)]);
        let mut command = Command::new("setpriv");
        command.args([
            "--pdeathsig",
            "KILL",
            "unshare",
            "--net",
            "sh",
            "-c",
            "echo prepared; read -r end",
        ]);
        let mut switch = Process::start(command);
        switch.wait_for("namespace of the switch", Duration::from_secs(20), |line| {
            line.text == "prepared"
        });
        let network = Self { subnet, switch, _lock: lock };
        network.ip(&["link", "add", "br0", "type", "bridge"]);
        network.ip(&["link", "set", "br0", "up"]);
        network
    }

    pub(crate) fn subnet(&self) -> String {
        subnet_text(self.subnet)
    }

    /// The address of the host with this number, from 1.
    pub(crate) fn address(&self, host: usize) -> String {
        format!("10.77.{}.{host}", self.subnet)
    }

    /// Plugs the host whose network namespace is that of `pid` into the switch.
    pub(crate) fn connect(&self, host: usize, pid: &str) {
        let port = format!("port{host}");
        self.ip(&["link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", pid]);
        self.ip(&["link", "set", &port, "master", "br0", "up"]);
        let address = format!("{}/24", self.address(host));
        for words in [
            &["link", "set", "lo", "up"][..],
            &["address", "add", &address, "dev", "eth0"],
            &["link", "set", "eth0", "up"],
        ] {
            ip_in(pid, words);
        }
    }

    /// Pulls the plug of the host with this number.
    pub(crate) fn cut(&self, host: usize) {
        self.ip(&["link", "set", &format!("port{host}"), "down"]);
    }

    fn ip(&self, words: &[&str]) {
        ip_in(&self.switch.pid().as_raw_nonzero().to_string(), words);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let mut command = Command::new("ip");
        command.args(["route", "del", "unreachable", &self.subnet()]).stderr(Stdio::null());
        // Dropping must not panic; the next user of the subnet replaces the route.
        let _ = command.status();
    }
}

fn subnet_text(subnet: u8) -> String {
    format!("10.77.{subnet}.0/24")
}

fn take_subnet() -> (u8, UnixListener) {
    (0..=u8::MAX)
        .find_map(|subnet| {
            let name = SocketAddr::from_abstract_name(format!("dsm-lab-10.77.{subnet}"))
                .expect("the name is short");
            UnixListener::bind_addr(&name).ok().map(|lock| (subnet, lock))
        })
        .expect("256 labs do not run at once")
}

fn ip(words: &[&str]) {
    let mut command = Command::new("ip");
    command.args(words);
    run(command);
}

fn ip_in(pid: &str, words: &[&str]) {
    let mut command = Command::new("nsenter");
    command.args(["--target", pid, "--net", "ip"]).args(words);
    run(command);
}
