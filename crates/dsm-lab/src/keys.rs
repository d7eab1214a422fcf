use crate::process::run;
use crate::user::User;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Throw-away keys of an sshd and its users, and the configuration of both sides. Nothing of the machine's or the
/// user's own ssh is read or touched.
#[derive(Debug)]
pub(crate) struct Keys {
    dir: PathBuf,
}

impl Keys {
    pub(crate) fn generate(dir: &Path, users: &[User]) -> Self {
        let keys = Self { dir: dir.to_owned() };
        keygen(&keys.host_key());
        let mut authorized = String::new();
        for user in users {
            let key = dir.join(format!("id.{}", user.name()));
            keygen(&key);
            authorized +=
                &fs::read_to_string(key.with_file_name(format!("id.{}.pub", user.name()))).unwrap();
            user.give(&key);
        }
        fs::write(dir.join("authorized_keys"), authorized).unwrap();
        let host_key = fs::read_to_string(dir.join("host_key.pub")).unwrap();
        fs::write(dir.join("known_hosts"), format!("{HOST_KEY_ALIAS} {host_key}")).unwrap();
        keys
    }

    /// Writes a server configuration and gives its path.
    pub(crate) fn server_config(&self, name: &str, address: &str, port: u16) -> PathBuf {
        let dir = self.dir.display();
        let text = format!(
            "ListenAddress {address}:{port}\nHostKey {dir}/host_key\nAuthorizedKeysFile {dir}/authorized_keys\n\
             PermitRootLogin prohibit-password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             StrictModes no\nUsePAM no\nUseDNS no\nPrintMotd no\nPidFile none\nLogLevel VERBOSE\n"
        );
        write(self.dir.join(format!("sshd.{name}")), &text)
    }

    /// Writes the client configuration of a user, for hosts at this port, and gives the words of the ssh command.
    pub(crate) fn ssh_command(&self, user: User, port: u16) -> String {
        let dir = self.dir.display();
        let text = format!(
            "Host *\n  Port {port}\n  IdentityFile {dir}/id.{}\n  IdentitiesOnly yes\n  HostKeyAlias {HOST_KEY_ALIAS}\n\
             \x20 UserKnownHostsFile {dir}/known_hosts\n  GlobalKnownHostsFile /dev/null\n\
             \x20 StrictHostKeyChecking yes\n  LogLevel ERROR\n",
            user.name()
        );
        format!("ssh -F {}", write(self.dir.join(format!("ssh.{}", user.name())), &text).display())
    }

    fn host_key(&self) -> PathBuf {
        self.dir.join("host_key")
    }
}

fn keygen(path: &Path) {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-C", "dsm-lab", "-f"]).arg(path);
    run(command);
}

/// An ssh that has just been started may be reading the file: one that is as it should be is left alone.
fn write(path: PathBuf, text: &str) -> PathBuf {
    if fs::read_to_string(&path).is_ok_and(|there| there == text) {
        return path;
    }
    fs::write(&path, text).unwrap();
    path
}

const HOST_KEY_ALIAS: &str = "dsm-lab";
