use rustix::process::getuid;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

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
        if self == Self::Root || !getuid().is_root() {
            return Vec::new();
        }
        let (id, name, home) = (LAB_ID, self.name(), dir.join(HOME));
        let become_user = format!(
            "setpriv --reuid {id} --regid {id} --clear-groups env USER={name} LOGNAME={name}"
        );
        become_user
            .split(' ')
            .map(str::to_owned)
            .chain([format!("HOME={}", home.display())])
            .collect()
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

    /// Writes the machine's password and group files with the lab's user added, to be mounted over them.
    pub fn write_accounts(dir: &Path) {
        let home = dir.join(HOME);
        fs::create_dir(&home).unwrap();
        Self::Ordinary.give(&home);
        let name = Self::Ordinary.name();
        let line = format!("{name}:x:{LAB_ID}:{LAB_ID}::{}:/bin/sh\n", home.display());
        let passwd = fs::read_to_string("/etc/passwd").unwrap();
        fs::write(dir.join("passwd"), passwd + &line).unwrap();
        let group = fs::read_to_string("/etc/group").unwrap();
        fs::write(dir.join("group"), group + &format!("{name}:x:{LAB_ID}:\n")).unwrap();
    }
}

const HOME: &str = "home";
const LAB_ID: u32 = 64_321;
