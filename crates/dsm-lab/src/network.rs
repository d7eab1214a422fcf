use crate::conditions::Conditions;
use crate::frame;
use crate::process::run;
use crate::switch::Switch;
use crate::wire::Counts;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The network of a lab: a subnet of its own, and a switch without any way out. Hosts are numbered from 0.
#[derive(Debug)]
pub struct Network {
    subnet: u8,
    hosts: usize,
    switch: Switch,
    /// Held while the subnet is in use; the kernel lets go of it however the test ends.
    _lock: UnixListener,
}

impl Network {
    /// The seed decides which frames are spoilt when conditions ask for it.
    pub(crate) fn lay(seed: u64) -> Self {
        let (subnet, lock) = take_subnet();
        // A command started outside the lab by mistake must not send to these addresses through the machine's default
        // route. A test that was killed may have left the route.
        let mut command = Command::new("ip");
        command.args(["route", "replace", "unreachable", &subnet_text(subnet)]);
        run(command);
        Self { subnet, hosts: 0, switch: Switch::start(seed), _lock: lock }
    }

    pub(crate) fn subnet(&self) -> String {
        subnet_text(self.subnet)
    }

    /// The address of a host.
    pub fn address(&self, host: usize) -> String {
        format!("10.77.{}.{}", self.subnet, host + 1)
    }

    /// Plugs the next host, whose network namespace is that of `pid`, into the switch.
    pub(crate) fn connect(&mut self, pid: &str) {
        let host = self.hosts;
        self.hosts += 1;
        self.switch.plug(host, pid);
        let (mac, address) = (frame::mac(host), self.address(host));
        let mut command = Command::new("nsenter");
        command.args(["--target", pid, "--net", "sh", "-ec", UP, "up", &mac, &address]);
        run(command);
    }

    /// Pulls the plug of a host, for good.
    pub(crate) fn unplug(&self, host: usize) {
        self.switch.unplug(host);
    }

    /// What the line from one host to another does from now on.
    pub fn set(&self, from: usize, to: usize, conditions: &Conditions) {
        self.switch.set(from, to, conditions);
    }

    /// What all lines do from now on.
    pub fn set_all(&self, conditions: &Conditions) {
        self.set_where(conditions, |_, _| true);
    }

    /// What the lines between a host and all others do from now on, both ways.
    pub fn set_around(&self, host: usize, conditions: &Conditions) {
        self.set_where(conditions, |from, to| from == host || to == host);
    }

    /// What the lines do from now on for whose ends `wanted` holds.
    pub fn set_where(&self, conditions: &Conditions, wanted: impl Fn(usize, usize) -> bool) {
        for (from, to) in self.pairs().filter(|(from, to)| wanted(*from, *to)) {
            self.set(from, to, conditions);
        }
    }

    /// Lets nothing arrive for this long on the lines for whose ends `wanted` holds, and everything after that.
    pub fn darken_where(&self, how_long: Duration, wanted: impl Fn(usize, usize) -> bool) {
        for (from, to) in self.pairs().filter(|(from, to)| wanted(*from, *to)) {
            self.switch.darken(from, to, how_long);
        }
    }

    /// Begins the chances of all lines anew.
    pub(crate) fn reseed(&self, seed: u64) {
        self.switch.reseed(seed);
    }

    /// What became of the frames from one host to another since the beginning.
    pub fn counts(&self, from: usize, to: usize) -> Counts {
        self.switch.counts(from, to)
    }

    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        let hosts = self.hosts;
        (0..hosts)
            .flat_map(move |from| (0..hosts).map(move |to| (from, to)))
            .filter(|(from, to)| from != to)
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

/// Arguments: the device's hardware address, and its address in the subnet.
const UP: &str = r#"
ip link set lo up
ip link set eth0 address "$1"
ip address add "$2/24" dev eth0
ip link set eth0 up
"#;
