use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What `make` and cargo built, in a directory of its own: an ordinary user can read it, and every process of a job shows
/// by its executable's path that it is one.
#[derive(Debug)]
pub(crate) struct Products {
    pub(crate) bin: PathBuf,
}

impl Products {
    /// Links or copies everything into `dir/bin` and `dir/lib`. A tool replaces the product of its name.
    pub(crate) fn stage(dir: &Path, tools: &[&str]) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let bin = dir.join("bin");
        stage_directory(&root.join("bin"), &bin);
        stage_directory(&root.join("bin/test"), &bin.join("test"));
        stage_directory(&root.join("lib"), &dir.join("lib"));
        for tool in tools.iter().map(Path::new) {
            let to = bin.join(tool.file_name().expect("cargo names a file"));
            let _ = fs::remove_file(&to);
            link_or_copy(tool, &to);
        }
        Self { bin }
    }

    pub(crate) fn dsmexec(&self) -> PathBuf {
        self.bin.join("dsmexec")
    }

    /// An example or a test program.
    ///
    /// # Panics
    /// If it was not built.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        let found = [self.bin.join(name), self.bin.join("test").join(name)]
            .into_iter()
            .find(|path| path.is_file());
        found.unwrap_or_else(|| {
            panic!("there is no program {name}: run `make` and `make test-programs` first")
        })
    }
}

fn stage_directory(from: &Path, to: &Path) {
    let entries = fs::read_dir(from).unwrap_or_else(|e| {
        panic!("cannot read {}: {e}: run `make` and `make test-programs` first", from.display())
    });
    fs::create_dir_all(to).unwrap();
    for entry in entries {
        let from = entry.unwrap().path();
        if from.is_file() {
            link_or_copy(&from, &to.join(from.file_name().expect("an entry has a name")));
        }
    }
}

/// A link is quicker; it is refused across file systems and for other people's files.
fn link_or_copy(from: &Path, to: &Path) {
    let from = from.canonicalize().unwrap();
    match fs::hard_link(&from, to) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
        Err(_) => {
            fs::copy(&from, to).unwrap_or_else(|e| panic!("cannot copy {}: {e}", from.display()));
        }
    }
}
