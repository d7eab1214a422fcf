use rustix::process::getuid;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// Who starts a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// The super user.
    Root,
    /// Whoever runs the tests, if that is not root; else a user that exists in the lab only.
    Ordinary,
}

impl User {
    /// Those who can be had here.
    pub fn all() -> &'static [Self] {
        if getuid().is_root() { &[Self::Root, Self::Ordinary] } else { &[Self::Ordinary] }
    }

    /// Of the user in the lab's password file, and in file names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Ordinary => "dsmlab",
        }
    }

    /// The words that make a program this user's, with a home directory of its own.
    pub fn words(self, dir: &Path) -> Vec<String> {
        if !getuid().is_root() {
            return Vec::new();
        }
        let name = self.name();
        let become_user = match self {
            Self::Root => "env".to_owned(),
            Self::Ordinary => format!(
                "setpriv --reuid {LAB_ID} --regid {LAB_ID} --clear-groups env USER={name} LOGNAME={name}"
            ),
        };
        let home = format!("HOME={}", self.home(dir).display());
        become_user.split(' ').map(str::to_owned).chain([home]).collect()
    }

    fn home(self, dir: &Path) -> PathBuf {
        dir.join(format!("home.{}", self.name()))
    }

    /// Makes a file or directory this user's own, private if it is a file.
    pub fn give(self, path: &Path) {
        if path.is_file() {
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        if self == Self::Ordinary && getuid().is_root() {
            chown(path, Some(LAB_ID), Some(LAB_ID)).unwrap();
        }
    }

    /// Writes the machine's password and group files with the lab's user added, to be mounted over them. In the lab root
    /// has an empty home directory too: who logs in runs what the shell finds at home, and that may take long.
    pub fn write_accounts(dir: &Path) {
        for user in [Self::Root, Self::Ordinary] {
            let home = user.home(dir);
            fs::create_dir(&home).unwrap();
            user.give(&home);
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap();
        let others = passwd.lines().filter(|line| !line.starts_with("root:"));
        let root = format!("root:x:0:0:root:{}:/bin/bash", Self::Root.home(dir).display());
        let (name, home) = (Self::Ordinary.name(), Self::Ordinary.home(dir));
        let line = format!("{name}:x:{LAB_ID}:{LAB_ID}::{}:/bin/sh", home.display());
        let lines: Vec<&str> = [&*root].into_iter().chain(others).chain([&*line]).collect();
        fs::write(dir.join("passwd"), lines.join("\n") + "\n").unwrap();
        let group = fs::read_to_string("/etc/group").unwrap();
        fs::write(dir.join("group"), group + &format!("{name}:x:{LAB_ID}:\n")).unwrap();
    }
}

const LAB_ID: u32 = 64_321;
