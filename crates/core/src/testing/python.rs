//! A Python with the packages that a test compares with.

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

/// Names a Python that has the packages already; `off` leaves comparisons with them out.
const CHOSEN: &str = "CONSILIENCE_PYTHON";

/// How long an installation may take. torch and what it brings are gigabytes.
const PATIENCE: Duration = Duration::from_secs(900);

/// A Python in which `packages` (requirements with versions, `numpy==2.4.6`) can be imported.
///
/// It is the one that the environment variable `CONSILIENCE_PYTHON` names, or else a virtual environment in the target
/// folder, made with `python3` and kept: the first call installs the packages with pip, which may take minutes. Tests that
/// run at the same time wait for each other.
///
/// # Errors
/// Why there is none, in a sentence: the test then prints `skipped: …` and is done.
pub fn python(packages: &[&str]) -> Result<PathBuf, String> {
    match env::var_os(CHOSEN) {
        Some(chosen) if chosen == "off" => Err(format!("{CHOSEN} is `off`")),
        Some(chosen) => importable(Path::new(&chosen), packages).map(|()| chosen.into()),
        None => installed(&target()?.join("python"), packages),
    }
}

/// The target folder: the tests' own programs lie in it.
fn target() -> Result<PathBuf, String> {
    let program = env::current_exe().map_err(|e| format!("the test's program cannot be found: {e}"))?;
    let deps = program.ancestors().find(|folder| folder.ends_with("deps")).and_then(|deps| deps.ancestors().nth(2));
    deps.map(Path::to_owned).ok_or_else(|| format!("{} is in no target folder", program.display()))
}

fn installed(folder: &Path, packages: &[&str]) -> Result<PathBuf, String> {
    let failed = |what: &str, e: std::io::Error| format!("{what} {}: {e}", folder.display());
    fs::create_dir_all(folder).map_err(|e| failed("cannot make", e))?;
    let mut packages = packages.to_vec();
    packages.sort_unstable();
    let key: String = Sha256::digest(packages.join(" ")).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let lock = File::create(folder.join("lock")).map_err(|e| failed("cannot write to", e))?;
    lock.lock().map_err(|e| failed("cannot lock", e))?;
    // One environment for all: what several tests need, which is large, is there once.
    let (home, ready) = (folder.join("venv"), folder.join(format!("{key}.ready")));
    let python = home.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    if ready.is_file() {
        return Ok(python);
    }
    // What could not be installed once is not tried again by every test of the same run.
    let refused = folder.join(format!("{key}.failed"));
    if let Some(reason) = recent(&refused) {
        return Err(reason);
    }
    let log = folder.join(format!("{key}.log"));
    let outcome = install(&home, &python, &packages, &log);
    let mark = match &outcome {
        Ok(()) => fs::write(&ready, packages.join("\n")),
        Err(reason) => fs::write(&refused, reason),
    };
    mark.map_err(|e| failed("cannot write to", e))?;
    outcome.map(|()| python)
}

fn recent(file: &Path) -> Option<String> {
    let age = fs::metadata(file).ok()?.modified().ok()?.elapsed().unwrap_or_default();
    (age < Duration::from_secs(3600)).then(|| fs::read_to_string(file).ok()).flatten()
}

fn install(home: &Path, python: &Path, packages: &[&str], log: &Path) -> Result<(), String> {
    let out = File::create(log).map_err(|e| format!("cannot write {}: {e}", log.display()))?;
    let clone = || out.try_clone().map(Stdio::from).unwrap_or_else(|_| Stdio::null());
    if !python.is_file() {
        let mut make = Command::new("python3");
        make.args(["-m", "venv"]).arg(home).stdin(Stdio::null()).stdout(clone()).stderr(clone());
        within(make, PATIENCE, "python3 -m venv", log)?;
    }
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages);
    pip.stdin(Stdio::null()).stdout(clone()).stderr(clone());
    within(pip, PATIENCE, &format!("pip install {}", packages.join(" ")), log)
}

fn within(mut command: Command, patience: Duration, what: &str, log: &Path) -> Result<(), String> {
    let mut child = command.spawn().map_err(|e| format!("`{what}` cannot be run: {e}"))?;
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("`{what}` failed ({status}); see {}", log.display())),
            Ok(None) if start.elapsed() > patience => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("`{what}` took more than {} s", patience.as_secs()));
            }
            Ok(None) => thread::sleep(Duration::from_millis(200)),
            Err(e) => return Err(format!("`{what}` cannot be waited for: {e}")),
        }
    }
}

fn importable(python: &Path, packages: &[&str]) -> Result<(), String> {
    let modules: Vec<&str> =
        packages.iter().map(|p| p.split(['=', '<', '>', '[']).next().unwrap_or(p).trim()).collect();
    let mut check = Command::new(python);
    check.arg("-").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let run = || -> std::io::Result<Output> {
        let mut child = check.spawn()?;
        if let Some(mut input) = child.stdin.take() {
            writeln!(input, "from importlib.metadata import version\nfor name in {modules:?}: version(name)")?;
        }
        child.wait_with_output()
    };
    let cannot = |e| format!("{CHOSEN} is {}, which cannot be run: {e}", python.display());
    let output = { run }().map_err(cannot)?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let problem = String::from_utf8_lossy(&output.stderr);
            let last = problem.trim().lines().last().unwrap_or_default();
            Err(format!("{CHOSEN} is {}, which lacks a package: {last}", python.display()))
        }
    }
}
